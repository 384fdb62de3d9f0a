"""Named setups: which CLIP, which dictionary, at which layer, read from `assets/catalog.toml`.

A setup's table, with paths relative to the catalog's folder:

    [[setup]]
    name = "bundled"                    # how it is asked for
    title = "Bundled demo model"        # how it is shown
    clip = "bundled/clip"               # a Hugging Face CLIP folder
    dictionary = "bundled/dictionary"   # a sae_lens folder
    layer = 3                           # residual after this layer of the vision tower, from 0
    scope = "all"                       # the tokens the dictionary was trained on: all, cls or patches
    licence = "MIT"
    note = "It has only seen rendered scenes."
    words = "bundled/words.txt"         # optional: all words it was trained with, one a line
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .clip import SplitClip
from .dictionary import Dictionary, Scope
from .errors import Trouble

CATALOG = Path(__file__).parents[1] / "assets" / "catalog.toml"


@dataclass(frozen=True)
class SetupCard:
    """What is known of a setup without loading it."""

    name: str
    """How it is asked for."""
    title: str
    """How it is shown."""
    clip: Path
    """Folder of the CLIP."""
    dictionary: Path
    """Folder of the SAE."""
    layer: int
    """The residual is the output of this vision layer, from 0."""
    scope: Scope
    """The tokens the dictionary was trained on."""
    licence: str
    """Of the weights."""
    note: str
    """What a visitor should know before trusting it."""
    knows: frozenset[str] | None = None
    """Every word its texts had in training, in lower case; None when that is practically any word."""


@dataclass(frozen=True)
class Setup:
    """A setup, loaded. Read-only, and shared by all visitors."""

    card: SetupCard
    """What it is."""
    clip: SplitClip
    """The model, split at the card's layer."""
    dictionary: Dictionary
    """The components of that layer."""


def read_catalog(path: Path = CATALOG) -> Mapping[str, SetupCard]:
    """The setups of a catalog by name, in its order. Raises Trouble for a table that is not as above."""
    cards = {}
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("setup", []):
        card = _card(dict(table), path.parent)
        if card.name in cards:
            raise Trouble(f"The catalog names the setup {card.name!r} twice. Rename one of them.")
        cards[card.name] = card
    return MappingProxyType(cards)


def load(card: SetupCard, device: str = "cpu") -> Setup:
    """Load a setup. Raises Trouble when its parts are missing or do not fit each other."""
    for folder in (card.clip, card.dictionary):
        if not folder.is_dir():
            raise Trouble(f"The setup {card.name!r} needs the folder {folder}, which is not there.")
    clip = SplitClip.from_folder(card.clip, card.layer, device)
    dictionary = Dictionary.from_folder(card.dictionary, card.scope, device)
    if dictionary.width != clip.width:
        raise Trouble(
            f"The dictionary of the setup {card.name!r} is for a residual {dictionary.width} wide; "
            f"its CLIP has {clip.width}. Choose one trained on this CLIP."
        )
    return Setup(card, clip, dictionary)


def load_setup(name: str, device: str = "cpu", catalog: Path = CATALOG) -> Setup:
    """Load the setup of that name. Raises Trouble when the catalog has none."""
    cards = read_catalog(catalog)
    if name not in cards:
        raise Trouble(f"There is no setup {name!r}. Choose one of: {', '.join(cards)}.")
    return load(cards[name], device)


def _card(table: dict, folder: Path) -> SetupCard:
    words = table.pop("words", None)
    known = None if words is None else (folder / words).read_text(encoding="utf-8").lower().split()
    try:
        paths = {part: folder / table.pop(part) for part in ("clip", "dictionary")}
        return SetupCard(**paths, **table, knows=None if known is None else frozenset(known))
    except (KeyError, TypeError) as error:
        name = table.get("name", "without a name")
        raise Trouble(f"The setup {name!r} in the catalog lacks or misnames an entry: {error}.") from error
