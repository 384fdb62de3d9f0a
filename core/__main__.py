"""Run the app or a command by name: `clip-levers NAME ...`, or `python -m core NAME ...` in a checkout."""

import runpy
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "app": ("page", "open the app on this machine"),
        "indexing": ("indexing", "make a concept index: what every component fires for"),
        "repair": ("repair", "find an edit that repairs failures among many pictures, and save it as a recipe"),
        "validation": ("validation", "hold a recipe's bounds against many pictures: a gate for a CI"),
        "verify": ("setups.verify", "load published setups and record what holds of them"),
        "dictionary-training": ("dictionary_training", "train a dictionary (SAE) for any CLIP"),
        "faithfulness": ("faithfulness", "compare attribution methods by deletion and insertion"),
        "bundled-training": ("bundled.training", "rebuild the bundled weights from nothing"),
        "bundled-scoring": ("bundled.scoring", "score the bundled weights against planted shortcuts"),
        "bundled-examples": ("bundled.examples", "draw the example pictures anew"),
        "photograph-examples": ("pictures.photograph_examples", "draw the photographs with a planted cue anew"),
        "concept-quality": ("bundled.concept_quality", "hold the bundled components against what the scenes hold"),
        "repair-scoring": ("bundled.repair_scoring", "hold a repair found from failures against its rivals"),
        "family-scoring": ("bundled.family_scoring", "score families of components against planted shortcuts"),
    }
)
"""Each command: its module in this package, and what it does."""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command that the first word names with the words behind it. Exits with the names where there is none."""
    name, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    if name in ("-h", "--help"):
        print("usage: clip-levers NAME ...\n")
        print("\n".join(f"  {each:<20} {what}" for each, (_, what) in COMMANDS.items()))
        print("\nclip-levers NAME --help tells the options of each.")
        return
    if name not in COMMANDS:
        raise SystemExit(f"There is no command {name!r}. Choose one of: {', '.join(COMMANDS)}.")
    sys.argv = [f"clip-levers {name}", *rest]
    runpy.run_module(f"{__package__}.{COMMANDS[name][0]}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
