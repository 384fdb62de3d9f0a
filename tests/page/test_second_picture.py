"""The second picture: chosen or brought, asked about, taken away; and brought back wherever the first one is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.methods.steering import Edit
from core.methods.targets import ClassTarget, PictureTarget
from core.page import image_tab
from core.page.attribution_tab import ALIKE, NOTHING, set_target, show_rows, show_target
from core.page.context import Context
from core.page.keeper import NO_SECOND, bring_back
from core.page.open_link import NO_SECOND_IN_A_LINK
from core.page.pair_box import show_two
from core.page.replies import Outcome
from core.page.second_picture import bring, choose, show_second, step
from core.page.setup_bar import use
from core.page.side_panel import show_prediction
from core.page.take_along_tab import pack, take_up
from core.page.visit_state import VisitState, serialised
from core.page.wire import BringBack, ChooseExample, SecondStep, ShowTwo
from core.recipes import make_recipe
from core.session import visit as session
from core.session.many_pictures import OwnPictures
from core.session.view_state import ViewState, state_of
from core.session.visit import Visit
from core.views.images import lossless_uri
from core.views.many import saved

OTHER = "car-note-car"
"""Another picture with a note, as the first one."""
OWN = Path(__file__).parents[2] / "assets" / "examples" / "owl-note-nonsense.webp"


@pytest.fixture(scope="module")
def alike(context: Context, first: Visit) -> Visit:
    """The first example, compared with another."""
    return session.changed(first, choose(context, first, ChooseExample(example=OTHER)))


@pytest.fixture(scope="module")
def own(context: Context, first: Visit) -> Visit:
    """The same with a picture of the visitor's own."""
    return session.changed(first, bring(context, first, str(OWN)))


def page_of(context: Context, v: Visit, link: str = "", second: str | None = None) -> BringBack:
    """What a page that is about this visit sends."""
    crop = "" if v.second is None or v.second.subject.example else str(lossless_uri(v.second.crop))
    told = crop if second is None else second
    return BringBack(state=serialised(context, v), crop="", second=told, pressed=False, link=link)


def test_a_picture_to_compare_with_becomes_the_target(context: Context, first: Visit, alike: Visit) -> None:
    assert alike.about_second
    assert show_second(context, first) == ""
    shown = show_second(context, alike)
    assert f'data-second="{OTHER}"' in shown
    assert f"cosine {alike.attribution.value / 100:.3f}" in shown
    assert "data-own" not in shown
    assert ">hundredths of cosine</button>" in show_target(context, alike)
    rows = show_rows(context, alike)
    assert "Makes them alike" in rows
    assert "cos/100" in rows
    assert "logits" not in rows
    assert "Similarity" not in show_prediction(context, first)
    assert "Similarity" in show_prediction(context, alike)


def test_one_of_ones_own_is_kept_by_the_page(context: Context, own: Visit) -> None:
    assert own.second is not None
    assert (own.second.subject.example, own.second.subject.photograph) == (None, True)
    assert "data-own" in show_second(context, own)
    assert str(lossless_uri(own.second.crop)) in show_second(context, own)


@pytest.mark.parametrize("file", [None, "/no/such/file.png", __file__])
def test_what_is_no_picture_gets_a_sentence(context: Context, alike: Visit, file: str | None) -> None:
    with pytest.raises(UserError):
        bring(context, alike, file)
    with pytest.raises(UserError, match="Reload"):
        choose(context, alike, ChooseExample(example="no-such-example"))


def test_it_is_asked_about_or_not_and_taken_away(context: Context, first: Visit, alike: Visit) -> None:
    of_classes = set_target(context, alike, 0, NOTHING)
    assert (of_classes.target, of_classes.second) == (ClassTarget(0), alike.second)
    assert "Similarity" not in show_prediction(context, of_classes)
    for again in (
        set_target(context, of_classes, ALIKE, 1),
        set_target(context, of_classes, ALIKE, None),
        step(context, of_classes, SecondStep(step="ask")),
    ):
        assert again.target == alike.target
    with pytest.raises(UserError, match="against no class"):
        set_target(context, alike, ALIKE, 1)
    with pytest.raises(UserError, match="no second picture"):
        set_target(context, first, ALIKE, NOTHING)
    gone = step(context, alike, SecondStep(step="take away"))
    assert (gone.second, gone.target) == (None, first.target)
    assert step(context, gone, SecondStep(step="ask")) is gone


def test_it_comes_back_where_the_server_has_lost_it(context: Context, first: Visit, alike: Visit, own: Visit) -> None:
    for v in (alike, own):
        outcome = bring_back(context, first, page_of(context, v))
        assert outcome.notes == ()
        assert (outcome.visit.second, outcome.visit.target, outcome.visit.key) == (v.second, v.target, v.key)
    other = str(lossless_uri(np.zeros_like(first.trace.crop)))
    for crop in ("", "data:image/webp;base64,AAAA", other):
        lost = bring_back(context, first, page_of(context, own, second=crop))
        assert lost.notes == (NO_SECOND,)
        assert (lost.visit.second, lost.visit.target) == (None, first.target)


def test_an_example_answers_at_once_and_ones_own_is_asked_for(
    context: Context, first: Visit, alike: Visit, own: Visit
) -> None:
    found = VisitState.visit(VisitState(None, None), context, first, serialised(context, alike))  # type: ignore[arg-type]
    assert found is not None
    assert (found.second, found.target) == (alike.second, alike.target)
    assert VisitState.visit(VisitState(None, None), context, first, serialised(context, own)) is None  # type: ignore[arg-type]


def test_a_link_carries_an_example_and_says_that_it_cannot_carry_more(
    context: Context, first: Visit, alike: Visit, own: Visit
) -> None:
    start = "setup=bundled&example=dog-note-cat"
    opened = bring_back(context, first, page_of(context, first, f"{start}&like={OTHER}"))
    assert opened.notes == ()
    assert (opened.visit.second, opened.visit.target) == (alike.second, alike.target)
    offered = bring_back(context, alike, page_of(context, first, f"{start}&like={OTHER}&target=dog"))
    assert (offered.visit.second, offered.visit.target) == (alike.second, ClassTarget(0))
    without = bring_back(context, alike, page_of(context, alike, start))
    assert (without.visit.second, without.visit.target) == (None, first.target)
    (note,) = bring_back(context, first, page_of(context, first, f"{start}&like=<b>")).notes
    assert "“<b>”, which is not here" in note
    content = state_of(context.bench(own), own).second
    assert content is not None
    link = f"{start}&like-picture={content.content[:16]}"
    assert bring_back(context, first, page_of(context, first, link)).notes == (NO_SECOND_IN_A_LINK,)
    back = bring_back(context, first, page_of(context, own, link))  # as when a visitor goes back
    assert back.notes == ()
    assert (back.visit.second, back.visit.target) == (own.second, own.target)


def test_another_first_picture_leaves_it_there(context: Context, alike: Visit) -> None:
    v = image_tab.choose(context, alike, ChooseExample(example="fox-blank-note"))
    assert (v.second, v.about_second) == (alike.second, False)


def test_another_setup_sees_it_anew(context: Context, first: Visit, tiny: Visit, alike: Visit, own: Visit) -> None:
    """From the file, where that is there still; else from what the setup before saw of it."""
    bench = context.pool.get(tiny.setup)
    for v, file, source in ((alike, None, OWN.with_name(f"{OTHER}.webp")), (own, str(OWN), OWN), (own, None, None)):
        moved = use(context, v, tiny.setup, None, None, file)
        assert isinstance(moved, Outcome)
        assert v.second is not None
        expected = bench.open(v.second.crop if source is None else source)
        assert moved.visit.second is not None
        assert np.array_equal(moved.visit.second.crop, expected.crop)
        assert moved.visit.about_second
        assert moved.visit.target == PictureTarget.like(expected.embedding, v.second.subject.caption)


def test_a_report_brings_it_back(context: Context, first: Visit, own: Visit, tmp_path: Path) -> None:
    *_, packed = pack(context, own, OwnPictures(), "")
    html = dict(packed["files"])["clip-levers-report.html"].decode()
    assert "hundredths of cosine" in html
    assert "Compared with: Your second picture." in html
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    outcome = take_up(context, first, str(path))
    assert outcome.notes == ()
    assert (outcome.visit.second, outcome.visit.target) == (own.second, own.target)


def test_two_at_once_have_the_same_target(context: Context, alike: Visit) -> None:
    shown = show_two(context, alike, ShowTwo(kind="example", name="fox-blank-note", lines=(), moment=1.0))
    assert shown.count("similarity to a car with a note saying “car”") == 2
    assert shown.count("hundredths of cosine") == 2


def test_a_recipe_is_about_classes_and_says_so(context: Context, alike: Visit) -> None:
    bench, edit = context.bench(alike), Edit.of_suppressed([99])
    recipe = make_recipe(bench.setup, edit, alike.classes, alike.templates, alike.class_target, title="x")
    assert "in place of the similarity it names “cat” against “dog”" in saved(alike, recipe, "recipe")
    of_classes = session.set_target(bench, alike, recipe.facts.target)
    assert "similarity" not in saved(of_classes, recipe, "recipe")


def test_the_state_tells_two_pictures_of_one_name_apart(context: Context, own: Visit) -> None:
    """What is in sight is another, and so is what was drawn of it."""
    assert own.second is not None
    other = replace(own.second, crop=own.second.crop[::-1])
    digests = {show_prediction(context, v).split('data-digest="')[1][:16] for v in (own, replace(own, second=other))}
    assert len(digests) == 2
    states = [state_of(context.bench(v), v) for v in (own, replace(own, second=other))]
    assert states[0] != states[1]
    assert ViewState.parsed(states[0].serialised()) == states[0]
