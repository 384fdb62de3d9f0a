"""Errors of other libraries over files that are not as they should be, as a sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import UserError, first_line

_NO_MEMORY = re.compile("out of memory|not enough memory|can(?:'|no)t allocate memory", re.IGNORECASE)
"""How torch says it on a CPU and on Apple's GPU, and the system: there is no exception of its own for it."""


@contextmanager
def readable(what: str, where: str) -> Iterator[None]:
    """Within it, whatever transformers, safetensors and torch raise is a UserError, but for a lack of memory."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or lacks_memory(error):
            raise
        raise UserError(
            f"The {what} in {where} cannot be read: {first_line(error)}. "
            "Its files are damaged or of another kind; put them there anew, or choose another setup."
        ) from error


def lacks_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, there or in what caused it."""
    while error is not None:
        own = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if own or isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False
