"""User errors: the exception whose words a visitor reads.

Raise it where what was given, chosen or downloaded cannot be answered and its reader can do something about it: for a
picture that cannot be read, a class that is missing, a file of another layout, a full disk. One sentence says what is
wrong, and what to do. Pages and commands show the sentence and no traceback. Not for faults of this project: those stay
the exceptions that they are, and are told in the log.
"""

import re

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
"""What colours a word in a terminal."""
_UNSEEN = dict.fromkeys(
    (
        *range(0x20), *range(0x7F, 0xA0), 0x061C, *range(0x200E, 0x2010), *range(0x2028, 0x202F),
        *range(0x2066, 0x206A), *range(0xD800, 0xE000),
        0xFFFE, 0xFFFF,
    ),
    "\N{REPLACEMENT CHARACTER}",
) | {ord("\n"): " ", ord("\t"): " ", ord("\r"): " "}  # fmt: skip
"""What moves a cursor, colours a terminal, breaks a line, turns the order of what follows, or is no character."""
MAX_ECHO = 100
"""Characters of what somebody typed that a sentence repeats."""


class UserError(ValueError):
    """Something the visitor gave cannot be used; the message says what happened and what to do about it.

    A message may quote names out of anybody's files: none of its characters is a command to a terminal.
    """

    def __init__(self, message: str = "") -> None:
        """Keep what can be seen of the message."""
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text out of anybody's file: none of its characters is a command to a terminal, half of one, or none in XML."""
    return text.translate(_UNSEEN)


def echo(typed: object) -> str:
    """What somebody typed, for a sentence about it: at most 100 characters of it."""
    text = str(typed)
    return text if len(text) <= MAX_ECHO else f"{text[: MAX_ECHO - 1]}…"


def first_line(error: BaseException) -> str:
    """What a library's error says, for a sentence of our own: its first line, or its kind where it says nothing."""
    line = next(iter(_COLOURS.sub("", str(error)).strip().splitlines()), "")[:200].rstrip(".")
    return line or type(error).__name__
