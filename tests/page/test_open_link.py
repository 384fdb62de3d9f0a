"""A link that is opened: the view that it was made of, on a server that never saw it, or as much as can be, and why."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.methods.steering import Condition, Edit, Lever, Term
from core.methods.targets import ClassTarget
from core.model.prompts import TEMPLATES
from core.page import image_tab
from core.page.context import Context
from core.page.keeper import bring_back, show_crop
from core.page.open_link import NO_PICTURE_IN_A_LINK, OTHER_COMMITS
from core.page.picture_sets import choices
from core.page.replies import Outcome
from core.page.setup_bar import LEFT_BEHIND
from core.page.visit_state import VisitState, keep, query_of, serialised
from core.page.wire import BringBack
from core.session import visit as session
from core.session.links import to_query
from core.session.many_pictures import OWN, PHOTOGRAPHS, ManyPictures
from core.session.view_state import state_of
from core.session.visit import Subject, Visit

SAME = ("setup", "subject", "trace", "classes", "templates", "truth", "target", "attribution", "comparison", "edit")
OTHER = "sheep-stamp"
"""Another example than the first."""


def link_to(context: Context, v: Visit) -> str:
    return to_query(state_of(context.bench(v), v))


def opened(context: Context, held: Visit, link: str, crop: str = "") -> Outcome:
    """What a page shows that was opened with this link."""
    tabs = ("image", "evidence")
    return bring_back(
        context, held, BringBack(state=serialised(context, held), crop=crop, pressed=False, link=link), tabs
    )


@pytest.fixture(scope="module")
def other(context: Context, first: Visit) -> Visit:
    """All that a visitor can change, on another example without its cue."""
    bench, example = context.bench(first), context.example_named(OTHER)
    assert example is not None
    v = session.look_at(bench, first, example.file(True), session.subject_of(example, True))
    v = session.ask(bench, v, ("sheep, woolly", "horse", "frog"), TEMPLATES["ensemble"], "horse")
    v = session.set_target(bench, v, ClassTarget(2, 0))
    levers = Lever(v.parts[0].component), Lever(3, "scale", 2.0), Lever(5, "set", 1.5, at_least=0.25)
    v = session.change(bench, v, Edit(levers, (0, 2, 3, 4, 9), Condition((Term(7, 0.5), Term(99)), -1.0)))
    v = replace(v, search=v.search.open_page(12), many=ManyPictures("attacked", confusion=("dog", "")))
    return session.changed(first, v)


def test_a_link_opens_what_it_was_made_of(context: Context, first: Visit, other: Visit) -> None:
    outcome = opened(context, first, link_to(context, other))
    assert outcome.notes == ()
    assert [name for name in SAME if getattr(outcome.visit, name) != getattr(other, name)] == []
    assert (outcome.visit.search.opened, outcome.visit.many) == (12, other.many)
    assert outcome.visit.agreement is not None, "measured, too"
    assert link_to(context, outcome.visit) == link_to(context, other)
    assert (outcome.visit.key, outcome.visit.step) == (first.key, first.step + 1)
    assert not outcome.visit.history.past
    assert opened(context, outcome.visit, link_to(context, first)).visit.comparison == first.comparison


def test_what_a_link_does_not_say_is_as_the_picture_comes(context: Context, first: Visit, other: Visit) -> None:
    v = opened(context, other, "?example=dog-note-cat&suppress=99").visit
    assert (v.classes, v.truth, v.target, v.subject) == (first.classes, first.truth, first.target, first.subject)
    assert v.edit == Edit((Lever(99),))
    v = opened(context, other, "?suppress=99").visit
    assert (v.classes, v.truth, v.subject, v.trace) == (other.classes, other.truth, other.subject, other.trace)


def test_a_link_of_another_setup_loads_no_lever_into_this_one(context: Context, first: Visit) -> None:
    outcome = opened(context, first, "setup=lost&example=dog-note-cat&suppress=99&component=3")
    assert outcome.notes == (
        f"This link is about {context.pool.cards['lost'].title}, which cannot be had now: "
        f"{context.card(first).title} answers instead.",
        LEFT_BEHIND,
    )
    assert outcome.visit.edit == Edit()
    assert outcome.visit.search.opened is None
    (named, *_) = opened(context, first, "setup=<b>never").notes
    assert named.startswith("This link is about “<b>never”, which is not among the setups here:")
    assert opened(context, first, "suppress=99&clip=0123456789ab").notes == (OTHER_COMMITS, LEFT_BEHIND)


def test_a_setup_that_is_loaded_answers(context: Context, first: Visit, tiny: Visit) -> None:
    outcome = opened(context, first, link_to(context, tiny))
    assert (outcome.notes, outcome.visit.setup, outcome.visit.comparison) == ((), "tiny", tiny.comparison)


def test_a_link_asks_the_picture_set_that_it_was_made_with(context: Context, first: Visit, tiny: Visit) -> None:
    for v in (first, tiny):
        for _, which in choices(context.bench(v)):
            asked = replace(v, many=ManyPictures(which, by_labels=which == PHOTOGRAPHS))
            outcome = opened(context, first, link_to(context, asked))
            assert (which, outcome.notes) == (which, ())
            assert outcome.visit.many == (first.many if which == OWN else asked.many)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("suppress=99,1000000", "components, and so no lever is pulled on #1000000"),
        ("suppress=99&tokens=0,5000", "and the edit of this link acts on others: it acts on all."),
        ("suppress=99&when=1000000@1", "components, and the condition of this link names others: it is left out."),
        ("suppress=99&truth=mammoth", "“mammoth”, which this link says it should be, is not among the classes."),
        ("suppress=99&target=cat,mammoth", "The target of this link is not among the classes"),
        ("suppress=99&target=cat,cat", "The target of this link is not among the classes"),
        ("suppress=99&example=mammoth", "This link is about an example “mammoth”, which is not here."),
        ("suppress=99&component=1000000", "component"),
        ("suppress=99&pictures=holidays", "There are no pictures called “holidays” here."),
        ("suppress=99&pictures=own", "There are no pictures called “own” here."),
        ("suppress=99&pictures=photographs", "There are no pictures called “photographs” here."),
        ("suppress=99&tab=cellar", "This link opens a tab “cellar”, which is not among those of this page."),
        ("suppress=99&supress=4", "“supress=4” in this link is nothing that a link can say."),
        (f"suppress=99&picture={'0' * 16}", NO_PICTURE_IN_A_LINK),
    ],
)
def test_what_this_server_does_not_have_is_said_and_the_rest_is_there(
    context: Context, first: Visit, query: str, sentence: str
) -> None:
    outcome = opened(context, first, query)
    assert len(outcome.notes) == 1
    assert sentence in outcome.notes[0]
    assert outcome.visit.edit == Edit((Lever(99),))
    assert outcome.visit.classes == first.classes


def test_a_picture_that_no_link_carries_is_waited_for(context: Context, first: Visit) -> None:
    bench, example = context.bench(first), context.example_named(OTHER)
    assert example is not None
    subject = Subject("Your picture", photograph=True)
    own = session.start(bench, example.file(), subject, ("horse", "frog", "sheep"), TEMPLATES["single"], "sheep")
    own = session.change(bench, own, Edit((Lever(3),)))
    there = opened(context, first, link_to(context, own))
    assert there.notes == (NO_PICTURE_IN_A_LINK,)
    assert (there.visit.subject.example, there.visit.edit) == ("dog-note-cat", own.edit)
    brought = image_tab.bring(context, there.visit, str(example.file()), "dog", "single", "").visit
    assert [name for name in SAME if getattr(brought, name) != getattr(own, name)] == []
    here = opened(context, first, link_to(context, own), str(show_crop(own)).partition('src="')[2].partition('"')[0])
    assert here.notes == ()
    assert [name for name in SAME if getattr(here.visit, name) != getattr(own, name)] == [], "the page has its crop"


parameters = st.sampled_from(
    [
        "setup=bundled", "setup=lost", "example=dog-note-cat", f"example={OTHER}", "example=x", "cue=off",
        "classes=dog,cat", "classes=a", "classes=%00,<b>,,%F0%9F%90%B6", "truth=cat", "truth=", "target=cat,dog",
        "target=a", "suppress=99,3.4", "scale=2~2.3:100", "set=4:-1e9", "set=999999:1", "tokens=none", "tokens=0-9999",
        "when=99@1e6", "when=9999999:-1@0", f"picture={'f' * 64}", "pictures=attacked", "confusion=,", "component=0",
        "component=2147483647", "clip=0000000", "templates={},{}+{}", "wording=ensemble", "v=9", "tab=log", "=", "%",
        "pictures=index",
    ]
)  # fmt: skip


@settings(max_examples=8)
@given(st.lists(parameters, min_size=2, max_size=9).map("&".join))
def test_any_link_opens_something_whose_own_link_opens_the_same(context: Context, first: Visit, query: str) -> None:
    v = opened(context, first, query).visit
    again = opened(context, first, link_to(context, v))
    assert again.notes == ()
    assert [name for name in SAME if getattr(again.visit, name) != getattr(v, name)] == []


def test_going_back_can_be_undone_and_keeps_what_is_in_no_link(context: Context, first: Visit) -> None:
    bench = context.bench(first)
    v = session.changed(first, session.change(bench, first, Edit((Lever(3),))))
    v = replace(v, many=ManyPictures(OWN, "my pictures", read="ab" * 8))
    back = opened(context, v, link_to(context, first)).visit
    assert back.edit == Edit()
    assert session.undo(bench, back).edit == v.edit
    assert back.many == v.many
    v = replace(v, many=replace(v.many, which="attacked", confusion=("dog", ""), unseen="cd" * 8))
    assert opened(context, v, link_to(context, first)).visit.many == replace(v.many, which="", confusion=None)
    assert (back.key, back.step) == (v.key, v.step + 1)
    assert back.revision > v.revision, "what the page's levers sent before is void"


def test_an_address_that_says_nothing_changes_nothing(context: Context, first: Visit) -> None:
    assert opened(context, first, "?__theme=dark&view=api") == Outcome(first, None)


def test_the_page_carries_the_link_of_every_visit(context: Context, first: Visit, other: Visit) -> None:
    import gradio as gr

    with gr.Blocks():
        state = VisitState(keep(first), gr.HTML())
    carried = state.kept_as(context, other)[state.carried]
    assert carried["query"] == link_to(context, other)
    assert carried["value"] == serialised(context, other)
    long = state_of(
        context.bench(other), replace(other, classes=tuple("x" * 190 + str(k) for k in range(100)), truth=None)
    )
    assert query_of(long) == "", "longer than an address may be"
