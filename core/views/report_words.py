"""Report of a setup's scores on scenes with planted shortcuts -> sentences. Only the bundled one has such a report."""

import json
from pathlib import Path
from typing import Any

from ..scenes.shortcuts import CUES


def read_report(path: Path | None) -> dict[str, Any]:
    """How levers did, by shortcut; nothing where that is not known."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["levers"] if path is not None else {}
    except (OSError, KeyError, ValueError):
        return {}


def repair_words(report: dict[str, Any]) -> str:
    """How often what the first example shows works at large; nothing while there is no report."""
    if not report:
        return ""
    off, back = (100 * report["attacked"][key]["1"] for key in ("off_the_lure", "back_to_truth"))
    return (
        f"Chosen: one suppression repairs this one. Of all pictures fooled by a note, one turns {off:.0f} % off the "
        f"written word and, where removing the note would, {back:.0f} % back to the right class."
    )


def ceiling_words(report: dict[str, Any], cue: str) -> str:
    """How often removing a cue repairs a fooled picture, and how often suppressing components does the same."""
    if not report:
        return ""
    found = report[CUES[cue]]
    return (
        f"Of {found['fooled_pictures']} held-out scenes fooled by the {cue}, removing it puts "
        f"{100 * found['ceiling_removing_the_cue']:.0f} % right; of these, suppressing at most 5 components puts "
        f"{100 * found['back_to_truth_with_at_most_5']:.0f} % right."
    )
