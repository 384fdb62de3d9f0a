"""Inputs of the page: what comes in has the types that its listeners ask for, or is refused with a sentence.

Whatever a browser or a program sends passes here: first Gradio's own components read it (`TypedBlocks`), then pydantic,
by the annotations of the function that it is for (`typed`). Messages of the widgets are types of their own (wire.py).
"""

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial, wraps
from inspect import signature
from itertools import zip_longest
from typing import Any, TypeVar, get_type_hints

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.block_function import BlockFunction
from gradio.blocks import Block
from gradio.components import Component
from gradio.data_classes import BlocksConfigDict
from gradio.exceptions import InvalidPathError
from gradio.processing_utils import check_all_files_in_cache
from gradio.route_utils import FnIndexInferError
from gradio.state_holder import SessionState
from pydantic import ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..background import Job
from ..errors import UserError
from .widgets import sentences
from .wire import REFUSAL

NOT_HERE = "That file is not here, or not any more. Upload it again."
FAULT = "Something went wrong in this app. Try again, or reload the page."

T = TypeVar("T")
Reading = Callable[[Sequence[Any]], list[Any]]
"""From what came in to what a function takes. Raises UserError."""


@contextmanager
def _refused() -> Iterator[None]:
    """What Gradio cannot read, it tells by whatever exception that runs it into."""
    try:
        yield
    except InvalidPathError as error:
        raise gr.Error(NOT_HERE, print_exception=False) from error
    except Exception as error:
        raise gr.Error(REFUSAL, print_exception=False) from error


class TypedBlocks(gr.Blocks):
    """Blocks that answer with a sentence whatever comes in, and never with the words of an exception.

    What stands in the parts of a page that is opened may change while it is served (`open_with`), `jobs` begin when it
    is, and `unsaved` says which others have something to save when it ends (launch.py).
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        """As `gr.Blocks`."""
        self.jobs: list[Job[Any, Any]] = []
        self.unsaved: Callable[[], Sequence[Job[Any, Any]]] = tuple
        self._anew: dict[int, dict[str, Any]] = {}
        super().__init__(*given, **named)

    def open_with(self, drawn: Mapping[Block, object]) -> None:
        """What stands in these parts of every page that is opened from now on: as updates of an event would say it."""
        anew = {}
        for part, shown in drawn.items():
            if isinstance(part, gr.State):
                part.value = partial(_same, shown)
            elif isinstance(shown, Block | dict):
                changes = _changes(shown)
                now = type(part)(**part.constructor_args | changes | {"render": False}).get_config()
                anew[part._id] = {name: now[name] for name in ("props", *changes) if name in now}
            else:
                anew[part._id] = {"value": shown}
        self._anew |= anew
        self.config = self.get_config_file()

    def get_config_file(self) -> BlocksConfigDict:
        """What a page is told that opens."""
        config = super().get_config_file()
        for part in config["components"]:
            part["props"] |= self._anew.get(part["id"], {})
        return config

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *more: Any, **named: Any) -> list[Any]:
        """What Gradio's components make of an event's inputs; raises gr.Error for what they cannot read.

        A program may be older than an input of an endpoint: what it does not send is as it is where it is left out.
        """
        if block_fn.api_visibility == "public":
            inputs = [*inputs, *(getattr(part, "value", None) for part in block_fn.inputs[len(inputs) :])]
        for component, value in zip(block_fn.inputs, inputs, strict=False):
            if isinstance(component, gr.Textbox) and not isinstance(value, str | None):  # it would write out anything
                raise gr.Error(REFUSAL, print_exception=False)
        with _refused():
            return await super().preprocess_data(block_fn, inputs, *more, **named)

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """The answer to an event. A fault of our own is told in the log, and there alone."""
        event = named.get("event_data")
        if event is not None:
            with _refused():  # Gradio looks for files itself, where it can be told from a fault of ours no more
                check_all_files_in_cache(event._data)
        try:
            return await super().process_api(*given, **named)
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(FAULT) from error

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: Any, state: SessionState | None
    ) -> list[Any]:
        """What is sent of a reply. Parts that it does not draw are left alone: Gradio would construct each anew."""
        if not isinstance(predictions, dict) or not any(isinstance(part, Block) for part in predictions):
            return await super().postprocess_data(block_fn, predictions, state)
        drawn = {part: value for part, value in predictions.items() if not _is_skipped(value)}
        sent = {part: told for part, value in drawn.items() if (told := _as_it_is(part, value)) is not _NOT}
        of_these = copy(block_fn)
        of_these.outputs = [part for part in block_fn.outputs if part in drawn and part not in sent]
        values = [drawn[part] for part in of_these.outputs]
        told = await super().postprocess_data(of_these, values[0] if len(values) == 1 else values, state)
        sent |= dict(zip(of_these.outputs, told, strict=True))
        return [sent.get(part, None if part.stateful else gr.skip()) for part in block_fn.outputs]

    def handle_streaming_diffs(self, block_fn: BlockFunction, data: list[Any], *more: Any, **named: Any) -> list[Any]:
        """What of a stream's step is sent: what changed, and whole.

        The page applies edits within a value to the very object that it gave to a component, which draws a moment
        later: of two steps in one packet the first one's figure was emptied by the second, which said nothing of it.
        """
        whole = list(data)
        told = super().handle_streaming_diffs(block_fn, data, *more, **named)
        return [
            [["replace", [], now]] if sent is not now and _edits_within(sent) else sent
            for now, sent in zip(whole, told, strict=True)
        ]


def _same(value: T) -> T:
    return value


def _changes(shown: Block | dict[str, Any]) -> dict[str, Any]:
    """What an update says of its part, by the names that its kind is constructed with."""
    update = shown.constructor_args if isinstance(shown, Block) else shown
    return {name: value for name, value in update.items() if name != "__type__"}


def _is_skipped(value: object) -> bool:
    """Whether it leaves its part as it is. Pictures are arrays, which are not to be compared."""
    return isinstance(value, dict) and value.keys() == gr.skip().keys()


def _as_it_is(part: Block, value: object) -> object:
    """What is sent of HTML, and of a tab's new name: nothing is to be made of it, so no thread asked, no part built.

    `_NOT` for all else.
    """
    if isinstance(part, gr.HTML) and (value is None or isinstance(value, str)):
        return value
    if not isinstance(value, dict) or value.get("__type__") != "update":
        return _NOT
    own = value.keys() - {"__type__", "value"}
    if isinstance(part, gr.Tab) and own == {"label"}:
        return value
    if isinstance(part, gr.HTML) and own <= part.props.keys():
        return {name: value[name] for name in value if name not in own} | {"props": {name: value[name] for name in own}}
    return _NOT


_NOT = object()


def _edits_within(sent: object) -> bool:
    """Whether these are edits, as Gradio writes them (kind, path, value), of parts of a value."""
    return isinstance(sent, list) and any(path for _, path, _ in sent)


def _answer_unreadable(request: Request, error: Exception) -> Response:
    """Gradio's own routes look up what a request names, and run into what that raises; elsewhere that is our fault."""
    if isinstance(error, KeyError | TypeError):
        if not _EVENTS.match(request.scope["path"]):
            raise error
        logging.getLogger(__name__).warning("A request names what is not there: %s", type(error).__name__)
    return JSONResponse({"detail": REFUSAL}, status_code=400)


_EVENTS = re.compile("/gradio_api/(queue/join|call/)")
HANDLERS = dict.fromkeys((RequestValidationError, FnIndexInferError, KeyError, TypeError), _answer_unreadable)
"""Of the server: what answers a request that is none of Gradio's protocol."""


def typed(fn: Callable[..., object], reads: Sequence[Component], first: int = 0) -> Reading:
    """How to read the values of `reads` as the types that `fn` declares for its parameters from the one at `first` on.

    Nothing is converted; what does not fit raises UserError. A gr.State holds what we put there, and is taken as it is.
    """
    hints = get_type_hints(fn, include_extras=True)
    names = list(signature(fn).parameters)[first:]
    strict = ConfigDict(strict=True)
    kinds = [
        None if component.stateful else TypeAdapter(hints.get(name or "", Any), config=strict)
        for component, name in zip_longest(reads, names[: len(reads)])
    ]

    def read(values: Sequence[Any]) -> list[Any]:
        try:
            return [
                value if kind is None else kind.validate_python(value)
                for kind, value in zip(kinds, values, strict=True)
            ]
        except ValidationError as error:
            raise UserError(REFUSAL) from error

    return read


def endpoint(fn: Callable[..., object], reads: Sequence[Component]) -> Callable[..., object]:
    """A function for programs that is given only what it asks for, and whose UserError is the answer's error.

    An iterator is handed on as one: whoever calls it takes its last value for the answer.
    """
    read = typed(fn, reads)

    def told(steps: Generator[object]) -> Generator[object]:
        with sentences():
            yield from steps

    @wraps(fn)
    def answer(*values: Any) -> object:
        with sentences():
            found = fn(*read(values))
        return told(found) if isinstance(found, Generator) else found

    return answer
