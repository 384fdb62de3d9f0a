"""Room for visitors' own picture sets: the least used leave, and a set goes with its session."""

import gc
import weakref

import numpy as np
import pytest

from core.methods.picture_set import PictureSet
from core.model.dictionary import Activations
from core.model.trace import Trace
from core.session.many_pictures import OwnPictures, OwnSet, Room


def own_set(setup: str = "bundled") -> OwnSet:
    """One picture of 1,000 bytes or so."""
    none = np.zeros(0, dtype=np.int32)
    f = Activations(none, none, np.zeros(0, dtype=np.float32), 5, 8)
    crop, residual = np.zeros((2, 2, 3), dtype=np.uint8), np.zeros((5, 49), dtype=np.float32)
    trace = Trace(crop, residual, f, np.zeros(2, dtype=np.float32), (2, 2))
    one = np.zeros(1, dtype=np.int64)
    return OwnSet("one", setup, PictureSet((trace,), ("a",), one, np.array([""]), one, ("dog",)))


@pytest.fixture
def places() -> list[OwnPictures]:
    return [OwnPictures() for _ in range(3)]


def test_the_least_used_leave(places: list[OwnPictures]) -> None:
    room = Room(2500)
    room.keep(places[0], own_set())
    room.keep(places[1], own_set())
    assert places[0].of("bundled") is not None, "asked for: now the other is the older one"
    room.keep(places[2], own_set())
    assert [place.held is not None for place in places] == [True, False, True]
    room.keep(places[0], own_set())
    assert [place.held is not None for place in places] == [True, False, True], "a set in place of one's own"


def test_a_set_stays_that_just_came(places: list[OwnPictures]) -> None:
    room = Room(10)
    for place in places:
        room.keep(place, own_set())
    assert [place.held is not None for place in places] == [False, False, True]


def test_a_set_goes_with_its_session() -> None:
    room, place = Room(), OwnPictures()
    room.keep(place, own_set())
    assert place.held is not None
    watched = weakref.ref(place.held)
    del place
    gc.collect()
    assert watched() is None


def test_a_set_is_of_the_setup_that_read_it() -> None:
    place = OwnPictures(own_set("tiny"))
    assert place.of("tiny") is place.held
    assert place.of("bundled") is None
