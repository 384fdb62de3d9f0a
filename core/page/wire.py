"""Messages between the page's widgets and Python: typed, bounded and validated, in one place.

The scripts in assets/widgets write them, as the data of an event or as a widget's value. Python writes one too: the
levers, as the value that the rows of the Steering tab start from.
"""

import base64
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from ..errors import UserError
from ..methods.steering import Lever
from ..model.prompts import MAX_LENGTH
from ..session.log import MAX_LINES
from ..session.typed import Index, Text, lever
from ..session.view_state import MAX_STATE, Name
from ..session.visit import Visit

REFUSAL = "The page sent something that it never sends. Reload it, and try again."
MAX_CHARACTERS = 2_000_000
"""Of a message that comes as JSON."""
MAX_CROP = 1_900_000
"""Characters of a crop: enough for any 640 x 640 pixels."""
MAX_SEARCH = 10_000
"""Characters of a search: more than is answered, so that a long one is refused with a sentence of its own."""
MAX_NAME = 1000
"""Characters of a picture's name in its set."""
MAX_LISTED = 4096
"""Levers of an edit, and tokens it acts on."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Message(BaseModel):
    """What a widget says. Whatever comes in is read by `read`, and by nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    refusal: ClassVar[str] = REFUSAL

    @classmethod
    def read(cls, told: object) -> Self:
        """An event's data, or a widget's value, which is JSON. Raises UserError for what our own page does not send."""
        if isinstance(told, str) and len(told) > MAX_CHARACTERS:
            raise UserError(cls.refusal)
        try:
            return cls.model_validate_json(told) if isinstance(told, str) else cls.model_validate(told)
        except ValueError as error:
            raise UserError(cls.refusal) from error


class ChooseExample(Message):
    """An example of the gallery was pressed (gallery.js), or one to compare with (likes.js)."""

    example: Name
    """Its name."""


class SecondStep(Message):
    """A button beside the second picture was pressed (second.js)."""

    step: Literal["ask", "take away"]
    """Which."""


class ShowCounterfactual(Message):
    """The button beside the picture was pressed (canvas.js)."""

    on: Annotated[bool, Field(strict=True)]
    """Whether the counterfactual is to be shown."""


class PressComponent(Message):
    """A component's button was pressed (components.js, canvas.js, prediction.js, levers.js, finder.js)."""

    refusal: ClassVar[str] = "That press names no component. Reload the page, and press again."

    component: Index
    """Index into the dictionary."""
    action: Literal["open", "suppress", "amplify", "family"]
    """Which of its buttons."""
    on: Annotated[bool, Field(strict=True)]
    """What the button is to be."""


class AskWords(Message):
    """Components are searched for by words (search.js)."""

    words: Annotated[Text, Field(max_length=MAX_SEARCH)]
    """As typed; none to end the search."""
    moment: Number
    """When it was asked, in ms by the page's clock: what was asked before it and comes after it is outdated."""


class FindClass(Message):
    """A class is looked for among many (classes.js)."""

    words: Annotated[Text, Field(max_length=MAX_LENGTH)]
    """Parts of its name, as typed; none to end the search."""


class OpenPicture(Message):
    """A picture of a set was pressed (many.js)."""

    picture: Annotated[Text, Field(max_length=MAX_NAME)]
    """Its name in the set."""


class ExplainConfusion(Message):
    """A confusion of a set was pressed (many.js)."""

    truth: Annotated[Text, Field(max_length=MAX_LENGTH)]
    """The class that the pictures show; nothing for any."""
    said: Annotated[Text, Field(max_length=MAX_LENGTH)]
    """The class that they are taken for; nothing for any."""
    on: Annotated[bool, Field(strict=True)]
    """Whether it is to be looked into."""


class ClaimUnseen(Message):
    """A visitor says that an edit was chosen without the pictures it is tried on, or says so no more (many.js)."""

    trial: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    """Which edit, on which pictures: `ManyPictures.trial`."""
    on: Annotated[bool, Field(strict=True)]
    """Whether that is so."""


class UseCondition(Message):
    """A condition that was found is to be used, or none (many.js)."""

    terms: Annotated[tuple[tuple[Index, Number], ...], Field(max_length=MAX_LISTED)]
    """Component and weight of each; none for no condition."""
    at_least: Number
    """The threshold of their sum."""


class UseEdit(Message):
    """An edit that was found is to be used (finder.js)."""

    refusal: ClassVar[str] = "That press names no components. Reload the page, and press again."

    components: Annotated[tuple[Index, ...], Field(max_length=MAX_LISTED)]
    """Those to suppress."""


class HistoryStep(Message):
    """Undo, redo or reset was pressed (prediction.js)."""

    step: Literal["undo", "redo", "reset"]
    """Which."""


class LeverMessage(Message):
    """One lever as its row stands on the page."""

    component: Index
    """Index into the dictionary."""
    operation: Literal["suppress", "scale", "set"]
    """What is done to it."""
    strength: str | float
    """As typed; 0 where the operation takes none."""
    family: Index | None
    """The component whose family it was pulled with."""
    at_least: str | float | None
    """Its threshold, as typed; nothing where it acts at all tokens."""

    def lever(self) -> Lever:
        """The same as a value. Raises UserError for a strength or a threshold that is no number."""
        return lever(self.component, self.operation, self.strength, self.family, self.at_least)


class EditMessage(Message):
    """All levers, as levers.js writes them, so that what is skipped or late cannot mix."""

    revision: Index
    """That of the visit which the widget shows."""
    moment: Number = 0.0
    """When it was written, in ms by the page's clock (`performance.now()`); 0 for one that Python wrote."""
    gesture: Number = 0.0
    """Which drag it belongs to: moves of one are one step of undo."""
    levers: Annotated[tuple[LeverMessage, ...], Field(max_length=MAX_LISTED)]
    """All levers, in their order on the page."""

    @classmethod
    def of(cls, visit: Visit) -> "EditMessage":
        """The levers of the edit in force."""
        levers = tuple(
            LeverMessage(
                component=own.component,
                operation=own.operation,
                strength=own.strength,
                family=own.family,
                at_least=own.at_least,
            )
            for own in visit.edit.levers
        )
        return cls(revision=visit.revision, levers=levers)

    def to_json(self) -> str:
        """The value of a widget."""
        return self.model_dump_json()


class ChoosePatches(Message):
    """All tokens that the edit acts on, as canvas.js writes them while patches are painted."""

    revision: Index
    """That of the visit which the page shows."""
    moment: Number
    """When it was written, in ms by the page's clock."""
    gesture: Number
    """Which stroke it belongs to: its patches are one step of undo."""
    tokens: Annotated[tuple[Index, ...], Field(max_length=MAX_LISTED)] | None
    """The tokens, 0 for CLS; None for all."""


class OpenTab(Message):
    """Which tab is open (following.js)."""

    tab: Annotated[str, Field(max_length=100)]
    """Its name on the page."""
    moment: Number
    """When that was so, in ms by the page's clock: questions may overtake each other."""


class ShowLog(Message):
    """The log of edits is to be shown, or written as Markdown (log.js)."""

    lines: Annotated[tuple[dict[str, Any], ...], Field(max_length=MAX_LINES)]
    """As the browser keeps them: `Log.read` reads them."""
    address: Annotated[str, Field(max_length=400, pattern=r"^https?://[^\s<>?#]+$")]
    """Of the page, for links to the lines."""
    moment: Number
    """When it was asked, in ms by the page's clock."""


class BringBack(Message):
    """The page was here before, its server has forgotten it, or a link or a line of the log is opened (keeper.js)."""

    state: Annotated[str, Field(max_length=MAX_STATE)]
    """What it is about: a serialised ViewState."""
    crop: Annotated[str, Field(max_length=MAX_CROP)]
    """The data URI of what the model saw of a visitor's own picture; empty for an example."""
    second: Annotated[str, Field(max_length=MAX_CROP)] = ""
    """The same of a second picture of their own; empty, too, where the two together are too large to be sent."""
    pressed: Annotated[bool, Field(strict=True)]
    """Whether something was pressed, and not answered."""
    link: Annotated[str, Field(max_length=MAX_STATE)] = ""
    """The query of an address that is to be opened instead; empty for none."""
    moment: Number = 0.0
    """When it was asked first, in ms by the page's clock."""

    def picture(self) -> bytes | None:
        """The crop as a file; None where there is none."""
        return _decoded(self.crop)

    def second_picture(self) -> bytes | None:
        """The same of the second picture."""
        return _decoded(self.second)


def _decoded(uri: str) -> bytes | None:
    try:
        return base64.b64decode(uri.partition(";base64,")[2], validate=True) or None
    except ValueError:
        return None


class ShowTwo(Message):
    """Something is to be shown beside the visit, or two lines of the log beside each other (pair.js)."""

    kind: Literal["plain", "cue", "example", "setup", "lines"]
    """The same without levers, or without its cue; another picture; another setup; lines of the log."""
    name: Annotated[Text, Field(max_length=200)]
    """Of the example, the setup, or the lines."""
    lines: Annotated[tuple[BringBack, ...], Field(max_length=2)]
    """One line stands beside the visit, two beside each other."""
    moment: Number
    """When it was asked, in ms by the page's clock."""
