"""What the visitor sees: nothing typed is ever markup, every number has its unit, signs have shapes."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_model, tiny_sae, tiny_tokenizer
from PIL import Image
from test_reference_strip import classes, concept, shot
from transformers import CLIPImageProcessorPil

from core.concepts.component import Guess
from core.concepts.families import Family
from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.prompts import TEMPLATES
from core.pictures.examples import Example
from core.serving import api_json as plain
from core.session import visit as session
from core.session.visit import Subject, Visit
from core.setups.catalog import Location, Published, SetupSpec
from core.setups.health import Fit, Health
from core.setups.loading import Loading, Setup
from core.views import parts as views
from core.views.images import heat_uri, picture_uri
from core.views.reference_strip import Face, sheet
from core.workbench import Workbench

EVIL = ("<img src=x onerror=alert(1)>", "\"'><script>alert(2)</script>", "{{constructor}}", "a & b")


@pytest.fixture(scope="module")
def visit(bench: Workbench, picture: Image.Image) -> Visit:
    start = session.start(bench, picture, Subject(EVIL[0]), EVIL, TEMPLATES["single"], None)
    shown = [part.component for part in start.parts]
    return session.change(
        bench, session.measure(bench, start), Edit((Lever(shown[0]), Lever(shown[1], "set", 2.0)), (0, 3, 4))
    )


def with_family(visit: Visit) -> Visit:
    """A lever on the third card, and one on a family whose members are a card, another one and one not shown."""
    shown = [part.component for part in visit.parts]
    hidden = next(c for c in range(48) if c not in shown and not visit.part(c).peak)
    edit = Edit((Lever(shown[2], "set", 1.5),)).pull_family(shown[0], (shown[0], shown[1], hidden), "scale", 0.5)
    return replace(visit, history=session.History(edit))


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
    card = SetupSpec(
        "own", EVIL[0], Location(Path(EVIL[1])), Location(repo="a/b", file="<b>.pt"), 1, "all", EVIL[2], EVIL[0],
        good_for=EVIL[3], paper=EVIL[1], published=Published(0.9, 5.0, 0.1, EVIL[0]),
    )  # fmt: skip
    clip = SplitClip(tiny_model(), CLIPImageProcessorPil(), tiny_tokenizer(), 1)
    fit = Fit(1, 0.5, 0.5)
    health = Health(2, 34, 48, True, 0.5, 0.5, 5.0, 5.0, 0.1, 0.5, 0.5, 1.0, 0.0, (fit,))
    dictionary = Dictionary(tiny_sae("topk"), "all")
    return Setup(card, clip, dictionary, {"clip": EVIL[0]}, EVIL[1], {EVIL[1]: 0.5, EVIL[2]: 0.4}, health)


def faces_of(visit: Visit) -> dict[int, Face]:
    """A face for every card: the first of a family of three, the second silent."""
    shown = [part.component for part in visit.parts]
    faces = {c: Face(concept(c), tuple(shot(k) for k in range(5))) for c in shown}
    family = Family((shown[0], *sorted({*range(4)} - {*shown})[:2]), 0.9, 0.8, 0.7, EVIL[0])
    faces[shown[0]] = Face(concept(shown[0], guesses=(Guess(EVIL[0], 0.1),)), faces[shown[0]].shots, family)
    faces[shown[1]] = Face(concept(shown[1], guesses=(), clarity=None, fired=0), ())
    return faces


def all_views(visit: Visit) -> dict[str, str]:
    tokens = session.contributions(visit.trace, visit.attribution)
    support = views.Support("Before", 1.0, tokens)
    examples = [Example(EVIL[1], EVIL[0], (), "", None, "")]
    return {
        "panel": views.panel(visit, cue=EVIL[0]),
        "gallery": views.gallery(examples, ["data:,"], EVIL[1]),
        "words": views.unknown_words({name: (name,) for name in EVIL}, EVIL),
        "target": views.target_line(visit, 100.0),
        "cards": views.cards(visit),
        "cards with faces": views.cards(visit, faces_of(visit)),
        "history": views.history(visit),
        "levers": views.levers(visit),
        "family": views.levers(with_family(visit)),
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


def test_cards_with_faces(visit: Visit) -> None:
    """Strips and words where they are known; the pictures themselves are in the sheet."""
    faces = faces_of(visit)
    html, bare = views.cards(visit, faces), views.cards(visit)
    assert html.count('class="strip"') == len(visit.parts) - 1 and html.count("never fired in the 200 pictures") == 1
    assert html.count('data-action="open"') == 2 * len(visit.parts) - 1
    assert html.count("The pictures are the evidence; the label is a guess.") == 1
    assert html.count("data:image/webp") == 1, "the visitor's own picture"
    assert "guess: “&lt;img" in html and html.count("guess: “") == len(visit.parts) - 1
    for absent in ("strip", "guess", "open", "family", "evidence"):
        assert absent not in bare
    with_pictures = sheet(one for face in faces.values() for one in face.shots)
    assert all(f".{name}{{" in with_pictures for names in classes(html) for name in names if name != "whole")


def test_the_weight_of_the_cards(visit: Visit) -> None:
    """12 cards with 5 pictures of 1.2 KB: the pictures weigh what base64 makes of them, and come once."""
    noise = np.random.default_rng(0)
    faces = {}
    for c in range(12):
        shots = [replace(shot(k), webp=noise.bytes(1200), region=noise.random((16, 16)) < 0.1) for k in range(5)]
        faces[c] = Face(concept(c), tuple(replace(one, region=one.region.astype(np.float32)) for one in shots))
    once = len(sheet(one for face in faces.values() for one in face.shots))
    parts = tuple(replace(visit.parts[0], component=c) for c in faces)
    again = len(views.cards(replace(visit, parts=parts), faces)) - len(views.cards(replace(visit, parts=parts)))
    assert once < 60 * 1200 * 4 / 3 * 1.25
    assert again < 20_000, "this goes out after every move of a lever"


def test_a_family_has_a_button_that_knows_whether_it_is_pulled(visit: Visit) -> None:
    faces = faces_of(visit)
    first, second = (part.component for part in visit.parts[:2])
    members = faces[first].family.members  # type: ignore[union-attr]
    for edit, pressed, words in (
        (Edit(), "false", "Suppress family (3)"),
        (Edit((Lever(first),)), "false", "Suppress family (3)"),
        (Edit().pull_family(first, members), "true", "Family suppressed (3) ✓"),
        (Edit().pull_family(first, members, "scale", 2.0), "false", "Suppress family (3)"),
    ):
        buttons = views.actions(first, edit, faces[first])
        assert buttons.count('data-action="family"') == 1
        assert f'data-action="family"\n aria-pressed="{pressed}"' in buttons and words in buttons
    assert "family" not in views.actions(second, Edit(), faces[second])


def test_a_family_is_one_lever(visit: Visit) -> None:
    pulled = with_family(visit)
    html = views.levers(pulled)
    alone, family = html.split('<li class="lever')[1:]
    members = [lever.component for lever in pulled.edit.groups()[1]]
    assert f'data-components="{members[0]},{members[1]},{members[2]}" data-family="{members[0]}"' in family
    assert family.count('role="radio"') == 2 and "data-set" not in family and alone.count('role="radio"') == 3
    assert f"#{members[0]} and its family" in family and "3 components as one" in family
    assert family.count("<li>") == 3 and family.count("not active") == 1
    together = sum(visit.part(c).total for c in members)
    assert f"{views.signed(together)}\n <small>logits</small>" in family
    assert 'value="0.5"' in family and 'data-family=""' in alone
    assert "(2 levers)" in views.panel(pulled)
    assert views.group_name(pulled.edit.release(members[0]).groups()[1]) == f"the others of #{members[0]}’s family"
    assert views.group_name(pulled.edit.groups()[0]) == f"#{pulled.edit.levers[0].component}"


def test_the_page_carries_the_whole_edit(visit: Visit) -> None:
    """What the levers send back makes the same edit again."""
    pulled = with_family(visit)
    told = json.loads(views.intent(pulled))
    assert Edit(tuple(session.lever(*each) for each in told["levers"]), told["tokens"]) == pulled.edit
    assert [each[3] for each in told["levers"]].count(None) == 1


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
        with pytest.raises(UserError):
            plain.edit(bad)
    with pytest.raises(UserError):
        plain.edit([{"component": 1, "operation": "scale", "strength": "nan"}])
