"""Undo and redo, by properties."""

from hypothesis import given
from hypothesis import strategies as st

from core.methods.steering import Edit, Lever
from core.session.history import KEPT, History

edits = st.builds(Edit.of_suppressed, st.lists(st.integers(0, 4), unique=True, max_size=3)) | st.builds(
    lambda tokens: Edit((Lever(1),), tokens), st.sets(st.integers(0, 4)).map(tuple)
)
steps = st.lists(st.tuples(edits, st.none() | st.integers(0, 2).map(float)), max_size=12)


def walked(path: list) -> History:
    history = History()
    for edit, gesture in path:
        history = history.then(edit, gesture)
    return history


@given(steps)
def test_undoing_all_and_redoing_all_returns(path: list) -> None:
    end = walked(path)
    history = end
    for _ in end.past:
        history = history.undo()
    assert history.present == Edit()
    assert not history.past
    for _ in end.past:
        history = history.redo()
    assert (history.present, history.past, history.future) == (end.present, end.past, ())


@given(steps, edits)
def test_a_press_is_one_step_and_forgets_the_future(path: list, edit: Edit) -> None:
    history = walked(path).undo()
    after = history.then(edit)
    if edit == history.present:
        assert after == history
    else:
        assert after.present == edit
        assert after.undo().present == history.present
        assert not after.future


@given(steps, st.lists(edits, min_size=1, max_size=8))
def test_a_gesture_is_at_most_one_step(path: list, moves: list) -> None:
    start = walked(path)
    history = start
    for edit in moves:
        history = history.then(edit, 99.0)
    assert history.present == moves[-1]
    assert len(history.past) <= len(start.past) + 1
    if history.present != start.present:
        assert history.undo().present == start.present
    else:
        assert len(history.past) == len(start.past)


def test_undo_and_redo_at_the_ends_do_nothing() -> None:
    assert History().undo() == History() == History().redo()


def test_history_is_bounded() -> None:
    history = History()
    for k in range(KEPT + 50):
        history = history.then(Edit((Lever(1, "scale", k / 10),)))
    assert len(history.past) == KEPT
