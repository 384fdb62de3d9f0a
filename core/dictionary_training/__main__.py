"""The command that trains a dictionary (SAE) for any CLIP: `python -m core.dictionary_training`.

It checks the dictionary as any setup is checked (`core.setups.health`), and writes a catalog of one setup beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import tomli_w
from accelerate import Accelerator
from simple_parsing import ArgumentParser, DashVariant
from tqdm.auto import tqdm

from ..errors import UserError
from ..model.clip import SplitClip
from ..model.devices import device_name
from ..model.place_name import WITHOUT_LAYER, PlaceName
from ..model.places import Place, place_of
from ..model.sae_dictionary import SaeDictionary
from ..model.scope import Scope
from ..pictures.options import CollectionOptions
from ..setups.catalog import Location, SetupSpec, read_catalog
from ..setups.clips import ClipFolder, find_clip, read_clip
from ..setups.health import refusal
from ..setups.health_check import check, probe_for
from ..setups.hub import Download
from ..setups.options import place_named
from ..setups.publishing import CARD, check_repository
from .checkpoint import CHECKPOINTS, newest_checkpoint
from .recipe import DictionaryRecipe
from .sharing import dictionary_card, push_dictionary
from .trainer import new_accelerator, train_dictionary


def write_catalog(folder: Path, clip: Location, at: Place, scope: Scope, recipe: DictionaryRecipe, on: str) -> Path:
    """Write ``catalog.toml`` beside the dictionary in ``folder``: a setup that `core.setups.loading` loads."""
    made_of = clip.repo or (clip.folder or Path()).resolve().name
    place = {"folder": str(clip.folder.resolve())} if clip.folder else {"repo": clip.repo, "revision": clip.revision}
    note = (
        f"A dictionary trained on {on}: {recipe.levels[-1]:,} components, {recipe.k} of them active at a token. "
        "Nobody but its maker has looked at it."
    )
    table = {
        "name": folder.resolve().name,
        "title": f"{made_of}, {', '.join(f'{name} {value}' for name, value in at.facts.items())}, trained on {on}",
        "clip": place,
        "dictionary": {"folder": "."},
        **at.facts,
        "scope": scope,
        "licence": "as its makers say",
        "note": note,
    }
    catalog = folder / "catalog.toml"
    catalog.write_text(tomli_w.dumps({"setup": [table]}), encoding="utf-8")
    return catalog


def report_health(card: SetupSpec, folder: Path, clip: SplitClip) -> str | None:
    """Check the dictionary in ``folder`` as a setup is checked when it loads, and print its figures.

    Returns why it would be refused; None where it would not.
    """
    dictionary = SaeDictionary.from_folder(folder, card.scope, str(clip.device))
    health = check(clip, dictionary, card, probe_for(card))
    print(health.summary)
    for row in health.rows(card.published):
        print(f"  {row.label}: {row.ours:.1f} {row.unit}".rstrip())
    for doubt in health.doubts:
        print(f"  {doubt.sentence}")
    return refusal(health, card)


def _fetch_clip(name: str, at: Place, accelerator: Accelerator) -> tuple[Location, ClipFolder]:
    """The CLIP of that name, which has that place: a folder where there is one, else a repository, at one commit."""
    place = place_named(name, ".")
    with tqdm(
        desc="Downloading the CLIP", unit="B", unit_scale=True, disable=not accelerator.is_main_process, delay=1
    ) as bar:

        def tell(download: Download) -> None:
            bar.total = download.total
            bar.update(download.done - bar.n)

        with accelerator.local_main_process_first():
            files, commit = find_clip(place, at, tell).download(tell)
    if commit is not None:
        place = Location(repo=name, revision=commit)
    return place, files


def parser() -> ArgumentParser:
    """Of its options; those of the recipe and of the collection are the fields of their dataclasses."""
    options = ArgumentParser(
        prog="python -m core.dictionary_training",
        description="Train a dictionary for a CLIP. Run the same command again to take up a run that was stopped. "
        "The defaults are those of the bundled setup; in brackets, what to begin with for a CLIP of usual size.",
        add_option_string_dash_variants=DashVariant.DASH,
    )
    options.add_argument(
        "--clip", type=str, required=True, help="a CLIP, SigLIP or other known model: a folder, or owner/name"
    )
    options.add_argument(
        "--place",
        choices=get_args(PlaceName),
        default="residual",
        help="what to read: the residual after a layer, the output of a layer's MLP, or the image embedding",
    )
    options.add_argument("--layer", type=int, help="that vision layer, from 0; not of the embedding")
    options.add_argument("--scope", choices=get_args(Scope), default="all", help="the tokens to read")
    options.add_argument("--out", type=Path, required=True, help="where the dictionary is written, and its catalog")
    options.add_argument("--checkpoint-every", type=int, default=1_000, help="write a checkpoint after so many steps")
    options.add_argument("--push", type=str, metavar="OWNER/NAME", help="put it there, on the Hub, with a card")
    options.add_argument("--private", action="store_true", help="with --push: let nobody else see it")
    options.add_argument("--licence", type=str, help="with --push: of the weights")
    options.add_arguments(DictionaryRecipe, "recipe")
    options.add_arguments(CollectionOptions, "collection")
    return options


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        arguments = parser().parse_args(words)
        _run(arguments)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    except KeyboardInterrupt as stop:
        last = newest_checkpoint(arguments.out / CHECKPOINTS)
        where = "the beginning" if last is None else f"step {int(last.name.removeprefix('step-')):,}"
        raise SystemExit(f"\nStopped. Run the same command again to go on from {where}.") from stop


def _run(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if (out / "cfg.json").exists() and newest_checkpoint(out / CHECKPOINTS) is None:
        raise UserError(f"{out} holds a dictionary already. Name another folder, or delete it.")
    if arguments.push is not None:
        check_repository(arguments.push)  # told before days of work, and not after
    accelerator = new_accelerator()
    collection = arguments.collection.open()
    if arguments.layer is None and arguments.place != WITHOUT_LAYER:
        raise UserError("Name the layer by --layer, or read the image embedding by --place embedding.")
    at = place_of(arguments.place, arguments.layer or 0)
    place, files = _fetch_clip(arguments.clip, at, accelerator)
    clip = read_clip(files, at, device_name(accelerator.device))
    scope = clip.scope(arguments.scope)
    trained = train_dictionary(
        clip,
        scope,
        collection,
        arguments.recipe,
        out,
        accelerator=accelerator,
        checkpoint_every=arguments.checkpoint_every,
        workers=arguments.collection.workers,
    )
    if not accelerator.is_main_process:
        return
    left_out = f", of which {trained.skipped:,} could not be read" if trained.skipped else ""
    print(f"Trained on {trained.pictures:,} pictures{left_out}.")
    print(
        f"It explains {100 * trained.explained_variance:.1f} % of the variance of tokens drawn as in training, with "
        f"{trained.active_per_token:.1f} components active at each."
    )
    on = f"{trained.pictures - trained.skipped:,} pictures of {collection.manifest['name']}"
    catalog = write_catalog(out, place, at, scope, arguments.recipe, on)
    (card,) = read_catalog(catalog).values()
    refused = report_health(card, out, clip)
    if refused is not None:
        raise UserError(f"{refused} The dictionary stays in {out}.")
    print(f"To use it: python app.py --catalog {catalog} --setup {card.name}")
    if arguments.push is not None:
        text = dictionary_card(
            arguments.push, card, clip.n_layers, arguments.recipe, trained, collection.manifest, arguments.licence
        )
        (out / CARD).write_text(text, encoding="utf-8")
        try:
            commit = push_dictionary(arguments.push, out, text, private=arguments.private)
        except UserError as trouble:
            raise UserError(
                f"{trouble} The dictionary and its card stay in {out}. Put them there with: hf upload "
                f"{arguments.push} {out} ."
            ) from trouble
        print(f'dictionary = {{ repo = "{arguments.push}", revision = "{commit}" }}')


if __name__ == "__main__":
    main()
