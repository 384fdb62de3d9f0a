"""The one error a visitor ever reads."""


class UserError(ValueError):
    """Something the visitor gave cannot be used; the message says what happened and what to do about it."""
