"""Opening of the page: at once with a setup that is there, and with its own as soon as that is loaded and checked.

1. The page is served with the bundled setup, whichever it is meant to open with. That is loaded in the background: its
   files, its weights, and its health check, without which nothing is answered from it.
2. Once it is there, whoever comes opens with it. A page that was open before stays as it is and is told so
   (setup_bar.py).
3. Where it cannot be had, the page goes on with the bundled setup, and says why.
"""

from collections.abc import Callable
from contextlib import closing

from ..background import Job
from ..errors import UserError
from ..setups.loading import Loading
from ..setups.pool import SetupPool
from ..workbench import Workbench

AT_ONCE = "bundled"
"""The setup that is always there."""


class Opening:
    """Which setup a page opens with, shared by all its visitors."""

    def __init__(self, pool: SetupPool[Workbench], wanted: str) -> None:
        """It is meant to open with the setup `wanted`."""
        self.wanted = wanted
        """The setup it is meant to open with."""
        self.job: Job[Loading, None] | None = None
        """The loading of that; None where it was there when the page was made."""
        self.trouble = ""
        """Why that cannot be had, in a sentence; empty as long as it can."""
        self._pool = pool
        self._draw: Callable[[Workbench | None], object] = _nothing
        if wanted != AT_ONCE and pool.peek(wanted) is None:
            self.job = Job("loading what this page opens with", self._load)

    @property
    def is_loading(self) -> bool:
        """Whether it is on its way."""
        return self.job is not None and not self.job.over and not self.trouble

    @property
    def now(self) -> str:
        """The setup that a page opens with which is opened now."""
        return AT_ONCE if self.is_loading else self.meant

    @property
    def meant(self) -> str:
        """The setup that is meant where none is named: the one it is meant to open with, unless that cannot be had."""
        return AT_ONCE if self.trouble else self.wanted

    def then(self, draw: Callable[[Workbench | None], object]) -> None:
        """What is done once it is there, before anybody is given it; with None where it cannot be had."""
        self._draw = draw

    def _load(self, tell: Callable[[Loading], None]) -> None:
        try:
            with closing(self._pool.bring(self.wanted)) as steps:
                for step in steps:
                    if isinstance(step, Loading):
                        tell(step)
                    else:
                        tell(Loading("Reading the first example"))
                        self._draw(step)
        except UserError as trouble:
            self.trouble = str(trouble)
            self._draw(None)
        except Exception as error:  # a mistake of our own, which the job tells in the log
            self.trouble = f"This page cannot open with {self.wanted!r} ({type(error).__name__})."
            self._draw(None)
            raise


def _nothing(_: Workbench | None) -> None:
    """Do nothing."""
