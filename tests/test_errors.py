"""What a sentence for a visitor may hold."""

import json

from core.errors import MAX_ECHO, UserError, echo


def test_a_sentence_repeats_a_part_of_what_was_typed() -> None:
    assert echo("dog") == "dog"
    assert echo(3) == "3"
    assert echo("x" * MAX_ECHO) == "x" * MAX_ECHO
    assert echo("x" * 1_000_000) == "x" * (MAX_ECHO - 1) + "…"


def test_a_sentence_can_be_sent() -> None:
    """Half a character has no encoding, and would end the answer that it is in."""
    said = str(UserError("“\ud83d” is not\x1b[31m \u202efine."))
    assert json.loads(said.encode("utf-8").join([b'"', b'"'])) == "“\ufffd” is not\ufffd[31m \ufffdfine."
