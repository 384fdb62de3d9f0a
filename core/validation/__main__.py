"""The command that validates a recipe, `python -m core.validation`: its options, and its exit codes for a CI.

0: every bound that was stated holds. 1: one does not. 2: one cannot be judged, on too few pictures, or something that
was given cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simple_parsing import ArgumentParser, DashVariant

from ..errors import UserError
from ..model.devices import device_name
from ..pictures.options import LabelledOptions
from ..recipes import RecipeFacts, check_setup, load_recipe
from ..setups.catalog import SetupSpec
from ..setups.loading import load as load_setup
from ..setups.options import add_setup_options, known_setups, named_setup
from ..streaming import fail, processes, stops_told, threads_apart
from .report import MARKS, ValidationReport
from .validate import ReportOptions, ValidatedEdit, validate
from .verdict import EXIT_CODES, StatedBounds

CANNOT = EXIT_CODES["cannot be judged"]


def parser() -> ArgumentParser:
    """Of its options; most are the fields of dataclasses."""
    options = ArgumentParser(
        prog="python -m core.validation",
        description="Hold what is promised of a recipe against many labelled pictures. "
        "Exits with 0 where every bound holds, 1 where one does not, 2 where one cannot be judged.",
        epilog="After a stop, the same command goes on. Several GPUs: accelerate launch -m core.validation ...; "
        "several processes on CPUs: torchrun --nproc-per-node 2 -m core.validation ...",
        add_option_string_dash_variants=DashVariant.DASH,
    )
    options.add_argument("recipe", type=str, metavar="RECIPE", help="its folder, or owner/name on the Hub")
    options.add_argument("--recipe-revision", type=str, default="main", help="of a recipe on the Hub")
    options.add_argument("--out", type=Path, default=Path("validation"), help="the folder for the report")
    options.add_argument("--every", type=int, default=100, help="save after so many batches")
    add_setup_options(options)
    options.add_arguments(StatedBounds, "bounds")
    options.add_arguments(LabelledOptions, "collection")
    options.add_arguments(ReportOptions, "report")
    return options


def _run(arguments: argparse.Namespace, device: str, threads: int) -> ValidationReport:
    if arguments.every < 1:
        raise UserError("--every is 1 or more. Correct it.")
    recipe = load_recipe(arguments.recipe, arguments.recipe_revision)
    collection = arguments.collection.open()
    setup = load_setup(_card(arguments, recipe.facts), device, anyway=arguments.anyway)
    check_setup(recipe, setup)
    return validate(
        setup,
        collection,
        arguments.out,
        ValidatedEdit(recipe.facts.title, recipe.facts.edit, recipe.facts.classes, recipe.facts.templates),
        arguments.bounds,
        arguments.report,
        every=arguments.every,
        workers=arguments.collection.workers,
        threads=threads,
    )


def _card(arguments: argparse.Namespace, facts: RecipeFacts) -> SetupSpec:
    """The setup that is named, else the one of the catalogs that the recipe names. Raises UserError for neither."""
    is_named = arguments.setup or arguments.clip or arguments.dictionary
    if not is_named and facts.setup not in known_setups(arguments):
        of = facts.identity
        raise UserError(
            f"The recipe's setup “{facts.setup}” is in no catalog here: it is {of.clip} with {of.dictionary}, after "
            f"layer {of.layer}. Name it by --catalog, or by --clip, --dictionary and --layer."
        )
    return named_setup(arguments, facts.setup)


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        arguments = parser().parse_args(words)
    except UserError as trouble:
        fail(processes(), str(trouble), CANNOT)
    group = processes()
    with stops_told(group, arguments.out, arguments.report.batch, CANNOT), threads_apart(group) as threads:
        report = _run(arguments, device_name(group.device), threads)
    group.destroy_process_group()
    if group.is_main_process:  # where another said so too, the launcher would end this one before its words are out
        print(f"{report.recipe}: {report.outcome}")
        for verdict in report.bounds:
            print(f"{MARKS[verdict.outcome]} It {verdict.asks}: {verdict.outcome}. {verdict.said}")
        print(*report.remarks, f"The report is in {arguments.out}.", sep="\n")
        sys.exit(EXIT_CODES[report.outcome])


if __name__ == "__main__":
    main()
