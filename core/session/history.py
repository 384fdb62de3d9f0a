"""Undo and redo of edits, as one frozen value."""

from dataclasses import dataclass, replace

from ..methods.steering import Edit

KEPT = 200
"""Steps that can be undone."""


@dataclass(frozen=True)
class History:
    """The edit, those before it and those taken back."""

    present: Edit = Edit()
    """What is in force."""
    past: tuple[Edit, ...] = ()
    """Older edits, the last one the step before."""
    future: tuple[Edit, ...] = ()
    """Edits taken back, the first one next."""
    gesture: float | None = None
    """The drag that made the present: its later moves replace the present instead of adding a step."""

    def then(self, edit: Edit, gesture: float | None = None) -> "History":
        """A new present. Moves of one gesture are one step, and a gesture that ends where it began is none."""
        if edit == self.present:
            return self
        if gesture is None or gesture != self.gesture:
            return History(edit, (*self.past, self.present)[-KEPT:], (), gesture)
        if self.past and edit == self.past[-1]:
            return History(edit, self.past[:-1])
        return replace(self, present=edit, future=())

    def undo(self) -> "History":
        """One step back; itself when there is none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.present, *self.future))

    def redo(self) -> "History":
        """One step forth; itself when there is none."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.present), self.future[1:])
