"""Record of verifications: what loading each catalogued setup from where it is published came to, and when.

`core.setups.verify` writes it, as `verified.json` beside the catalog; `core.setups.catalog` reads the marks from it. An
entry holds what was loaded, by commits and hashes, the figures that were measured, and what levers do there on pictures
whose cue is known. It is of one description of a setup (`SetupSpec.stated`), and of no other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, TypeAdapter

from ..errors import UserError, first_line
from ..files import replacing
from ..words import in_percent

FILE_NAME = "verified.json"
"""Beside the catalog whose setups it is of."""

_FORBID: ConfigDict = {"extra": "forbid"}

ChosenOn = Literal["each picture", "other pictures"]
"""What components were chosen on: on each picture for itself, or once for all on pictures that are not judged."""
ChosenBy = Literal["attribution", "matched random", "most active"]
"""How they were chosen."""


@dataclass(frozen=True)
class Share:
    """So many of so many pictures, with Wilson's 95 % interval, 0 to 1."""

    __pydantic_config__: ClassVar = _FORBID

    k: int
    """Of which it holds."""
    of: int
    """All."""
    low: float
    """Where the interval begins; 0 of no picture."""
    high: float
    """Where it ends; 1 of no picture."""

    @classmethod
    def counted(cls, k: int, of: int) -> "Share":
        """With its interval, to four places."""
        from ..stats import wilson  # here: the catalog is read before any library

        low, high = wilson(k, of)
        return cls(k, of, round(low, 4), round(high, 4))

    @property
    def words(self) -> str:
        """For a table."""
        if not self.of:
            return "of none"
        return f"{in_percent(self.k / self.of)} of {self.of} ({100 * self.low:.0f} to {100 * self.high:.0f} %)"


@dataclass(frozen=True)
class LeverTrial:
    """What suppressing components chosen in one way does to pictures that a cue fools."""

    __pydantic_config__: ClassVar = _FORBID

    chosen_on: ChosenOn
    """Whether each picture has an edit of its own."""
    by: ChosenBy
    """What the components were chosen by."""
    off: Share
    """Of the fooled pictures: the foil is not said any more."""
    back: Share
    """Of the fooled pictures: the truth is said."""
    broken: Share
    """Of counterfactuals that are right: wrong with the edit. Of each fooled picture its own; one edit for all pictures
    is tried on every judged one once."""

    @property
    def words(self) -> str:
        """How its components were chosen, for a table."""
        if self.by != "attribution":
            return "as many at random, as energetic" if self.by == "matched random" else "as many, the most active"
        where = "in each picture" if self.chosen_on == "each picture" else "on other pictures, once for all"
        return f"chosen by attribution {where}"


@dataclass(frozen=True)
class LeversAtWork:
    """What a cue does to a CLIP, and what suppressing a few components does about it."""

    __pydantic_config__: ClassVar = _FORBID

    pictures: str
    """What they are, for the reader."""
    pairs: int
    """Pictures with a cue, each with its counterfactual."""
    sources: int
    """Counterfactuals that differ: pairs of one source are alike, so that intervals over pairs are too narrow."""
    levers: int
    """The most components in an edit."""
    right: Share
    """Of all pairs: the counterfactual is right. All below is of these."""
    fooled: Share
    """The foil is said once the cue is there."""
    other: Share
    """Another wrong class is said, which the cue does not name: what any cue would do."""
    fooled_sources: int
    """Sources with a fooled picture."""
    by_kind: Mapping[str, Share]
    """As `fooled`, of each kind of cue."""
    one_edit: tuple[int, ...]
    """The components of the edit for all pictures; none where no picture was fooled on the part to choose them on."""
    trials: tuple[LeverTrial, ...]
    """Each way to choose components."""

    @property
    def cue_speaks(self) -> bool:
        """Whether the class that a cue names is said more than another wrong one, beyond both intervals."""
        return self.fooled.low > self.other.high

    @property
    def levers_work(self) -> bool:
        """Whether the cue speaks, and levers chosen in each picture take more of them off it than random ones.

        Beyond both intervals.
        """
        found = {trial.by: trial.off for trial in self.trials if trial.chosen_on == "each picture"}
        return self.cue_speaks and found["attribution"].low > found["matched random"].high


@dataclass(frozen=True)
class CheckedFigure:
    """A figure of the health check."""

    __pydantic_config__: ClassVar = _FORBID

    label: str
    """What it is."""
    ours: float
    """Measured when this was verified."""
    published: float | None
    """What the release states; None where it does not."""
    unit: str
    """Of both."""


@dataclass(frozen=True)
class CheckedFiles:
    """The files of a CLIP or of a dictionary, as they were loaded."""

    __pydantic_config__: ClassVar = _FORBID

    place: str
    """Repository, or the name of a folder, and what is in it."""
    commit: str | None
    """Of the repository; None for a folder."""
    n_bytes: int = 0
    """Of all files together."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """By path, of the bytes that were read: SHA-256, of small files on the Hub git's SHA-1."""


@dataclass(frozen=True)
class GoldenLogits:
    """The CLIP's answers to the pictures of the health check: the same weights have to give them again."""

    __pydantic_config__: ClassVar = _FORBID

    pictures: str
    """SHA-256 of the picture files: of others nothing can be compared."""
    truth: tuple[float, ...]
    """The logit of what each picture shows, in their order."""


@dataclass(frozen=True)
class Expected:
    """What a later run has to find again."""

    __pydantic_config__: ClassVar = _FORBID

    date: AwareDatetime
    """When it was found."""
    hashes: Mapping[str, str]
    """Of the files of both parts, by place and path."""
    golden: GoldenLogits
    """The CLIP's answers."""


@dataclass(frozen=True)
class Verification:
    """What verifying one setup came to."""

    __pydantic_config__: ClassVar = _FORBID

    stated: str
    """Which setup, as `SetupSpec.stated` describes it."""
    date: AwareDatetime
    """When it began."""
    software: Mapping[str, str]
    """Versions, by package."""
    outcome: Literal["good", "failed"] = "failed"
    """Whether everything held."""
    reason: str = ""
    """What did not, in a sentence; empty where everything held."""
    device: str = ""
    """What computed."""
    seconds: int = 0
    """How long it took, downloads included."""
    clip: CheckedFiles | None = None
    """Of the CLIP; None where it was not found."""
    dictionary: CheckedFiles | None = None
    """Of the dictionary; None where it was not found."""
    formula: str = ""
    """How the dictionary encodes, in words."""
    published_tokens: int = 0
    """Texts whose token ids are published and were given by its tokenizer; 0 for a CLIP of another vocabulary."""
    golden: GoldenLogits | None = None
    """What the CLIP answered."""
    figures: tuple[CheckedFigure, ...] = ()
    """Of the health check, beside the published ones."""
    doubts: tuple[str, ...] = ()
    """What the health check found odd."""
    levers: LeversAtWork | None = None
    """What levers do there."""
    expected: Expected | None = None
    """Of one that failed: what the last good one had found. Later runs are held to that."""

    @property
    def commits(self) -> dict[str, str]:
        """Of both parts, by their names, as far as they have one."""
        parts = {"clip": self.clip, "dictionary": self.dictionary}
        return {name: part.commit for name, part in parts.items() if part is not None and part.commit is not None}

    @property
    def hashes(self) -> dict[str, str]:
        """Of the files of both parts, by place and path."""
        parts = [part for part in (self.clip, self.dictionary) if part is not None]
        return {f"{part.place}: {path}": digest for part in parts for path, digest in part.hashes.items()}

    @property
    def to_find_again(self) -> Expected | None:
        """What a later run is held to; None where none has been good yet."""
        if self.outcome == "good" and self.golden is not None:
            return Expected(self.date, self.hashes, self.golden)
        return self.expected


@dataclass(frozen=True)
class _Written:
    """The file."""

    __pydantic_config__: ClassVar = _FORBID

    format: Literal[1]
    """Of the file."""
    setups: dict[str, Verification]
    """By the setups' names."""


_FILE = TypeAdapter(_Written)


def read_verified(path: Path) -> Mapping[str, Verification]:
    """All verifications of a record by the names of their setups; nothing where there is no such file.

    Raises UserError for a file that is none.
    """
    try:
        return MappingProxyType(_FILE.validate_json(path.read_bytes()).setups)
    except FileNotFoundError:
        return MappingProxyType({})
    except (OSError, ValueError) as error:  # pydantic's errors are ValueErrors
        raise UserError(
            f"The record {path.name} cannot be read: {first_line(error)}. Take it from the repository anew."
        ) from error


def write_verified(path: Path, setups: Mapping[str, Verification]) -> None:
    """Write a record, by name, at once: whoever reads it finds the old one or the new. Raises OSError."""
    plain: Any = _FILE.dump_python(_Written(1, dict(sorted(setups.items()))), mode="json")
    with replacing(path, shared=True) as beside:
        beside.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
