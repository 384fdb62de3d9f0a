"""Which tokens a dictionary reads: its scope."""

from typing import Literal

Scope = Literal["all", "cls", "patches"]
"""The tokens a dictionary was trained on."""


def tokens_in_scope(scope: Scope, n_tokens: int) -> range:
    """The tokens a dictionary of this scope reads, of `n_tokens` with CLS."""
    return {"all": range(n_tokens), "cls": range(1), "patches": range(1, n_tokens)}[scope]
