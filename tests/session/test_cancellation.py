"""Of each kind of long answer, only the latest is wanted."""

from core.session.cancellation import LatestOnly


def test_a_new_answer_ends_the_one_before() -> None:
    answers: LatestOnly[object] = LatestOnly()
    first = answers.begin()
    assert first()
    second = answers.begin()
    assert second()
    assert not first()
    assert second()
    assert not first()


def test_one_that_was_asked_for_earlier_and_comes_late_ends_nothing() -> None:
    answers: LatestOnly[object] = LatestOnly()
    later = answers.begin(20.5)
    earlier = answers.begin(3.0)
    assert later()
    assert not earlier()
    assert answers.begin(20.5)()
    assert not later()
