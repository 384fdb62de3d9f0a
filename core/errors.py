"""The one error a visitor ever reads."""

import re

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
"""What colours a word in a terminal."""
_UNSEEN = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0), 0x061C, *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A)),
    "\N{REPLACEMENT CHARACTER}",
) | {ord("\n"): " ", ord("\t"): " ", ord("\r"): " "}
"""Characters that move a cursor, colour a terminal, break a line or turn the order of what follows."""


class UserError(ValueError):
    """Something the visitor gave cannot be used; the message says what happened and what to do about it.

    A message may quote names out of anybody's files: none of its characters is a command to a terminal.
    """

    def __init__(self, message: str = "") -> None:
        """Keep what can be seen of the message."""
        super().__init__(message.translate(_UNSEEN))


def first_line(error: BaseException) -> str:
    """What a library's error says, for a sentence of our own: its first line, or its kind where it says nothing."""
    line = next(iter(_COLOURS.sub("", str(error)).strip().splitlines()), "")[:200].rstrip(".")
    return line or type(error).__name__
