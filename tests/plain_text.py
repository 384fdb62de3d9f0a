"""What a reader reads of HTML: its text, without tags, with single spaces."""

import re
from html import unescape


def plain(html: object) -> str:
    """The text of some HTML."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", str(html))).split())
