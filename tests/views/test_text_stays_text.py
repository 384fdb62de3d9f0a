"""Whatever text is put into any view comes out as that text, and changes no element of it.

Each view is drawn with a plain letter and with any text in its place: elements and attributes must be the same, and
what a browser reads in them must hold the text.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import EVIL
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image
from test_components import effects, page
from test_many_views import tried
from view_helpers import Reader, evil_setup, face, levers_at_work, verification

from core.concepts.component import Guess
from core.concepts.search import Match
from core.methods.generalization import Generalization
from core.methods.steering import Edit, Lever
from core.methods.token_maps import token_maps
from core.model.prompts import TEMPLATES
from core.pictures.examples import Example
from core.pictures.intake import intake
from core.session import visit as session
from core.session.history import History
from core.session.log import Log, LogLine, observed
from core.session.many_pictures import OwnSet
from core.session.view_state import ViewState, state_of
from core.session.visit import Subject, Visit
from core.setups.catalog import Location, Published
from core.setups.loading import Loading
from core.views import (
    attribution,
    canvas,
    compare,
    components,
    evidence,
    frame,
    image,
    log,
    many,
    pair,
    prediction,
    setup,
    steering,
)
from core.workbench import Workbench

View = Callable[[str], Markup]
"""Some text -> a view that holds it."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"'{}%=/ \n;#"), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def views(bench: Workbench, picture: Image.Image) -> Mapping[str, View]:
    names = ("dog", "cat", "owl")
    start = session.start(bench, picture, Subject("a"), names, TEMPLATES["single"], None)
    start = session.ask(bench, start, names, start.templates, names[start.prediction.order[-1]])
    edit = Edit((Lever(start.parts[0].component), Lever(start.parts[1].component, "set", 2.0)), (0, 3, 4))
    base = session.change(bench, session.measure(bench, start), edit)
    first = base.parts[0].component
    return (
        _of_the_frame()
        | _of_setups()
        | _of_the_visit(base)
        | _of_components(base, first)
        | _of_evidence(bench, base, picture)
        | _of_many(base)
        | _of_the_log(bench, base)
    )


def _of_the_frame() -> dict[str, View]:
    return {
        "header": lambda text: frame.header(text, text),
        "notice": lambda text: frame.notice(text),
        "section": lambda text: frame.section(text, Markup("<p></p>")),
        "waiting": lambda text: frame.waiting(text, 1, 2),
        "table": lambda text: frame.table((text,), ()),
        "example": lambda text: image.gallery(
            [Example("a", text, "words", (), "", None, None, None, "")], {"a": "data:,"}
        ),
        "unknown words": lambda text: image.unknown_words({"a b": (text,)}, ["c"]),
        "unknown class": lambda text: image.unknown_words({f"{text} dog": ("a",)}, ["c"]),
        "known words": lambda text: image.unknown_words({"a b": ("a",)}, [text]),
        "loading": lambda text: setup.loading(text, Loading("a", 1, 2)),
        "step of a loading": lambda text: setup.loading("a", Loading(text)),
        "trouble of an index": lambda text: components.no_index("a", text),
        "title without an index": lambda text: components.no_index(text),
    }


def _of_setups() -> dict[str, View]:
    whole = evil_setup()
    card, health = whole.card, whole.health
    assert health is not None
    return {
        "good for": lambda text: setup.setup_page(replace(whole, card=replace(card, good_for=text))),
        "licence": lambda text: setup.setup_page(replace(whole, card=replace(card, licence=text))),
        "paper": lambda text: setup.setup_page(replace(whole, card=replace(card, paper=text))),
        "setup line": lambda text: setup.setup_line(replace(card, note=text)),
        "file": lambda text: setup.setup_page(
            replace(whole, card=replace(card, clip=Location(repo="a/b", file=f"a-{file_name(text)}")))
        ),
        "folder": lambda text: setup.setup_page(
            replace(whole, card=replace(card, clip=Location(Path(f"a-{file_name(text)}"))))
        ),
        "commit": lambda text: setup.setup_page(replace(whole, commits={"dictionary": text[:10]})),
        "source of figures": lambda text: setup.setup_page(
            replace(whole, card=replace(card, published=Published(0.9, source=text)))
        ),
        "formula": lambda text: setup.setup_page(replace(whole, formula=text)),
        "reason of a failed verification": lambda text: setup.setup_page(
            replace(whole, card=replace(card, verification=verification(outcome="failed", reason=text)))
        ),
        "pictures of a trial": lambda text: setup.setup_page(
            replace(whole, card=replace(card, verification=verification(levers=levers_at_work(pictures=text))))
        ),
        "alternative": lambda text: setup.setup_page(replace(whole, alternatives={text: 0.5})),
        "doubt": lambda text: setup.setup_page(
            replace(whole, health=replace(health, doubts=(replace(health.doubts[0], sentence=text),)))
        ),
        "kind of pictures": lambda text: setup.setup_page(replace(whole, health=replace(health, kind=text))),
        "trouble of a setup's index": lambda text: setup.setup_page(replace(whole, index_trouble=text)),
    }


def file_name(text: str) -> str:
    return text.replace("/", "|").replace("\0", "|")


def named(visit: Visit, text: str) -> Visit:
    """The visit with its classes and its picture called so."""
    classes = (text,) * len(visit.classes)
    before, after = (replace(each, classes=classes) for each in (visit.comparison.before, visit.comparison.after))
    return replace(
        visit,
        classes=classes,
        comparison=replace(visit.comparison, before=before, after=after),
        subject=replace(visit.subject, caption=text),
    )


def _of_the_visit(base: Visit) -> dict[str, View]:
    told = (token_maps(base.trace, base.attribution), session.contributions(base.trace, base.attribution))
    flipped = replace(base.comparison.before, logits=-base.comparison.before.logits)
    anew = replace(base, comparison=replace(base.comparison, after=flipped))
    return {
        "canvas": lambda text: canvas.canvas(named(base, text), *told, {}),
        "cue": lambda text: canvas.canvas(base, *told, {}, cue=text),
        "prediction": lambda text: prediction.prediction(named(base, text)),
        "prediction, flipped": lambda text: prediction.prediction(named(anew, text)),
        "prediction without levers": lambda text: prediction.prediction(named(replace(base, history=History()), text)),
        "rows": lambda text: attribution.part_rows(named(base, text)),
        "waterfall": lambda text: attribution.waterfall_chart(named(base, text)),
        "chart": lambda text: compare.chart(named(base, text)),
        "table of changes": lambda text: compare.table(named(base, text)),
        "what to find": lambda text: steering.finder(named(base, text)),
        "trouble of a search": lambda text: steering.finder(base, trouble=text),
    }


def _of_components(base: Visit, first: int) -> dict[str, View]:
    def guessed(text: str) -> dict:
        return {"guesses": (Guess(text, 0.1), Guess("owl", 0.05))}

    def source(text: str, key: str) -> Markup:
        known = page(first)
        manifest = replace(known.source, source={"kind": "folder", "name": "a", "split": "b"} | {key: text})
        return components.component_page(base, replace(known, source=manifest), None)

    faces = {first: face(first)}
    return {
        "guess in a row": lambda text: attribution.part_rows(base, {first: face(first, **guessed(text))}),
        "guess on a bar": lambda text: attribution.waterfall_chart(base, {first: face(first, **guessed(text))}),
        "guess on a lever": lambda text: steering.levers(base, {first: face(first, **guessed(text))}),
        "example search": lambda text: components.examples((text,)),
        "guess on a page": lambda text: components.component_page(base, page(first, **guessed(text)), None),
        "guess of a neighbour": lambda text: components.component_page(
            base, replace(page(first), faces={4: face(4, 1, **guessed(text))}), None
        ),
        "collection": lambda text: source(text, "name"),
        "kind of collection": lambda text: source(text, "kind"),
        "split of a collection": lambda text: source(text, "split"),
        "what is pushed": lambda text: components.component_page(base, page(first), effects(classes=(text, "a"))),
        "the target on a page": lambda text: components.component_page(named(base, text), page(first), None),
        "what was asked": lambda text: components.found(base, text, (Match(first, 0.25),), faces),
        "the target of what was found": lambda text: components.found(
            named(base, text), "a", (Match(first, 0.25),), faces
        ),
        "guess of what was found": lambda text: components.found(
            base, "a", (Match(first, 0.25),), {first: face(first, **guessed(text))}
        ),
    }


def _of_evidence(bench: Workbench, base: Visit, picture: Image.Image) -> dict[str, View]:
    asked = (base.trace, base.classes, base.templates)
    response = next(bench.responses(*asked, base.target, base.edit))
    turns = replace(response, logits=np.eye(3, dtype=np.float32)[np.arange(len(response.doses)) % 3])
    effects = bench.side_effects(*asked, base.target, base.edit)
    changes = bench.attribution_changes(*asked, base.attribution, base.edit)
    *_, tested = bench.generalize(base.edit)
    assert isinstance(tested, Generalization)
    truth, k = tested.truth, 0
    after = np.where(np.arange(len(truth)) == k, truth, (truth + 1) % len(tested.classes))
    fixed = replace(tested, before=np.roll(truth, 1), after=after, shown=np.array([k]), crops=base.trace.crop[None])
    *_, search = bench.find_edit(*asked, base.truth or 0)
    gone = session.without_cue(bench, base, picture.rotate(90))
    missed = bench.reconstruction_error(*asked)
    return {
        "effect": lambda text: evidence.effect(named(base, text)),
        "doses": lambda text: evidence.doses(named(base, text), [turns] * 3),
        "side effects": lambda text: evidence.side_effects(
            base, replace(effects, concepts=(text,) * 2, change=np.array([1.0, -1.0], dtype=np.float32)), changes
        ),
        "other pictures": lambda text: evidence.generalization(replace(fixed, classes=(text,) * len(tested.classes))),
        "without the cue": lambda text: evidence.counterfactual(
            named(base, text), "a", replace(gone, prediction=replace(gone.prediction, classes=(text,) * 3))
        ),
        "the cue": lambda text: evidence.known_counterfactual(base, text, gone, "a"),
        "how the cue went": lambda text: evidence.counterfactual(base, text, gone),
        "at large": lambda text: evidence.counterfactual(base, "a", gone, text),
        "what the SAE misses": lambda text: evidence.reconstruction_error(
            replace(
                missed,
                before=replace(missed.before, classes=(text,) * 3),
                through=replace(missed.through, classes=(text,) * 3),
            )
        ),
        "an edit that was found": lambda text: steering.finder(named(base, text), search),
        "guess in an edit that was found": lambda text: steering.finder(
            base, search, faces={c: face(c, guesses=(Guess(text, 0.1),)) for c in steering.proposed(search)}
        ),
    }


def _of_many(base: Visit) -> dict[str, View]:
    def drawn(text: str) -> Markup:
        pictures, found = tried((text, f"{text} b"), "fb-", names=text, group=text)
        return many.tried(base, pictures, found) + many.confusions(pictures, (text, f"{text} b"))

    def read(text: str) -> Markup:
        pictures, _ = tried(("a", "b"), "fb")
        held = OwnSet(text, "tiny", replace(pictures, troubles=((text, text),)))
        words = many.read_words(held, intake([text], [(text, text)]), text)
        return words + many.about_set(held.pictures, text) + many.gone(text)

    return {"a set that was tried": drawn, "a set that was read": read}


def _of_the_log(bench: Workbench, base: Visit) -> dict[str, View]:
    state, seen = state_of(bench, base), observed(base)

    def line(text: str, state: ViewState = state) -> Log:
        return Log((LogLine(id="0" * 16, time=0, expectation=text, state=state, observed=seen, verdict="held"),))

    def side(v: Visit, setup: str) -> pair.SideView:
        return pair.SideView(v, v.trace, v.attribution, setup)

    def asked_of(text: str) -> ViewState:
        picture = state.picture.model_copy(update={"caption": text})
        return state.model_copy(update={"classes": (text,) * 3, "picture": picture})

    return {
        "expectation in the log": lambda text: log.log(line(text), {}, {}),
        "what a line is about": lambda text: log.log(line("a", asked_of(text)), {}, {}),
        "what stands beside": lambda text: pair.choices([(text, [("example", text, text)])]),
        "two at once": lambda text: pair.pair(side(named(base, text), text), side(base, text)),
        "setup in the log": lambda text: log.log(line("a"), {state.setup: text}, {}),
    }


@pytest.fixture(scope="module")
def elements(views: Mapping[str, View]) -> Mapping[str, list[tuple[str, ...]]]:
    """Of every view with a plain letter."""
    return {name: Reader(view("x")).elements for name, view in views.items()}


@settings(max_examples=20)
@given(TEXTS)
@example(EVIL[0])
@example(EVIL[1])
@example("</style><script>")
@example("&lt;b&gt; &amp;amp; {0} {text} %s {{ 7 * 7 }} {% raw %}")
def test_any_text_comes_out_as_text(
    views: Mapping[str, View], elements: Mapping[str, list[tuple[str, ...]]], text: str
) -> None:
    for name, view in views.items():
        drawn = view(text)
        assert isinstance(drawn, Markup), name
        read = Reader(drawn)
        assert read.elements == elements[name], name
        kept = {"commit": text[:10], "file": file_name(text), "folder": file_name(text)}.get(name, text)
        assert any(kept in value for value in read.texts), name


@given(st.dictionaries(st.integers(0, 47), TEXTS))
def test_any_label_reaches_the_widget(visit: Visit, labels: dict[int, str]) -> None:
    """Labels travel as JSON, in an attribute in single quotes."""
    maps, by_token = token_maps(visit.trace, visit.attribution), session.contributions(visit.trace, visit.attribution)
    drawn = canvas.canvas(visit, maps, by_token, labels)
    (told,) = (value for value in Reader(drawn).texts if value.startswith("{"))
    shown = {str(c) for c in visit.trace.activations.components().tolist()}
    assert json.loads(told)["labels"] == {str(c): label for c, label in labels.items() if str(c) in shown}
