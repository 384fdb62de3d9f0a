"""The Steering tab: messages of its widgets become edits, in order; mistakes change nothing."""

from typing import Any

import pytest

from core.errors import UserError
from core.methods.steering import Edit, Lever
from core.page.context import Context
from core.page.replies import Outcome
from core.page.steering_tab import find, pull, show_levers, show_sheet, title, use
from core.page.wire import EditMessage, LeverMessage, UseEdit
from core.session import visit as session
from core.session.visit import Visit

NOTE = 99
"""A component that reads the note."""


def message(v: Visit, moment: float, strength: Any = "0,5", at_least: Any = None) -> EditMessage:
    lever = LeverMessage(component=NOTE, operation="scale", strength=strength, family=None, at_least=at_least)
    return EditMessage(revision=v.revision, moment=moment, gesture=1.0, levers=(lever,))


@pytest.fixture
def pulled(context: Context, first: Visit) -> Visit:
    return session.change(context.bench(first), first, Edit.of_suppressed([NOTE]))


def test_the_levers_as_they_stand_on_the_page(context: Context, pulled: Visit) -> None:
    v = pull(context, pulled, message(pulled, 5.0))
    assert isinstance(v, Visit)
    assert v.edit == Edit((Lever(NOTE, "scale", 0.5),))
    assert v.revision == pulled.revision
    dragged = pull(context, v, message(v, 6.0, "0.75"))
    assert isinstance(dragged, Visit)
    assert dragged.edit.levers[0].strength == 0.75
    assert session.undo(context.bench(v), dragged).edit == pulled.edit, "a drag is one step"


def test_a_threshold_is_typed_beside_the_strength_and_stays_while_that_moves(context: Context, pulled: Visit) -> None:
    v = pull(context, pulled, message(pulled, 5.0, at_least=" 0,25 "))
    assert isinstance(v, Visit)
    assert v.edit == Edit((Lever(NOTE, "scale", 0.5, at_least=0.25),))
    assert 'class="at-least"' in show_levers(context, v)
    assert 'value="0.25"' in show_levers(context, v)
    assert EditMessage.of(v).levers[0].lever() == v.edit.levers[0], "what the page starts from"
    for action in ("suppress", "amplify", "family"):
        pressed = session.press(context.bench(v), v, NOTE, action, True)
        assert {lever.at_least for lever in pressed.edit.levers} == {0.25}, action
    none = pull(context, v, message(v, 6.0, at_least="  "))
    assert isinstance(none, Visit)
    assert none.edit.levers[0].at_least is None
    wrong = pull(context, v, message(v, 6.0, at_least="much"))
    assert isinstance(wrong, Outcome)
    assert "“much” is not a number" in wrong.notes[0]
    assert wrong.visit.edit == v.edit


def test_late_and_outdated_messages_change_nothing(context: Context, pulled: Visit) -> None:
    v = pull(context, pulled, message(pulled, 5.0))
    assert isinstance(v, Visit)
    assert pull(context, v, message(v, 5.0, "2")) is v
    assert pull(context, v, message(v, 4.0, "2")) is v
    other = session.change(context.bench(v), v, Edit())
    assert pull(context, other, message(v, 9.0)) is other


@pytest.mark.parametrize("typed", ["nan", "a lot", "1e9", ""])
def test_a_strength_that_is_no_number_is_said_and_its_message_has_come(
    context: Context, pulled: Visit, typed: str
) -> None:
    outcome = pull(context, pulled, message(pulled, 5.0, typed))
    assert isinstance(outcome, Outcome)
    assert outcome.change is None
    assert outcome.tone == "bad"
    assert outcome.notes
    assert outcome.visit.edit == pulled.edit
    assert pull(context, outcome.visit, message(pulled, 4.0)) is outcome.visit, "an older one comes too late"


def test_the_tab_counts_the_levers(pulled: Visit, first: Visit) -> None:
    assert (title(pulled), title(first)) == ("Steering · 1", "Steering")


def test_an_edit_is_found_and_used(context: Context, first: Visit) -> None:
    *_, last = find(context, first)
    assert "One suppression does it" in last["finder"]
    assert last["finder"].count("data:image/webp") > 4, "with its pictures"
    v = use(context, first, UseEdit(components=(NOTE,)))
    assert v.edit == Edit.of_suppressed([NOTE])
    assert v.comparison.flipped
    with pytest.raises(UserError, match="component"):
        use(context, first, UseEdit(components=(10**6,)))


def test_a_lever_shows_its_pictures_which_are_sent_once(context: Context, pulled: Visit) -> None:
    """Those of the strongest components stand on the page already."""
    assert f'class="opens" data-component="{NOTE}"' in show_levers(context, pulled)
    assert 'class="shot' in show_levers(context, pulled)
    assert NOTE in [part.component for part in pulled.parts]
    assert "data:" not in show_levers(context, pulled) + show_sheet(context, pulled)
    index = context.bench(pulled).index
    assert index is not None
    other = next(
        c for c in index.active_pictures.argsort()[::-1].tolist() if c not in {p.component for p in pulled.parts}
    )
    both = session.change(context.bench(pulled), pulled, Edit.of_suppressed([NOTE, other]))
    assert show_sheet(context, both).count("data:image/webp") == 4


def test_nothing_is_searched_while_nothing_is_said_to_be_right(context: Context, first: Visit) -> None:
    unsaid = session.ask(context.bench(first), first, first.classes, first.templates, None)
    assert list(find(context, unsaid)) == []
