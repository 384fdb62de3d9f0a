"""The Image tab says which words the setup does not know."""

from core.views.image import unknown_words


def test_unknown_words_name_the_known() -> None:
    assert unknown_words({}, ["dog"]) == ""
    html = unknown_words({"zebra": ("zebra",), "a zebra dog": ("zebra",)}, ["dog", "owl"])
    assert "“zebra”; “a zebra dog” (zebra)" in html
    assert "dog, owl" in html
