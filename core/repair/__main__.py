"""The command that finds a repair, `python -m core.repair`: its options, what it prints, and the recipe it saves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from simple_parsing import ArgumentParser, DashVariant
from tqdm import tqdm

from ..errors import UserError
from ..methods.failures import confusions
from ..methods.generalization import Generalization
from ..methods.picture_set import PictureSet
from ..methods.steering import Edit
from ..methods.targets import ClassTarget
from ..model.devices import best_device
from ..model.prompts import TEMPLATES, parse_classes
from ..model.sae_clip import BATCH
from ..pictures.batches import batches
from ..pictures.drawn import n_pictures
from ..pictures.options import LabelledOptions
from ..progress import show_stage
from ..recipes import claim_of, make_recipe, save_recipe
from ..setups.loading import load as load_setup
from ..setups.options import add_setup_options, named_setup
from ..words import count, percent
from ..workbench import Step, Workbench
from .repair import FoundRepair, RepairOptions, find_repair, judge, sampled, share_right

SHOWN = 8
"""Kinds of failure that are listed."""

Answer = TypeVar("Answer", PictureSet, FoundRepair, Generalization)


def parser() -> ArgumentParser:
    """Of its options; most are the fields of dataclasses."""
    options = ArgumentParser(
        prog="python -m core.repair",
        description="Find the components that drive failures among many labelled pictures, an edit that repairs them, "
        "and what may be promised of it; save it as a recipe.",
        add_option_string_dash_variants=DashVariant.DASH,
    )
    add_setup_options(options)
    options.add_argument("--out", type=Path, required=True, help="the folder for the recipe")
    options.add_argument("--classes", type=str, help="separated by commas; by default those that the labels name")
    options.add_argument("--wording", choices=tuple(TEMPLATES), default="single", help="the templates around a class")
    options.add_argument("--title", type=str, default="Repaired", help="of the recipe")
    options.add_argument(
        "--whole-encoder", action="store_true", help="of a top-k dictionary, so that the recipe needs nothing else"
    )
    options.add_arguments(RepairOptions, "repair")
    options.add_arguments(LabelledOptions, "collection")
    return options


def _run(arguments: argparse.Namespace) -> None:
    collection = arguments.collection.open()
    setup = load_setup(named_setup(arguments, "bundled"), best_device(), anyway=arguments.anyway)
    bench, templates = Workbench(setup), TEMPLATES[arguments.wording]
    classes = parse_classes(arguments.classes).names if arguments.classes else ()
    options, workers = arguments.repair, arguments.collection.workers
    drawn, others = sampled(bench, collection, options.sample)
    stream = batches(drawn, setup.clip.crop, BATCH, range(drawn.n_parts), workers=workers)
    labels = tuple(sorted(collection.classes)) if others is not None else ()  # of the sample some may be missing
    read = _answer(bench.read_set(stream, classes or labels, templates, drawn.size))
    for name, why in read.troubles[:SHOWN]:
        print(f"Left out: {name}: {why}")
    if (more := len(read.troubles) - SHOWN) > 0:
        print(f"… and {count(more, 'other')}.")
    pictures = options.chosen(read)
    recipe_of = partial(
        make_recipe,
        setup,
        classes=pictures.classes,
        templates=templates,
        title=arguments.title,
        whole_encoder=arguments.whole_encoder,
    )
    recipe_of(Edit.of_suppressed([0]), target=ClassTarget(0))  # what could not be saved is not to be looked for
    if others is not None:
        drawn_of = f"{len(read):,} of {n_pictures(collection):,} pictures"
        print(f"It is looked for on {drawn_of}, drawn by a hash of their names; the others judge it.")
    print(f"{count(len(pictures), 'picture')}, {percent(share_right(pictures))} % of those with a label right.")
    for confusion, n in list(confusions(pictures).items())[:SHOWN]:
        print(f"  {n:>6}  {confusion.words(pictures.classes)}")
    found = _answer(find_repair(bench, pictures, templates, options))
    print(found.findings, found.trial, sep="\n")
    described = f"{collection.manifest['kind']} {collection.manifest['name']}"
    if found.promise is not None:
        print(found.promise.said(described))

    def save(trial: Generalization) -> None:
        claim = claim_of(trial, described, unseen=True, confidence=options.confidence)
        recipe = recipe_of(found.edit, target=found.target, claims=[claim])
        save_recipe(recipe, arguments.out)
        print(recipe, f"It is in {arguments.out}.", sep="\n")

    save(found.trial)
    if others is not None:
        try:
            trial = _answer(judge(bench, others, found, pictures.classes, templates, options, workers))
        except KeyboardInterrupt:
            print("Stopped. The recipe says what the edit did to those of the sample that judge it.", file=sys.stderr)
            sys.exit(130)
        print(trial)
        save(trial)


def _answer(steps: Iterable[Step | Answer]) -> Answer:
    """The answer of work in steps; until then a bar shows how far it is."""
    with tqdm(unit="", leave=False) as bar:
        for step in steps:
            if not isinstance(step, tuple):
                return step
            show_stage(bar, *step)
    raise AssertionError


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        _run(parser().parse_args(words))
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    except KeyboardInterrupt:
        print("Stopped. Nothing was saved.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
