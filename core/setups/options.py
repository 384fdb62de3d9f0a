"""Command-line options that name a setup: one of the catalog, of another catalog, or one's own."""

import argparse
from pathlib import Path
from typing import get_args

from ..errors import UserError
from ..files import ASSETS
from ..model.place_name import WITHOUT_LAYER, PlaceName
from ..model.scope import Scope
from .catalog import Layout, Location, SetupSpec, find, read_catalog

WORDS = ASSETS / "words.txt"
"""Everyday words and short concepts, for a CLIP without a dictionary."""
WORDS_NOTE = (
    "No dictionary was named, so its components are words: the image embedding as a sum of a few words’ text "
    "embeddings. There is no map of the picture, and what these words do not say of it, often most, can be neither "
    "explained nor steered."
)
"""What a visitor should know before trusting words."""


def add_setup_options(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which setup: one of the catalog, or one of one's own (`own_setup`)."""
    parser.add_argument("--setup", type=str, help="a setup of the catalog")
    parser.add_argument("--catalog", type=Path, help="a catalog of more setups, such as core.dictionary_training makes")
    parser.add_argument(
        "--anyway", action="store_true", help="open a setup although its dictionary does not fit its CLIP"
    )
    own = parser.add_argument_group("a setup of your own (never on a public Space)")
    own.add_argument("--clip", type=str, help="a CLIP in Hugging Face's layout: a folder, or owner/name on the Hub")
    own.add_argument("--dictionary", type=str, help="its SAE: a file, a folder, or owner/name on the Hub")
    own.add_argument("--file", type=str, default=".", help="the file or folder in there; by default the folder itself")
    own.add_argument("--layout", choices=get_args(Layout), default="sae_lens")
    own.add_argument(
        "--place",
        choices=get_args(PlaceName),
        help="what the SAE reads: the residual after a layer (as is taken where nothing is said), the output of a "
        "layer's MLP, or the image embedding",
    )
    own.add_argument("--layer", type=int, help="that layer of the vision tower, from 0; not of the embedding")
    own.add_argument(
        "--words",
        type=Path,
        help="without a dictionary: its words, one a line, in place of the everyday ones that ship; see core/README.md",
    )
    own.add_argument(
        "--mean-of", type=str, help="for words: pictures whose mean is taken off (a folder, a zip, a data set)"
    )
    own.add_argument("--scope", choices=get_args(Scope), default="all", help="the tokens the SAE was trained on")


def known_setups(arguments: argparse.Namespace) -> dict[str, SetupSpec]:
    """The setups of the catalog, and of another one that is named. Raises UserError when both have one of a name."""
    cards = dict(read_catalog())
    for name, card in (read_catalog(arguments.catalog) if arguments.catalog else {}).items():
        if name in cards:
            raise UserError(f"There is a setup {name!r} already. Give that of {arguments.catalog} another name.")
        cards[name] = card
    return cards


def named_setup(arguments: argparse.Namespace, otherwise: str) -> SetupSpec:
    """The setup that options name, one's own or one of the catalogs; else the one called `otherwise`.

    Raises UserError where there is none of that name, or one's own is not wholly named.
    """
    if arguments.clip or arguments.dictionary:
        return own_setup(arguments)
    return find(known_setups(arguments), arguments.setup or otherwise)


def own_setup(arguments: argparse.Namespace) -> SetupSpec:
    """The setup of one's own that options name. Raises UserError where they do not wholly."""
    if arguments.clip and not arguments.dictionary:
        return _of_words(arguments)
    layer = 0 if arguments.place == WITHOUT_LAYER else arguments.layer
    if not arguments.clip or layer is None or arguments.words or arguments.mean_of:
        raise UserError(
            "A setup of your own needs --clip, and a dictionary: either --dictionary and --layer (or --place embedding "
            "in place of a layer), or none of these; then its components are words. Name one or the other."
        )
    return SetupSpec(
        name="own",
        title="Your own setup",
        clip=place_named(arguments.clip, "."),
        dictionary=_dictionary_named(arguments.dictionary, arguments.file),
        layer=layer,
        place=arguments.place or "residual",
        scope=arguments.scope,
        layout=arguments.layout,
        licence="as its makers say",
        note="Named on the command line.",
    )


def _of_words(arguments: argparse.Namespace) -> SetupSpec:
    """A CLIP without a dictionary: its components are words."""
    if arguments.layer is not None or arguments.place not in (None, WITHOUT_LAYER):
        raise UserError(
            "Without --dictionary the components are words, which are of the image embedding. Leave --layer and "
            "--place out, or name the dictionary that reads there."
        )
    file = WORDS if arguments.words is None else arguments.words.expanduser()
    return SetupSpec(
        name="own",
        title="Your own setup",
        clip=place_named(arguments.clip, "."),
        dictionary=_dictionary_named(str(file), "."),
        layer=0,
        place=WITHOUT_LAYER,
        scope="cls",
        kind="words",
        mean_of=arguments.mean_of,
        licence="as its makers say",
        note=WORDS_NOTE,
    )


def as_options(card: SetupSpec) -> str:
    """The options that name a setup, as `named_setup` reads them; of a folder not where it lies."""
    if card.name != "own":
        return f"--setup {card.name}"
    told, dictionary = [f"--clip {card.clip.repo or 'CLIP_FOLDER'}"], card.dictionary
    if card.kind == "words":
        told += [f"--words {dictionary.file}"] * (dictionary != Location(WORDS.parent, file=WORDS.name))
        told += ["--mean-of PICTURES"] * (card.mean_of is not None)
        return " ".join(told)
    told.append(f"--dictionary {dictionary.repo or 'DICTIONARY_FOLDER'}")
    told += [f"--file {dictionary.file}"] * (dictionary.file != ".")
    told += [f"--layout {card.layout}"] * (card.layout != "sae_lens")
    told += [f"--place {card.place}"] * (card.place != "residual")
    told += [f"--layer {card.layer}"] * (card.place != WITHOUT_LAYER)
    return " ".join([*told, f"--scope {card.scope}"])


def place_named(text: str, file: str) -> Location:
    """A folder where there is one of that name, else a repository. Raises UserError for what can be neither."""
    folder = Path(text).expanduser()
    if folder.is_dir():
        return Location(folder=folder, file=file)
    if folder.is_file():
        raise UserError(f"{text} is a file, and a folder is needed. Name the folder that it lies in.")
    if text.startswith((".", "/", "~")):
        raise UserError(f"There is no folder {text}. Correct the path, or name a repository on the Hub.")
    return Location(repo=text, file=file)


def _dictionary_named(text: str, file: str) -> Location:
    """As `place_named`; a file is itself in its folder."""
    path = Path(text).expanduser()
    if path.is_file() and file == ".":
        return Location(folder=path.parent, file=path.name)
    return place_named(text, file)
