"""The example pictures: what each shows, what it comes with, and its counterfactual without the cue.

Rendered scenes are for the bundled setup, which knows what is drawn there, and photographs for published ones.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..files import ASSETS
from .collection import Files
from .labels import Known
from .read import read_picture

FOLDER = ASSETS / "examples"
"""The rendered ones, as `name`.webp, and examples.json: `core.bundled.examples` draws them."""
PHOTOGRAPHS = FOLDER / "photographs"
"""The photographs with a planted cue, in the same way: `core.pictures.photograph_examples` draws them."""
PLANTED, UNPLANTED = "with a planted cue", "without a cue"
"""Groups of the examples and their counterfactuals."""
RESTORE = "Get it anew: git restore it, or download the app again."

GoesWrong = Literal["words", "watermark", "background", "names", "nothing"]
"""What may mislead a model: words in the picture, a watermark, the background, the names of the classes, nothing."""


@dataclass(frozen=True)
class Example:
    """One picture of the gallery."""

    name: str
    """File name without its ending."""
    sentence: str
    """What it shows and why it is there."""
    goes_wrong: GoesWrong
    """Its group in the gallery."""
    classes: tuple[str, ...]
    """The classes it comes with."""
    truth: str
    """What it should be."""
    foil: str | None
    """The class that the cue, or a class's name, speaks for; None where that is no other class."""
    cue: str | None
    """What the counterfactual lacks, in a word or two; None for an example without a counterfactual."""
    counterfactual: str | None
    """File name, without its ending, of the same scene without the cue."""
    source: str
    """Where the picture is from."""
    folder: Path = FOLDER
    """Where its file lies."""

    @property
    def rendered(self) -> bool:
        """Whether this project drew it; else it is a photograph."""
        return self.source.startswith("rendered")

    def file(self, counterfactual: bool = False) -> Path:
        """The picture, or its counterfactual; the picture itself where it has none."""
        return self.folder / f"{self.counterfactual if counterfactual and self.counterfactual else self.name}.webp"


def read_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """All of them, in the order of the gallery. Raises UserError where their list is damaged."""
    try:
        entries = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        first, *others = (
            Example(counterfactual=entry.pop("twin"), classes=tuple(entry.pop("classes")), folder=folder, **entry)
            for entry in entries
        )
        return first, *others
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"The list of examples, {folder / 'examples.json'}, is damaged. {RESTORE}") from error


def example_pictures(folder: Path = PHOTOGRAPHS) -> Files:
    """The examples of a folder and their counterfactuals, labelled with what they show, by whether a cue is planted."""
    known: dict[str, Known] = {}
    for example in read_examples(folder):
        planted = example.counterfactual is not None
        known[example.file().name] = Known(example.truth, PLANTED if planted else UNPLANTED)
        known.setdefault(example.file(counterfactual=True).name, Known(example.truth, UNPLANTED))
    names = tuple(sorted(known))
    return Files(names, lambda name: folder / name, {"kind": "examples", "name": folder.name}, known)


def asked_classes(folder: Path = PHOTOGRAPHS) -> tuple[str, ...]:
    """All classes that the examples of a folder come with, each once."""
    return tuple(dict.fromkeys(name for example in read_examples(folder) for name in example.classes))


def check_pictures(examples: Iterable[Example]) -> None:
    """Raises UserError for a picture of an example, or a counterfactual, that cannot be read."""
    for file in {example.file(counterfactual) for example in examples for counterfactual in (False, True)}:
        try:
            read_picture(file)
        except UserError as trouble:
            raise UserError(f"The picture of an example, {file}, is damaged. {RESTORE}") from trouble


def written(examples: Iterable[Example]) -> str:
    """Examples as `examples.json` has them, which calls the counterfactual a twin."""
    entries = [
        {"twin" if name == "counterfactual" else name: value for name, value in asdict(example).items()}
        for example in examples
    ]
    for entry in entries:
        del entry["folder"]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
