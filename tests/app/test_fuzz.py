"""Hostile inputs, by the protocol of Gradio's own page, to all listeners and endpoints: an answer or a sentence, never
the words of an exception, and no traceback in the log. What is sent follows from the seed alone."""

import json
import logging
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.methods.steering import Edit
from core.page.context import Context
from core.page.inputs import FAULT
from core.session.visit import Visit

INPUTS = (800, pytest.param(4000, marks=pytest.mark.full))
SEED = 20261126
AT_ONCE = 8
"""Inputs that wait in the queue together."""
EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
WRITTEN = json.loads((Path(__file__).parents[1] / "page" / "widget_messages.json").read_text(encoding="utf-8"))
"""What the page's widgets send, by event."""

FILE = {"path": "/etc/passwd", "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
NESTED: Any = []
for _ in range(300):
    NESTED = [NESTED]
TEXTS = (
    "", " ", "\0", "\u202edog", "\u200b", "é" * 5000, "x" * 100_000, "dog\n" * 300, "a,b\n" * 10_000, "dog, Dog, DOG",
    "{}", "[]", "null", "NaN", "nan", "inf", "1e999", "-1", "__class__", "../../etc/passwd", "<img src=x onerror=a()>",
    "🏳️‍🌈", "漢字" * 40, "\ud800", "dog\udfff cat",
)  # fmt: skip
NUMBERS = (
    0, -0.0, -1, 0.5, 7, 10**6, 2**31, 2**63, 2**64, -(2**63), 1e308, True, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
SHAPES: tuple[object, ...] = (
    None, False, [], {}, [None], [[]], [0, 1], ["dog", "cat"], list(range(5000)), {"": ""}, {"value": 1}, NESTED,
    {"__type__": "update", "value": "dog"}, {"__proto__": {}}, {"\ud800": 1}, {"component": 1}, {"a": NESTED},
    [{"component": k} for k in range(300)], {"tab": "Image"}, {"composite": None}, {"id": "nobody's"},
)  # fmt: skip
FILES = (
    FILE, [FILE], *(FILE | {"path": path} for path in ("", ".", "/dev/zero", "http://127.0.0.1", "a" * 5000, None, 5)),
    FILE | {"size": "x"}, FILE | {"meta": None}, {"path": "/etc/passwd"},
    {"background": FILE, "layers": [FILE] * 9, "composite": FILE, "id": None},
)  # fmt: skip
NASTY = (TEXTS, TEXTS, NUMBERS, SHAPES, FILES)

WORDS_OF_EXCEPTIONS = re.compile(
    r"Traceback|Exception\b|\b[A-Z][a-z]\w+Error\b|has no attribute|is not (subscriptable|iterable|callable|defined)|"
    r"object is not|unhashable|NoneType|out of range|positional argument|validation error|Input should be|pydantic|"
    r"surrogates|codec can't|cannot convert|must be (a )?(str|real number|list)|invalid literal|Expecting value|"
    r"preprocess|event handler|gradio cache|<class '|\bat 0x[0-9a-f]{6}|\.py\b"
)
SENTENCE = re.compile(r"[A-Z“].*[.\]]", re.DOTALL)
"""A sentence, or two."""


@dataclass(frozen=True)
class Listener:
    """What can be called."""

    number: int
    """Gradio's `fn_index`."""
    event: str
    """What calls it; empty for what follows another listener, and for an endpoint."""
    inputs: tuple[Mapping[str, Any], ...]
    """The components that it reads, as the page's configuration has them."""

    def forgeable(self) -> int:
        """In how many places."""
        return (self.event in WRITTEN) + sum(one["type"] != "state" for one in self.inputs)


def listeners(config: Mapping[str, Any]) -> tuple[Listener, ...]:
    """All that can be called; of listeners that read the same for the same event, one."""
    by_id = {one["id"]: one for one in config["components"]}
    found: dict[Any, Listener] = {}
    for one in config["dependencies"]:
        if one["backend_fn"]:
            event = one["targets"][0][1] if one["targets"] else one["api_name"]
            listener = Listener(one["id"], event, tuple(by_id[number] for number in one["inputs"]))
            found.setdefault((event, tuple(one["inputs"]), tuple(one["cancels"])), listener)
    return tuple(found.values())


@dataclass(frozen=True)
class Sent:
    """One input: what goes into a request to Gradio's queue."""

    listener: Listener
    data: Any
    event: Any
    envelope: dict[str, Any]
    """What is wrong around these."""


class Forger:
    """Makes hostile inputs out of usual ones."""

    def __init__(self, seed: int, picture: dict[str, Any]) -> None:
        """With a file that was uploaded."""
        self._rng = random.Random(seed)
        self._picture = picture

    def inputs(self, of: tuple[Listener, ...], n: int) -> list[Sent]:
        """So many, the more to a listener the more can be forged there."""
        weights = [one.forgeable() or 0.1 for one in of]  # what reads nothing may take long, and is no door
        return [self._input(listener) for listener in self._rng.choices(of, weights, k=n)]

    def _input(self, listener: Listener) -> Sent:
        rng = self._rng
        data: Any = [self._usual(component) for component in listener.inputs]
        event = WRITTEN.get(listener.event)
        places: list[Any] = [k for k, component in enumerate(listener.inputs) if component["type"] != "state"]
        places += ["event"] * (event is not None)
        for place in rng.sample(places, rng.choice((1, 1, 1, len(places)))) if places else ():
            if place == "event":
                event = self._hostile(event)
            else:
                data[place] = self._hostile(data[place])
        if rng.random() < 0.04:
            data = rng.choice((data[: rng.randrange(len(data) + 1)], [*data, self._any()], self._any()))
        envelope: dict[str, Any] = {}
        if rng.random() < 0.04:
            places = ["fn_index", "trigger_id", "session_hash", "event_id", "batched", "simple_format", "event_data"]
            envelope[rng.choice(places)] = self._any()
        return Sent(listener, data, event, envelope)

    def _usual(self, component: Mapping[str, Any]) -> Any:
        """What our own page, or a program, might send."""
        label = component["props"].get("label")
        if component["type"] in ("file", "imageeditor"):
            picture = self._picture
            if component["type"] == "imageeditor":
                return {"background": picture, "layers": [], "composite": picture, "id": None}
            return [picture] if component["props"].get("file_count") == "multiple" else picture
        usual = {
            "classes": "dog, cat, fox", "truth": "dog", "wanted": "dog", "words": "dog", "component": 99, "tokens": [0],
            "levers": [{"component": 99, "strength": 2.0}],
            "condition": {"terms": [{"component": 99, "weight": 1.0}], "at_least": 1.0},
            None: '{"tab":"Image","moment":12.5}',
        }  # fmt: skip
        return component["props"].get("value") or usual.get(label)

    def _any(self) -> Any:
        return self._rng.choice(self._rng.choice(NASTY))

    def _hostile(self, value: Any) -> Any:
        """Another value, or the same with one of its parts replaced, left out or added."""
        rng = self._rng
        if isinstance(value, str) and value.startswith("{") and rng.random() < 0.8:
            return json.dumps(self._hostile(json.loads(value)))
        if not value or not isinstance(value, dict | list) or rng.random() < 0.2:
            return self._any()
        if isinstance(value, list):
            at = rng.randrange(len(value))
            return [self._hostile(one) if k == at else one for k, one in enumerate(value)]
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.1:
            return value | {"more": self._any()}
        return value | {key: self._hostile(value[key])}


class OnePage:
    """One page that is open, by the protocol that Gradio's own script speaks."""

    def __init__(self, http: httpx.Client) -> None:
        """Nothing was sent."""
        self._http = http
        self.session = "fuzz"

    def join(self, number: int, data: Any, event: Any = None, **envelope: Any) -> httpx.Response:
        """Send one event. What JSON lacks (infinity, half a character) is written as Python writes it."""
        body = {"data": data, "event_data": event, "fn_index": number, "session_hash": self.session} | envelope
        headers = {"content-type": "application/json"}
        return self._http.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)

    def answers(self) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
        """The answers to all that was sent: to which event, whether it succeeded, and what it says."""
        with self._http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                message: dict[str, Any] = json.loads(line.removeprefix("data:")) if line else {"msg": ""}
                if message["msg"] == "process_completed":
                    yield message["event_id"], message["success"], message["output"]
                elif message["msg"] == "close_stream":
                    return


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=600) as client:
        yield client


@pytest.fixture
def picture(http: httpx.Client) -> dict[str, Any]:
    """A file that was uploaded, as an event names it."""
    files = {"files": ("a.webp", (EXAMPLES / "dog-note-cat.webp").read_bytes())}
    return FILE | {"path": http.post("/gradio_api/upload", files=files).json()[0]}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server logs; uvicorn keeps its own to itself."""
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.addHandler(caplog.handler)
    yield caplog
    uvicorn.removeHandler(caplog.handler)


def trouble(said: object) -> str:
    """What is wrong with a refusal; empty where it is a sentence."""
    if not isinstance(said, str) or not SENTENCE.fullmatch(said) or len(said) > 400:
        return "no sentence"
    return "a fault of ours" if said == FAULT else "words of an exception" * bool(WORDS_OF_EXCEPTIONS.search(said))


def told(page: OnePage, inputs: list[Sent]) -> Iterator[tuple[Sent, str | None, object]]:
    """What each input was told: where it was refused, with which words; else, what the answer shows."""
    waiting = {}
    for one in inputs:
        taken = page.join(one.listener.number, one.data, one.event, **one.envelope)
        if taken.status_code != 200:
            yield one, taken.text if taken.status_code >= 500 else taken.json()["detail"], None
        elif one.envelope.get("session_hash", page.session) != page.session:
            yield one, None, None  # another page, which nobody reads
        else:
            waiting[taken.json()["event_id"]] = one
    for event, success, output in page.answers() if waiting else ():
        yield waiting.pop(event), None if success else output.get("error"), output.get("data")
    assert not waiting, "every one is answered"


@pytest.mark.parametrize("inputs", INPUTS)
def test_hostile_inputs_get_an_answer_or_a_sentence(
    inputs: int,
    http: httpx.Client,
    picture: dict[str, Any],
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    context: Context,
    first: Visit,
) -> None:
    """And after so many of them, the same visit answers a press rightly."""
    print(f"Seed {SEED}")
    config = http.get("/config").json()
    page, refused = OnePage(http), 0
    sent = Forger(SEED, picture).inputs(listeners(config), inputs)
    for start in range(0, inputs, AT_ONCE):
        for one, refusal, shown in told(page, sent[start : start + AT_ONCE]):
            refused += refusal is not None
            if refusal is not None:
                assert not trouble(refusal), (one, refusal)
            else:
                assert not WORDS_OF_EXCEPTIONS.search(json.dumps(shown)), (one, shown)
    print(f"{refused} of {inputs} were refused")
    logged = capsys.readouterr()
    assert "Traceback" not in logged.out + logged.err + log.text

    values = {one["id"]: one["props"].get("value") for one in config["components"]}

    def press(event: str, message: Mapping[str, Any]) -> str:
        one = next(one for one in config["dependencies"] if event in (name for _, name in one["targets"]))
        taken = page.join(one["id"], [values[number] for number in one["inputs"]], message)
        assert taken.status_code == 200, taken.text
        ((_, success, output),) = page.answers()
        assert success, output
        for number, shown in zip(one["outputs"], output["data"], strict=True):
            if not isinstance(shown, dict) or shown.get("__type__") != "update":
                values[number] = shown
            elif "value" in shown:
                values[number] = shown["value"]
        return json.dumps(output["data"], ensure_ascii=False)

    press("choose", {"example": "dog-note-cat"})
    after = context.bench(first).compare(first.trace, Edit.of_suppressed([99]), first.classes, first.templates).after
    assert f"Flipped: “cat” → “{after.best}”" in press("act", {"component": 99, "action": "suppress", "on": True})


@pytest.mark.parametrize(
    ("name", "event", "values", "words"),
    [
        ("truth", "input", {"classes": "horse\nfrog\nowl", "truth": "horse"}, "horse"),
        ("wanted", "input", {"wanted": 4, "against": 7}, "There is no class number 7"),
    ],
)
def test_choices_that_a_server_forgot_are_no_forgery(
    http: httpx.Client, name: str, event: str, values: dict[str, Any], words: str
) -> None:
    """A page may outlive a server: its lists are then others than those that the server begins with."""
    config = http.get("/config").json()
    ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
    usual = {one["id"]: one["props"].get("value") for one in config["components"]}
    usual |= {ids[part]: value for part, value in values.items()}
    one = next(one for one in config["dependencies"] if [ids[name], event] in one["targets"])
    page = OnePage(http)
    page.session = f"forgot-{name}"
    assert page.join(one["id"], [usual[number] for number in one["inputs"]]).status_code == 200
    ((_, _, output),) = page.answers()
    assert words in json.dumps(output)


def test_what_a_script_alone_listens_to_gets_a_sentence(http: httpx.Client, log: pytest.LogCaptureFixture) -> None:
    """Such events never reach a server, and ran into what is not there."""
    scripts = [one["id"] for one in http.get("/config").json()["dependencies"] if not one["backend_fn"]]
    assert scripts
    response = OnePage(http).join(scripts[0], [])
    assert response.status_code == 400
    assert not trouble(response.json()["detail"])
    assert "Traceback" not in log.text


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        *(("queue/join", {"data": [], "session_hash": "a"} | wrong) for wrong in (
            {"fn_index": 9999}, {"fn_index": -1}, {"fn_index": None}, {"fn_index": 2**70}, {"fn_index": "x"},
            {"fn_index": 0, "data": {}}, {"fn_index": 0, "data": None}, {"fn_index": 0, "session_hash": 5},
        )),
        ("call/nosuch", {"data": []}), ("call/predict", {"data": "x"}), ("call/predict", []), ("call/predict", None),
        ("call/v2/nosuch", {}), ("call/v2/predict", {"data": []}), ("call/v2/predict", []), ("call/v2/predict", "x"),
    ],
)  # fmt: skip
def test_requests_that_are_none_of_the_protocol_get_a_sentence(
    http: httpx.Client, log: pytest.LogCaptureFixture, path: str, request_body: object
) -> None:
    response = http.post(f"/gradio_api/{path}", json=request_body)
    assert 400 <= response.status_code < 500
    assert not trouble(response.json()["detail"])
    assert "Traceback" not in log.text
