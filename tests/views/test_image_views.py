"""The Image tab: examples by what goes wrong, and which words the setup does not know."""

import re

from core.pictures.examples import read_examples
from core.views.image import gallery, unknown_words


def test_examples_stand_under_what_goes_wrong() -> None:
    examples = read_examples()
    html = gallery(examples, {example.name: f"data:{example.name}" for example in examples})
    lines = re.findall(r"<section.*?</section>", html, flags=re.DOTALL)
    assert [re.findall("<h2[^>]*>([^<]*)</h2>", line) for line in lines] == [
        ["Written words"], ["Watermark"], ["Background"], ["Nothing planted"],
    ]  # fmt: skip
    for line in lines:
        names = re.findall('data-example="([^"]*)"', line)
        assert f"--examples:{len(names)}" in line
        assert all(f'src="data:{name}"' in line for name in names)
    assert html.count("<button") == len(examples)


def test_unknown_words_name_the_known() -> None:
    assert unknown_words({}, ["dog"]) == ""
    html = unknown_words({"zebra": ("zebra",), "a zebra dog": ("zebra",)}, ["dog", "owl"])
    assert "“zebra”; “a zebra dog” (zebra)" in html
    assert "dog, owl" in html
