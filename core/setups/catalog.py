"""Named setups: which CLIP, which dictionary, at which layer, read from `assets/catalog.toml`.

A setup's table; folders are relative to the catalog's own, and what is in brackets may be left out:

    [[setup]]
    name = "bundled"                            # how it is asked for
    title = "Bundled demo"                      # how it is shown
    clip = { folder = "bundled/clip" }          # a CLIP (see core/setups/clips), in a folder or on the Hub:
                                                # { repo = "owner/name", [revision = "main"] }
    dictionary = { folder = "bundled/dictionary" }      # the same, and [file = "20_resid/1.pt"], what to read in it
    [kind = "sae"]                              # or "words": then the dictionary is a file of words, one a line
    [layout = "sae_lens"]                       # how the dictionary's file is laid out: see core/setups/checkpoints
    [place = "residual"]                        # what the dictionary reads: the residual after a layer, "mlp", what the
                                                # MLP of a layer puts out, or "embedding", which has no layer
    layer = 3                                   # that layer of the vision tower, from 0
    scope = "all"                               # the tokens the dictionary was trained on: all, cls or patches
    licence = "MIT"                             # of the weights
    note = "It has only seen rendered scenes."  # what a visitor should know before trusting it
    [good_for = "quick trials"]
    [paper = "https://arxiv.org/abs/2604.11467"]
    [published = { explained_variance = 0.7, active_per_token = 32, dead_share = 0.0, source = "model card" }]
                                                # figures of standardised activations: with standardised = true
    [words = "bundled/words.txt"]               # all words it was trained with, one a line
    [report = "bundled/report.json"]            # how it scored on scenes with planted shortcuts
    [statistics = "statistics/a.safetensors"]   # of the CLIP's residual (see core/setups/residual_statistics.py)
    [mean_of = "scenes:index"]                  # pictures whose mean words are found beyond
    [index = { folder = "bundled/index" }]      # its concept index (see core/concepts/index.py), placed like the CLIP

Which of them somebody has loaded from where they are published, and what that came to, stands in the record beside the
catalog (`core.setups.verified`).
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field, Strict, StrictBool, TypeAdapter, ValidationError

from ..errors import UserError, echo
from ..files import ASSETS, as_text
from ..model.place_name import WITHOUT_LAYER, PlaceName
from ..model.scope import Scope
from .verified import FILE_NAME, Verification, read_verified

if TYPE_CHECKING:
    from ..model.places import Place

CATALOG = ASSETS / "catalog.toml"

Layout = Literal["sae_lens", "saev", "prisma", "clipscope", "patchsae", "dictionary_learning", "clip_topk_sae"]
"""How a dictionary's file is laid out; `core.setups.checkpoints` has a reader for each."""

DictionaryKind = Literal["sae", "words"]
"""What a dictionary is made of: the weights of a trained SAE, or words (see `core.setups.dictionaries`)."""

_FORBID: ConfigDict = {"extra": "forbid"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Location:
    """Where files are: a folder on this machine, or a repository on the Hugging Face Hub."""

    __pydantic_config__: ClassVar = _FORBID

    folder: Path | None = None
    """The folder; None for a repository."""
    repo: str | None = None
    """The repository, `owner/name`; None for a folder."""
    revision: str = "main"
    """Branch, tag or commit of the repository."""
    file: str = "."
    """The file, or the folder, inside. It may hold a `*`."""

    def __post_init__(self) -> None:
        """Raise UserError unless this is one place."""
        if (self.folder is None) == (self.repo is None):
            raise UserError("Name a folder, or a repository on the Hub, and not both.")
        if self.repo is not None and not _REPOSITORY.fullmatch(self.repo):
            raise UserError(f"“{self.repo}” does not name a repository. Write it as owner/name.")
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise UserError(f"“{self.file}” lies outside its folder. Name a file inside.")

    def __str__(self) -> str:
        """For the reader: the repository, or the folder's name, and what is in it."""
        return f"{self.repo or self.folder}{self._inside}"

    @property
    def stated(self) -> str:
        """The same on every machine: a folder without the way to it, a repository with its revision."""
        if self.folder is not None:
            return f"folder {as_text(self.folder.name)}{self._inside}"
        return f"{self.repo}{self._inside} at {self.revision}"

    @property
    def _inside(self) -> str:
        return "" if self.file == "." else f"/{self.file}"


@dataclass(frozen=True)
class Published:
    """Figures a release states of itself, to compare ours with."""

    __pydantic_config__: ClassVar = _FORBID

    explained_variance: Annotated[float, Strict(), Field(le=1)] | None = None
    """Over the tokens in scope, 0 to 1."""
    active_per_token: Annotated[float, Strict(), Field(ge=0)] | None = None
    """L0: components active at a token in scope."""
    dead_share: Annotated[float, Strict(), Field(ge=0, le=1)] | None = None
    """Share of components that hardly ever fire, 0 to 1."""
    source: str = ""
    """Where the figures stand."""
    standardised: StrictBool = False
    """Whether they are of activations that were standardised number by number: then the explained variance is another
    quantity (`core.setups.standardisation.Standardisation.explained_variance`), to be compared with none but itself."""


@dataclass(frozen=True)
class SetupSpec:
    """What is known of a setup without loading it, as pydantic checks it in a catalog."""

    __pydantic_config__: ClassVar = _FORBID

    name: str
    """How it is asked for."""
    title: str
    """How it is shown."""
    clip: Location
    """The CLIP."""
    dictionary: Location
    """The SAE."""
    layer: Annotated[int, Strict(), Field(ge=0)]
    """The vision layer that the place belongs to, from 0; of the embedding 0, too."""
    scope: Scope
    """The tokens the dictionary was trained on."""
    licence: str
    """Of the weights."""
    note: str
    """What a visitor should know before trusting it."""
    kind: DictionaryKind = "sae"
    """What the dictionary is made of. One of words is a file of them, one a line, and reads the embedding."""
    layout: Layout = "sae_lens"
    """How the file of an SAE is laid out."""
    place: PlaceName = "residual"
    """What of that layer the dictionary reads."""
    good_for: str = ""
    """One line on what to choose it for."""
    paper: str = ""
    """Address of the paper."""
    published: Published = Published()
    """What the release states of the dictionary."""
    vocabulary: Annotated[frozenset[str], Strict()] | None = None
    """Every word its texts had in training, in lower case; None when that is practically any word."""
    report: Path | None = None
    """How it scored on scenes with planted shortcuts; None where that is not known."""
    statistics: Path | None = None
    """Mean and deviation of the CLIP's residual, for a dictionary whose file lacks them; None: measured when needed."""
    mean_of: str | None = None
    """Pictures whose mean is taken off before words are found in one: a folder, a zip, a data set, or scenes:index;
    None for those that ship (see `core.setups.dictionaries.words`)."""
    index: Location | None = None
    """Its concept index; None where nobody has built one."""
    verification: Verification | None = None
    """What verifying it came to last; None where nobody has, or where it was described otherwise then."""

    @property
    def verified(self) -> bool:
        """Whether it has been loaded from where it is published, and all that was checked held."""
        return self.verification is not None and self.verification.outcome == "good"

    @property
    def stated(self) -> str:
        """What is loaded for it, and how it is read, in a line: a verification is of that."""
        where = f"layer {self.layer}" if self.place == "residual" else f"{self.place}, layer {self.layer}"
        how = self.layout if self.kind == "sae" else self.kind
        return f"{self.clip.stated}; {self.dictionary.stated}; {where}, {self.scope}, {how}"

    @property
    def at(self) -> "Place":
        """The place of the vision tower that the dictionary reads."""
        from ..model.places import place_of  # here, since a catalog is read before the libraries are there

        return place_of(self.place, self.layer)

    @property
    def at_pinned_commits(self) -> bool:
        """Whether both come from the Hub at one commit each: the very files that whoever wrote this meant."""
        return all(
            location.repo is not None and _COMMIT.fullmatch(location.revision) is not None
            for location in (self.clip, self.dictionary)
        )

    @property
    def reconstructs(self) -> bool:
        """Whether its dictionary was trained to hold what it reads, so that one that hardly does is a wrong one."""
        return self.kind == "sae"

    @property
    def downloads(self) -> bool:
        """Whether any of it comes from the Hub."""
        return self.clip.repo is not None or self.dictionary.repo is not None


def read_catalog(path: Path = CATALOG) -> Mapping[str, SetupSpec]:
    """The setups of a catalog by name, in its order, each with what verifying it came to.

    Raises UserError for a table that is not as above, and for a record that cannot be read.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("setup", [])
    except (OSError, ValueError) as error:
        raise UserError(f"The catalog {path.name} cannot be read: {error}. Correct it.") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"The catalog {path.name} cannot be read: each setup is a table of its own. Write [[setup]].")
    records = read_verified(path.with_name(FILE_NAME))
    cards: dict[str, SetupSpec] = {}
    for table in tables:
        card = _card(table, path.parent)
        if (record := records.get(card.name)) is not None and record.stated == card.stated:
            card = replace(card, verification=record)
        if card.name in cards:
            raise UserError(f"The catalog names the setup {card.name!r} twice. Rename one of them.")
        cards[card.name] = card
    return MappingProxyType(cards)


def find(cards: Mapping[str, SetupSpec], name: str) -> SetupSpec:
    """The card of that name. Raises UserError when there is none."""
    if name not in cards:
        raise UserError(f"There is no setup “{echo(name)}”. Choose one of: {', '.join(cards)}.")
    return cards[name]


_CHECKED = TypeAdapter(SetupSpec)
_CHOICES = {
    "layout": get_args(Layout),
    "scope": get_args(Scope),
    "place": get_args(PlaceName),
    "kind": get_args(DictionaryKind),
}


def _card(table: dict[str, Any], folder: Path) -> SetupSpec:
    name = table.get("name", "without a name")
    if "verification" in table:
        raise UserError(f"The setup {name!r} in the catalog names its verification, which is measured. Leave it out.")
    try:
        return _CHECKED.validate_python(_anchored(table, folder))
    except (OSError, UnicodeDecodeError, RuntimeError) as error:  # of `expanduser`, where nobody has such a home
        raise UserError(f"The setup {name!r} in the catalog names a file that cannot be read: {error}.") from error
    except ValidationError as error:
        raise UserError(_sentence(name, error)) from error


def _anchored(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A table with its files and folders as paths from the catalog's own folder, and with the words that it names."""
    entries = dict(table)
    if entries.get("place") == WITHOUT_LAYER:
        entries.setdefault("layer", 0)
    for part in ("clip", "dictionary", "index"):
        place = entries.get(part)
        if isinstance(place, dict) and isinstance(place.get("folder"), str):
            entries[part] = place | {"folder": folder / Path(place["folder"]).expanduser()}
    for part in ("report", "statistics"):
        if isinstance(entries.get(part), str):
            entries[part] = folder / entries[part]
    if isinstance(entries.get("words"), str):
        words = (folder / entries.pop("words")).read_text(encoding="utf-8")
        entries["vocabulary"] = frozenset(words.lower().split())
    return entries


def _sentence(name: str, error: ValidationError) -> str:
    """What is wrong with the table of the setup of that name: its entries' names first, then the first wrong value."""
    found = [("/".join(map(str, one["loc"])), one) for one in error.errors()]
    misnamed = [where for where, one in found if one["type"] in ("missing", "unexpected_keyword_argument")]
    if misnamed:
        return f"The setup {name!r} in the catalog lacks or misnames an entry: {', '.join(misnamed)}."
    where, first = found[0]
    value = first["input"]
    if isinstance(own := first.get("ctx", {}).get("error"), UserError):
        return f"The setup {name!r} in the catalog: {own}"
    if where in _CHOICES:
        return f"The setup {name!r} has the {where} {value!r}. Choose one of: {', '.join(_CHOICES[where])}."
    if where == "layer":
        return f"The setup {name!r} has the layer {value!r}. Give it a whole number, from 0."
    return f"The setup {name!r} in the catalog has a {where} that cannot be used: {first['msg']}. Correct it."
