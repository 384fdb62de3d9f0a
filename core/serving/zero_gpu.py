"""Workbench on ZeroGPU: long questions are answered in another process, which has a GPU for a while.

On a ZeroGPU Space the page's own process has no GPU. A function marked for it runs in a forked one, and what it is
given and what it gives back are pickled. So:

1. The models stay on the CPU of the page's process, which answers what is short: a lever moves the layers after L only.
2. `Far` sends what is long (reading a picture, many ablations, evidence, searches) as plain values to `Answers`, which
   keeps a copy of the setup on the GPU for as long as its process lives.
3. When the app starts nothing is asked there. The setup that a page is meant to open with is loaded after the launch,
   and its health checked, in the page's process; a process that was forked earlier loads it from the same files, and
   finds the figures of its check kept.
4. Of exceptions only their kind and words cross. What the visitor has to read is sent as a value and raised here.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..methods.dose_response import DOSES
from ..methods.failures import Confusion, Findings
from ..methods.generalization import Generalization, TrialSoFar
from ..methods.picture_set import PictureSet
from ..methods.steering import Edit
from ..model.prompts import TEMPLATES
from ..model.trace import Trace
from ..setups.catalog import SetupSpec
from ..setups.loading import Setup, load
from ..workbench import Names, Step, Workbench

LONG = frozenset({"trace", "traces", "ablation_effects", "reconstruction_error", "effects_on"})
"""Questions with one answer that are answered on the GPU."""
LONG_IN_STEPS = frozenset(
    {"controls", "responses", "find_edit", "generalize", "references", "try_edit", "try_on", "find_candidates"}
)
"""Questions answered in steps that are."""

_PASSES = {
    "trace": 3.0,
    "reconstruction_error": 3.0,
    "effects_on": 20.0,
    "controls": 110.0,
    "find_edit": 400.0,
    "generalize": 900.0,
    "references": 900.0,
}
"""About how many pictures' worth of the vision tower a question costs."""
_START = 8.0
"""Seconds for a fresh process to get the models onto the GPU."""
_PASS = 0.02
"""Seconds for a picture, generously: who asks for too little is cut off."""


@dataclass(frozen=True)
class Call:
    """One question about one setup, as plain values."""

    card: SetupSpec
    """Which setup."""
    name: str
    """Which method of the workbench."""
    arguments: tuple[Any, ...]
    """What it is given."""


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    value: Any = None
    """The answer."""
    trouble: str | None = None
    """What the visitor has to be told instead; None when there is an answer."""

    def get(self) -> Any:
        """The value. Raises UserError where there is none."""
        if self.trouble is not None:
            raise UserError(self.trouble)
        return self.value


Ask = Callable[[Call], Answer]
AskInSteps = Callable[[Call], Iterator[Answer]]


def seconds(call: Call) -> int:
    """How long a GPU is asked for: more for more work, since who asks for less is served sooner."""
    passes = _PASSES.get(call.name, 0.0)
    arguments: tuple[Any, ...] = call.arguments or (None,)
    first, last = arguments[0], arguments[-1]
    if call.name == "ablation_effects":
        passes = len(last)  # components
    elif call.name == "traces":
        passes = 3.0 * len(last)  # pictures
    elif call.name in ("try_edit", "try_on"):
        passes = 3.0 * len(first)
    elif call.name == "find_candidates":
        passes = 6.0 * len(first)  # forth and back through those that fail; the candidates, where they fire
    elif call.name == "responses":
        passes = len(DOSES) * (1 + last.n_groups)
    return int(np.ceil(_START + _PASS * passes))


class Answers:
    """The other end: answers questions on a device, with a copy of each setup it was asked about.

    It is made before the process is forked. `near` looks up what is loaded there already; what is not is loaded anew,
    from what was downloaded.
    """

    def __init__(self, near: Callable[[str], Workbench | None], device: str) -> None:
        """Answer on `device`."""
        self._near = near
        self._device = device
        self._benches: dict[str, Workbench] = {}

    def answer(self, call: Call) -> Answer:
        """One answer."""
        try:
            return Answer(self._method(call, LONG)(*call.arguments))
        except UserError as trouble:
            return Answer(trouble=str(trouble))

    def answer_in_steps(self, call: Call) -> Iterator[Answer]:
        """The steps of an answer."""
        try:
            for step in self._method(call, LONG_IN_STEPS)(*call.arguments):
                yield Answer(step)
        except UserError as trouble:
            yield Answer(trouble=str(trouble))

    def _method(self, call: Call, known: frozenset[str]) -> Callable[..., Any]:
        if call.name not in known:
            raise ValueError(f"no such question: {call.name}")
        # A forked process must not start threads of its own where its parent had some: OpenMP would wait for them.
        torch.set_num_threads(1)
        return getattr(self._bench(call.card), call.name)

    def _bench(self, card: SetupSpec) -> Workbench:
        if card.name not in self._benches:
            near = self._near(card.name)
            # Whoever asks has opened it, and what was doubtful was said there.
            setup = load(card, device=self._device, anyway=True) if near is None else near.setup.to(self._device)
            self._benches[card.name] = Workbench(setup)
        return self._benches[card.name]


class Far(Workbench):
    """A workbench that asks for what is long, and answers what is short itself."""

    def __init__(self, setup: Setup, ask: Ask, ask_in_steps: AskInSteps) -> None:
        """Work with `setup`, which stays here, and ask elsewhere."""
        super().__init__(setup)
        self._ask, self._ask_in_steps = ask, ask_in_steps

    def here(self) -> Workbench:
        """What answers all itself, slowly: before anybody is here in whose name a GPU could be borrowed."""
        return Workbench(self.setup)

    def trace(self, crop: np.ndarray) -> Trace:
        """As `Workbench.trace`, elsewhere."""
        return self._one("trace", crop)

    def traces(self, crops: np.ndarray) -> tuple[Trace, ...]:
        """As `Workbench.traces`, elsewhere."""
        return self._one("traces", crops)

    def ablation_effects(self, *asked: Any) -> np.ndarray:
        """As `Workbench.ablation_effects`, elsewhere."""
        return self._one("ablation_effects", *asked)

    def reconstruction_error(self, *asked: Any) -> Any:
        """As `Workbench.reconstruction_error`, elsewhere."""
        return self._one("reconstruction_error", *asked)

    def effects_on(self, *asked: Any) -> Any:
        """As `Workbench.effects_on`, elsewhere: an index that grows is here."""
        return self._one("effects_on", *asked)

    def controls(self, *asked: Any) -> Iterator[Any]:
        """As `Workbench.controls`, elsewhere."""
        return self._steps("controls", *asked)

    def responses(self, *asked: Any) -> Iterator[Any]:
        """As `Workbench.responses`, elsewhere."""
        return self._steps("responses", *asked)

    def find_edit(self, *asked: Any) -> Iterator[Any]:
        """As `Workbench.find_edit`, elsewhere."""
        return self._steps("find_edit", *asked)

    def generalize(self, edit: Edit) -> Generator[Step | Generalization]:
        """As `Workbench.generalize`, elsewhere."""
        return self._steps("generalize", edit)

    def references(self) -> Generator[Step | PictureSet]:
        """As `Workbench.references`, elsewhere, and kept here, too."""
        if self._references.found is None:
            for step in self._steps("references"):
                if isinstance(step, PictureSet):
                    self._references.found = step
                else:
                    yield step
        yield from super().references()

    def try_edit(self, pictures: PictureSet, edit: Edit, templates: Names) -> Generator[Step | Generalization]:
        """As `Workbench.try_edit`, elsewhere; the set goes there, up to 2 GB, but the reference scenes are there."""
        if pictures is self._references.found and templates == TEMPLATES["single"]:
            return self._steps("generalize", edit)
        return self._steps("try_edit", pictures, edit, templates)

    def try_on(
        self, pictures: PictureSet, edit: Edit, templates: Names, begun: TrialSoFar | None = None
    ) -> Generator[TrialSoFar]:
        """As `Workbench.try_on`, elsewhere; the set goes there, but the reference scenes, which are few, are there."""
        if pictures is self._references.found and templates == TEMPLATES["single"]:
            for step in self._steps("generalize", edit):
                if isinstance(step, Generalization):
                    yield TrialSoFar(np.arange(len(pictures)), step)
            return
        yield from self._steps("try_on", pictures, edit, templates, begun)

    def find_candidates(
        self, pictures: PictureSet, confusion: Confusion, templates: Names
    ) -> Generator[Step | Findings]:
        """As `Workbench.find_candidates`, elsewhere; the set goes there, too."""
        return self._steps("find_candidates", pictures, confusion, templates)

    def read_ahead(self) -> Generator[Step]:
        """Nothing: whoever answers elsewhere reads them there."""
        yield from ()

    def _one(self, name: str, *arguments: Any) -> Any:
        return self._ask(Call(self.card, name, arguments)).get()

    def _steps(self, name: str, *arguments: Any) -> Generator[Any]:
        for answer in self._ask_in_steps(Call(self.card, name, arguments)):
            yield answer.get()
