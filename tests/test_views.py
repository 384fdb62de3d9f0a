"""What the visitor sees: nothing typed is ever markup, every number has its unit, signs have shapes."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_model, tiny_sae, tiny_tokenizer
from PIL import Image
from transformers import CLIPImageProcessorPil

from core import plain, views
from core import visit as session
from core.catalog import Place, Published, SetupCard
from core.clip import TEMPLATES, SplitClip
from core.dictionary import Dictionary
from core.errors import Trouble
from core.figures import heat_uri, picture_uri
from core.health import Fit, Health
from core.loading import Loading, Setup
from core.steering import Edit, Lever
from core.visit import Subject, Visit
from core.workbench import Workbench

EVIL = ("<img src=x onerror=alert(1)>", "\"'><script>alert(2)</script>", "{{constructor}}", "a & b")


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], None)
    shown = [part.component for part in start.parts]
    return session.change(
        bench, session.measure(bench, start), Edit((Lever(shown[0]), Lever(shown[1], "set", 2.0)), (0, 3, 4))
    )


class Tags(HTMLParser):
    """Collects the names of elements and attributes, and checks that elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found |= {tag, *(f"{tag}.{name}" for name, _ in attrs)}
        if tag not in {"img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def evil_setup() -> Setup:
    """A setup of which every word is a visitor's own, as on the command line."""
    card = SetupCard(
        "own", EVIL[0], Place(Path(EVIL[1])), Place(repo="a/b", file="<b>.pt"), 1, "all", EVIL[2], EVIL[0],
        good_for=EVIL[3], paper=EVIL[1], published=Published(0.9, 5.0, 0.1, EVIL[0]),
    )  # fmt: skip
    clip = SplitClip(tiny_model(), CLIPImageProcessorPil(), tiny_tokenizer(), 1)
    fit = Fit(1, 0.5, 0.5)
    health = Health(2, 34, 48, True, 0.5, 0.5, 5.0, 5.0, 0.1, 0.5, 0.5, 1.0, 0.0, (fit,))
    dictionary = Dictionary(tiny_sae("topk"), "all")
    return Setup(card, clip, dictionary, {"clip": EVIL[0]}, EVIL[1], {EVIL[1]: 0.5, EVIL[2]: 0.4}, health)


def all_views(visit: Visit) -> dict[str, str]:
    tokens = session.contributions(visit.trace, visit.attribution)
    support = views.Support("Before", 1.0, tokens)
    examples = [{"name": EVIL[1], "sentence": EVIL[0]}]
    return {
        "panel": views.panel(visit, cue=EVIL[0]),
        "gallery": views.gallery(examples, ["data:,"], EVIL[1]),
        "words": views.unknown_words({name: (name,) for name in EVIL}, EVIL),
        "target": views.target_line(visit, 100.0),
        "cards": views.cards(visit),
        "history": views.history(visit),
        "levers": views.levers(visit),
        "patches": views.patches(visit),
        "chart": views.chart(visit),
        "table": views.table(visit.comparison),
        "heats": views.heat_pair(visit, support, replace(support, when="After")),
        "notice": views.notice(*EVIL),
        "header": views.header(*EVIL[:2]),
        "loading": views.loading(EVIL[0], Loading(EVIL[1], 1, 2)),
        "setup": views.setup_page(evil_setup()),
        "foot": views.foot(),
    }


def test_nothing_typed_becomes_markup(visit: Visit) -> None:
    for name, html in all_views(visit).items():
        tags = Tags()
        tags.feed(html)
        assert not tags.open, name
        assert "script" not in tags.found and not any(".on" in found for found in tags.found), name


def test_what_was_typed_is_shown(visit: Visit) -> None:
    shown = all_views(visit)
    for name in ("panel", "chart", "table"):
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown[name] and "a &amp; b" in shown[name]


def test_every_card_says_unit_sign_and_shape(visit: Visit) -> None:
    html = views.cards(visit)
    assert html.count('id="component-') == len(visit.parts)
    assert (
        html.count("by CLS")
        == len(visit.parts)
        == html.count("measured +") + html.count("measured −") + html.count("measured ±")
    )
    for part in visit.parts:
        assert f"#{part.component}<" in html and "logits" in html
    assert "▲" in html and "▼" in html


def test_cards_wait_for_the_measurement(visit: Visit) -> None:
    early = replace(visit, parts=tuple(replace(part, measured=None) for part in visit.parts))
    assert views.cards(early).count("measuring …") == len(visit.parts)
    assert "rank correlation" in views.cards(visit) and "measuring" not in views.cards(visit)


@pytest.mark.parametrize(
    "predicted, measured, said",
    [
        (1.0, 0.9, ""), (1.0, 2.0, ""), (-1.0, -0.5, ""), (0.001, -0.004, ""),
        (1.0, 2.1, "more than twice as much"), (-1.0, -0.4, "less than half"), (0.5, 0.0, "less than half"),
        (1.0, -0.2, "the other way"), (-0.3, 3.0, "the other way"),
    ],
)  # fmt: skip
def test_a_disagreement_is_said(predicted: float, measured: float, said: str) -> None:
    assert views.disagreement(predicted, measured) == said


def test_a_card_knows_its_lever(visit: Visit) -> None:
    assert 'aria-pressed="true"' in views.cards(visit)
    assert views.cards(visit).count(" pulled") == len(visit.edit.levers)


def test_the_flip_in_words(visit: Visit) -> None:
    c = visit.comparison
    flipped = replace(c, before=c.before, after=replace(c.after, logits=-c.before.logits))
    tone, words = views.flip_words(flipped, 1)
    assert tone == "flipped" and "Flipped: “" in words and "▲" in words
    assert views.flip_words(replace(c, after=c.before), 1)[1].startswith("No flip: still “")
    assert "No lever pulled" in views.flip_words(c, 0)[1]


@pytest.mark.parametrize("n", [1, 2, 200])
def test_any_number_of_classes(bench: Workbench, visit: Visit, n: int) -> None:
    classes = tuple(f"thing {k}" for k in range(n))
    many = session.ask(bench, visit, classes, TEMPLATES["single"], None)
    panel, chart, table = views.panel(many), views.chart(many), views.table(many.comparison)
    assert panel.count('<li class="bar') <= views.PANEL_CLASSES + 1
    assert chart.count('class="pair"') == n and table.count("<tr>") == n + 1
    assert ("more: see Before / after" in panel) == (n > views.PANEL_CLASSES + 1 or n == 200)


def test_strengths_reach_beyond_the_peak() -> None:
    for peak in (0.0, 0.03, 1.28, 37.0, 1000.0, -2.0):
        own = views.Range.of("set", peak)
        assert own.low <= own.start <= own.high and own.step > 0
        assert max(abs(own.low), own.high) <= 100 or abs(peak) > 100
        assert (own.low < 0) == (peak < 0)
    assert views.Range.of("scale", 3.0) == views.Range(-2.0, 5.0, 0.1, 1.0)


def test_where_an_edit_acts() -> None:
    said = {
        None: "all tokens",
        (0,): "CLS only",
        (0, 2): "1 of 64 patches and CLS",
        (1, 2): "2 of 64 patches",
        (): "0 of 64 patches",
    }
    assert {tokens: views.tokens_words(tokens, 64) for tokens in said} == said


def test_what_cannot_be_pressed_keeps_the_focus(visit: Visit) -> None:
    html = views.history(replace(visit, history=session.History()))
    assert html.count('aria-disabled="true"') == 3 and " disabled" not in html.replace("aria-disabled", "")


def test_unknown_words_name_the_known(visit: Visit) -> None:
    assert views.unknown_words({}, ["dog"]) == ""
    html = views.unknown_words({"zebra": ("zebra",), "a zebra dog": ("zebra",)}, ["dog", "owl"])
    assert "“zebra”; “a zebra dog” (zebra)" in html and "dog, owl" in html


def test_figures_are_small_pictures() -> None:
    rng = np.random.default_rng(0)
    heat = rng.normal(size=(8, 8)).astype(np.float32)
    assert heat_uri(heat).startswith("data:image/png;base64,") and len(heat_uri(heat)) < 2000
    assert heat_uri(np.zeros((2, 2))) and heat_uri(heat, 3.0) != heat_uri(heat)
    assert picture_uri(rng.integers(0, 255, (300, 500, 3)).astype(np.uint8), 64).startswith("data:image/webp")


def test_edits_from_plain_json() -> None:
    wish = [{"component": 3}, {"component": 4, "operation": "scale", "strength": 2}]
    assert plain.edit(wish, [2, 1]) == Edit((Lever(3), Lever(4, "scale", 2.0)), (1, 2))
    for bad in (
        None,
        "x",
        [1],
        [{}],
        [{"component": "x"}],
        [{"component": 1, "operation": "explode"}],
        [{"component": 1}] * 2,
    ):
        with pytest.raises(Trouble):
            plain.edit(bad)
    with pytest.raises(Trouble):
        plain.edit([{"component": 1, "operation": "scale", "strength": "nan"}])
