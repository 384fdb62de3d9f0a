"""The command that builds a concept index, `python -m core.indexing`: its options, and its errors as sentences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simple_parsing import ArgumentParser, DashVariant

from ..concepts.index import ConceptIndex
from ..concepts.index_file import MANIFEST, load
from ..errors import UserError
from ..methods.side_effects import VOCABULARY, probe_words, read_vocabulary
from ..model.devices import device_name
from ..pictures.options import CollectionOptions
from ..setups.loading import Setup
from ..setups.loading import load as load_setup
from ..setups.options import add_setup_options, named_setup
from ..setups.publishing import check_repository
from ..streaming import Group, fail, is_whole, processes, stops_told
from .build import build
from .recipe import IndexRecipe
from .sharing import licence_of, push_index


def parser() -> ArgumentParser:
    """Of its options; those of the recipe and of the collection are the fields of their dataclasses."""
    options = ArgumentParser(
        prog="python -m core.indexing",
        description="Make the concept index of a setup: what each of its components fires for.",
        epilog="After a stop, the same command goes on. Several GPUs: accelerate launch -m core.indexing ...",
        add_option_string_dash_variants=DashVariant.DASH,
    )
    add_setup_options(options)
    options.add_argument("--out", type=Path, required=True, help="the folder for the index")
    options.add_argument("--vocabulary", type=Path, default=VOCABULARY, help="labels to choose among, one a line")
    options.add_argument("--every", type=int, default=100, help="save after so many batches")
    options.add_argument("--licence", type=str, help="of the pictures, where they do not tell it: cc-by-4.0, say")
    options.add_argument("--push", type=str, metavar="OWNER/NAME", help="put the index there, on the Hub, with a card")
    options.add_argument("--private", action="store_true", help="with --push: let nobody else see it")
    options.add_arguments(IndexRecipe, "recipe")
    options.add_arguments(CollectionOptions, "collection")
    return options


def _run(arguments: argparse.Namespace, group: Group, device: str) -> ConceptIndex:
    if arguments.every < 1:
        raise UserError("--every is 1 or more. Correct it.")
    card = named_setup(arguments, "bundled")
    if arguments.push is not None:
        check_repository(arguments.push)
        if is_whole(arguments.out, MANIFEST):
            setup = load_setup(card, device, anyway=arguments.anyway)
            index = load(arguments.out, setup.identity, setup.clip)
            _push(arguments, group, setup, index)
            return index
    try:
        # A word that stood there twice would be two guesses.
        words = tuple(dict.fromkeys(probe_words(read_vocabulary(arguments.vocabulary), card.vocabulary, ())))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The vocabulary {arguments.vocabulary} cannot be read. Name a text file.") from error
    collection = arguments.collection.open()
    if arguments.push is not None:
        licence_of(collection.manifest, arguments.licence)  # told before hours of work, and not after
    setup = load_setup(card, device, anyway=arguments.anyway)
    index = build(
        setup,
        collection,
        arguments.out,
        replace(arguments.recipe, vocabulary=words),
        every=arguments.every,
        workers=arguments.collection.workers,
        licence=arguments.licence or "",
    )
    if arguments.push is not None:
        _push(arguments, group, setup, index)
    return index


def _push(arguments: argparse.Namespace, group: Group, setup: Setup, index: ConceptIndex) -> None:
    """Put the index on the Hub. One that does not get there stays, and the same command tries again."""
    if not group.is_main_process:
        return
    licence = licence_of(index.manifest.source, arguments.licence)
    try:
        commit = push_index(arguments.push, arguments.out, index, setup, licence, private=arguments.private)
    except UserError as trouble:
        raise UserError(
            f"{trouble} The index is whole, and stays in {arguments.out}; the same command pushes it."
        ) from trouble
    print(f'index = {{ repo = "{arguments.push}", revision = "{commit}" }}')


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        arguments = parser().parse_args(words)
    except UserError as trouble:
        fail(processes(), str(trouble), 1)
    group = processes()
    with stops_told(group, arguments.out, arguments.recipe.batch):
        index = _run(arguments, group, device_name(group.device))
    if group.is_main_process:
        manifest, fires = index.manifest, int((index.active_pictures > 0).sum())
        skipped = f" ({manifest.skipped:,} could not be read)" if manifest.skipped else ""
        print(
            f"{arguments.out}: {fires:,} of {index.n_components:,} components fire in {manifest.pictures:,} pictures"
            f"{skipped}; {len(index.pictures):,} of them are references."
        )
    group.destroy_process_group()


if __name__ == "__main__":
    main()
