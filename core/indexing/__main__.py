"""The command that builds a concept index, `python -m core.indexing`: its options, and its errors as sentences."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch
from accelerate import PartialState
from safetensors import SafetensorError

from ..concepts.index import ConceptIndex
from ..errors import UserError
from ..methods.side_effects import VOCABULARY, probe_words, read_vocabulary
from ..pictures.options import add_collection_options, chosen_collection
from ..setups.catalog import find
from ..setups.loading import load as load_setup
from ..setups.options import add_setup_options, known_setups, own_setup
from .build import WORK, build, processes
from .recipe import IndexRecipe


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m core.indexing",
        description="Make the concept index of a setup: what each of its components fires for.",
        epilog="After a stop, the same command goes on. Several GPUs: accelerate launch -m core.indexing ...",
    )
    add_setup_options(parser)
    add_collection_options(parser, "scenes:index")
    index = parser.add_argument_group("the index")
    index.add_argument("--out", type=Path, required=True, help="the folder for it")
    index.add_argument("--top", type=int, default=IndexRecipe.top, help="references by largest activation")
    index.add_argument("--mean", type=int, default=IndexRecipe.mean, help="references by mean activation")
    index.add_argument("--mid", type=int, default=IndexRecipe.mid, help="references from around the median")
    index.add_argument("--side", type=int, default=IndexRecipe.side, help="pixels of a thumbnail's side")
    index.add_argument("--quality", type=int, default=IndexRecipe.quality, help="of thumbnails, 1 to 100")
    index.add_argument("--vocabulary", type=Path, default=VOCABULARY, help="labels to choose among, one a line")
    run = parser.add_argument_group("the run")
    run.add_argument("--batch", type=int, default=IndexRecipe.batch, help="pictures at a time")
    run.add_argument("--every", type=int, default=100, help="save after so many batches")
    return parser.parse_args(words)


def _run(arguments: argparse.Namespace, device: str) -> ConceptIndex:
    if arguments.every < 1:
        raise UserError("--every is 1 or more. Correct it.")
    own = arguments.clip or arguments.dictionary
    card = own_setup(arguments) if own else find(known_setups(arguments), arguments.setup or "bundled")
    try:
        # A word that stood there twice would be two guesses.
        words = tuple(dict.fromkeys(probe_words(read_vocabulary(arguments.vocabulary), card.knows, ())))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The vocabulary {arguments.vocabulary} cannot be read. Name a text file.") from error
    sizes = {name: getattr(arguments, name) for name in ("top", "mean", "mid", "side", "quality", "batch")}
    sample = max(IndexRecipe.mid_sample, 4 * arguments.mid)
    recipe = IndexRecipe(**sizes, mid_sample=sample, vocabulary=words)
    collection = chosen_collection(arguments)
    setup = load_setup(card, device, anyway=arguments.anyway)
    return build(setup, collection, arguments.out, recipe, every=arguments.every, workers=arguments.workers)


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _arguments(words)
    group = processes()
    try:
        index = _run(arguments, str(group.device))
    except KeyboardInterrupt:
        _fail(group, f"Stopped. What was saved is in {arguments.out / WORK}; the same command goes on from there.", 130)
    except UserError as trouble:
        _fail(group, str(trouble), 1)
    except torch.OutOfMemoryError:
        _fail(group, f"{arguments.batch} pictures at a time take too much memory. Choose a smaller --batch.", 1)
    except (OSError, SafetensorError) as error:
        _fail(group, f"Files in {arguments.out} cannot be read or written: {error}. The same command tries again.", 1)
    if group.is_main_process:
        manifest, fires = index.manifest, int((index.active_pictures > 0).sum())
        skipped = f" ({manifest.skipped:,} could not be read)" if manifest.skipped else ""
        print(
            f"{arguments.out}: {fires:,} of {index.n_components:,} components fire in {manifest.pictures:,} pictures"
            f"{skipped}; {len(index.pictures):,} of them are references."
        )
    group.destroy_process_group()


def _fail(group: PartialState, said: str, code: int) -> NoReturn:
    """End with a sentence. That of another process than the main one may be the only one that says why."""
    who = "" if group.is_main_process else f"Process {group.process_index + 1} of {group.num_processes}: "
    print(f"{who}{said}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
