"""The command that verifies catalogued setups: ``python -m core.setups.verify [names]``.

Each setup is loaded from where it is published and held against what is known of it (`core.setups.verification`). What
that comes to is written at once into the record beside the catalog, so that a run that is stopped goes on where it was:
without names, those that nobody has verified come first, then the others from the oldest on, and what was verified
within the last hours is left out. One that fails does not stop the rest. The exit status is 1 where one did.
"""

import argparse
import gc
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from ..errors import UserError
from ..progress import show_stage
from ..words import count, markdown_table, size_in_words
from .catalog import CATALOG, SetupSpec, find, read_catalog
from .loading import Loading
from .verification import verify
from .verified import FILE_NAME, LeversAtWork, Verification, read_verified, write_verified

FRESH = timedelta(hours=20)
"""A setup that was verified so lately is left out, unless it is named."""


def parser() -> argparse.ArgumentParser:
    """Of its options."""
    options = argparse.ArgumentParser(
        prog="python -m core.setups.verify",
        description="Load setups of the catalog from where they are published, hold their files, figures and answers "
        "against what is known of them, try levers on pictures with a known cue, and write what it comes to into "
        f"{FILE_NAME} beside the catalog.",
    )
    options.add_argument("names", nargs="*", help="of setups; by default all, those of which least is known first")
    options.add_argument("--catalog", type=Path, default=CATALOG, help="another catalog; its record lies beside it")
    options.add_argument("--minutes", type=float, help="begin with no other setup after so many")
    return options


def _run(arguments: argparse.Namespace) -> bool:
    """Whether all that was asked for is good."""
    cards, record = read_catalog(arguments.catalog), arguments.catalog.with_name(FILE_NAME)
    names = arguments.names or _in_turn(cards)
    asked = [find(cards, name) for name in dict.fromkeys(names)]
    begun, failed = monotonic(), []
    for done, card in enumerate(asked):
        if arguments.minutes is not None and monotonic() - begun > 60 * arguments.minutes:
            print(f"{count(len(asked) - done, 'setup')} left for another run: the time is over.")
            break
        print(f"{card.name} ({done + 1} of {len(asked)}): {card.stated}", flush=True)
        try:
            found = _told(card)
        except UserError as trouble:  # nothing that speaks of the setup: its record stays as it was
            failed.append(card.name)
            print(f"  not verified: {trouble}", flush=True)
            continue
        finally:
            gc.collect()  # modules of transformers and sae_lens refer to themselves in circles
        write_verified(record, {**read_verified(record), card.name: found})
        print(_said(found), flush=True)
        if found.outcome != "good":
            failed.append(card.name)
    if failed:
        print(f"Not good: {', '.join(failed)}.")
    return not failed


def _in_turn(cards: Mapping[str, SetupSpec]) -> list[str]:
    """The setups that are due: those without a record first, then the oldest. Own copies that are not here are told."""
    due: list[tuple[datetime, str]] = []
    now = datetime.now(UTC)
    for name, card in cards.items():
        missing = [place.folder for place in (card.clip, card.dictionary) if place.folder and not place.folder.is_dir()]
        if missing:
            print(f"{name}: left out, for there is no folder {missing[0]}.")
            continue
        date = datetime.min.replace(tzinfo=UTC) if card.verification is None else card.verification.date
        if now - date > FRESH:
            due.append((date, name))
    return [name for _, name in sorted(due, key=lambda one: one[0])]


def _told(card: SetupSpec) -> Verification:
    """Verify it, with a bar for how far it is."""
    with tqdm(unit="", leave=False, unit_scale=True, disable=None) as bar:

        def tell(step: Loading) -> None:
            show_stage(bar, f"{card.name}: {step.said}", step.done, step.total or None)

        return verify(card, tell)


def _said(found: Verification) -> str:
    """What it came to, for a terminal."""
    n_bytes = sum(part.n_bytes for part in (found.clip, found.dictionary) if part is not None)
    lines = [f"  {found.outcome}, in {found.seconds} s, of {size_in_words(n_bytes)}. {found.reason}".rstrip()]
    if found.published_tokens:
        lines.append(f"  The token ids of {count(found.published_tokens, 'text')} are as published.")
    if found.levers is not None:
        lines += ["", levers_table(found.levers), ""]
    return "\n".join(lines)


def levers_table(levers: LeversAtWork) -> str:
    """What cues do, and levers about it, as a table in Markdown."""
    rows = [
        ("says the class that the cue names", levers.fooled.words, "", ""),
        ("says another wrong class", levers.other.words, "", ""),
        *((trial.words, trial.off.words, trial.back.words, trial.broken.words) for trial in levers.trials),
    ]
    heads = (
        f"{levers.pairs} {levers.pictures}; at most {levers.levers} suppressed",
        "off the wrong class",
        "back to the right class",
        "clean ones broken",
    )
    return markdown_table(heads, rows)


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    try:
        good = _run(parser().parse_args(words))
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    except KeyboardInterrupt:
        print("Stopped. What was verified is recorded; the same command goes on with the rest.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
