"""What is typed behind `python app.py`. Its parser needs none of the libraries, so that faults are told at once."""

import argparse
from collections.abc import Sequence

from ..setups.options import add_setup_options


def app_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The app's options. Exits with help, or a sentence, where that is asked for or they are not understood."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="CLIP Levers: find what drives a CLIP prediction, and pull it."
    )
    add_setup_options(parser)
    parser.add_argument("--index", help="a concept index of that setup: a folder, or owner/name on the Hub")
    return parser.parse_args(words)
