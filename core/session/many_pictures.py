"""What a visitor asks of many pictures: which set, and which confusion in it. Sets of their own, and room for these.

A visit, and the page that carries it, name a set; its pictures are in the visitor's session on the server alone
(`OwnPictures`), for as long as there is room for them there (`Room`). Where they are gone, they are brought again.
"""

import hashlib
import secrets
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from weakref import WeakSet

from ..methods.generalization import TrialSoFar
from ..methods.picture_set import PictureSet
from ..methods.steering import Edit

MEGABYTE = 10**6
OWN_BYTES = 256 * MEGABYTE
"""What a visitor's own set may take in memory: 2,900 pictures for the bundled setup, 200 of a ViT-L/14."""
ROOM = 8 * OWN_BYTES
"""What the sets of all visitors may take together."""

OWN, PHOTOGRAPHS, INDEX = "own", "photographs", "index"
"""Of the sets to choose from: the visitor's own, the shipped photographs, reference pictures of the concept index."""


@dataclass(frozen=True)
class ManyPictures:
    """What is asked of which pictures."""

    which: str = ""
    """The set: nothing for all reference scenes, a kind of them, `OWN`, `PHOTOGRAPHS` or `INDEX`."""
    own: str = ""
    """What the visitor's own set is called; nothing before one was brought."""
    by_labels: bool = True
    """Whether its classes are its labels, where it has any; else they are those of the page."""
    read: str = ""
    """The reading that it is from, as in `OwnSet`."""
    confusion: tuple[str, str] | None = None
    """The class that pictures show and the one that is said of them, where these are looked into; "" for any class."""
    grouped_by: str = ""
    """The column that groups the visitor's own set; nothing for that called group, if there is one."""
    unseen: str = ""
    """The `trial` of which the visitor says that its edit was chosen without these pictures; nothing for none."""

    def trial(self, setup: str, edit: Edit) -> str:
        """A name for an edit as it is tried on this set, 16 digits: another edit is another trial."""
        said = (setup, self.which, self.read if self.which == OWN else "", edit.among(None))
        return hashlib.blake2s(repr(said).encode(), digest_size=8).hexdigest()

    def is_unseen(self, setup: str, edit: Edit) -> bool:
        """Whether the visitor says that this edit was chosen without the pictures of this set."""
        return self.unseen == self.trial(setup, edit)


@dataclass(frozen=True, eq=False)
class OwnSet:
    """Pictures that a visitor brought, as a setup read them."""

    name: str
    """For the reader."""
    setup: str
    """Name of the setup that read them."""
    pictures: PictureSet
    """The pictures, with their labels, and those that could not be read."""
    splits: tuple[str, ...] = ()
    """The parts of the data set that it is of; nothing for what is none."""
    split: str = ""
    """Which of them it is."""
    given: str = ""
    """How it was named, where it was; nothing for files."""
    key: str = field(default_factory=partial(secrets.token_hex, 8))
    """Which reading this is, at random."""


@dataclass(eq=False)
class OwnPictures:
    """Place in a visitor's session for one set. It changes: what is no longer there has to leave the memory."""

    held: OwnSet | None = None
    """The set; None before one was brought, and after it had to leave."""
    used: float = field(default=0.0, repr=False)
    """When it was asked for last, by the monotonic clock."""

    def of(self, setup: str) -> OwnSet | None:
        """The set, where that setup read it."""
        self.used = time.monotonic()
        return self.held if self.held is not None and self.held.setup == setup else None


@dataclass(eq=False)
class BegunTrial:
    """Place in a visitor's session for the trial that was begun last. It changes, so that a stopped one goes on."""

    about: Hashable = None
    """Which edit, on which pictures."""
    so_far: TrialSoFar | None = field(default=None, repr=False)
    """How far it came."""

    def of(self, about: Hashable) -> TrialSoFar | None:
        """How far that one came; None where it was not begun, or another was since."""
        return self.so_far if self.about == about else None

    def keep(self, about: Hashable, so_far: TrialSoFar) -> None:
        """It came so far."""
        self.about, self.so_far = about, so_far


class Room:
    """Memory for the sets of all visitors: of more than it holds, those that were asked least recently leave.

    A set whose session ends goes with it: nothing here keeps it.
    """

    def __init__(self, size: int = ROOM) -> None:
        """For so many bytes."""
        self._size = size
        self._taken: WeakSet[OwnPictures] = WeakSet()
        self._lock = Lock()

    def keep(self, place: OwnPictures, found: OwnSet) -> None:
        """Put a set into its place, for which others leave where they have to; not the new one itself."""
        with self._lock:
            place.held, place.used = found, time.monotonic()
            self._taken.add(place)
            by_use = sorted((one for one in self._taken if one is not place), key=lambda one: one.used)
            sizes = {one: one.held.pictures.n_bytes if one.held is not None else 0 for one in (*by_use, place)}
            while by_use and sum(sizes.values()) > self._size:
                oldest = by_use.pop(0)
                oldest.held = None
                del sizes[oldest]
