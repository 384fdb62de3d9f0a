"""The glossary: every term that the page uses has a sentence, and every sentence is of a term that it uses."""

import re

import pytest

from core.files import ASSETS
from core.methods.targets import ClassTarget, PictureTarget
from core.views import evidence
from core.views.frame import foot
from core.views.glossary import linked, sentences, term

VIEWS = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in (evidence.__file__.rpartition("/")[0], ASSETS / "templates")
    for path in sorted(type(ASSETS)(folder).glob("*"))
    if path.suffix in (".py", ".html")
)


def test_terms_are_explained_and_what_is_explained_is_there() -> None:
    asked = set(re.findall(r'\bterm\(\s*"([^"]+)"', VIEWS))
    asked |= set(re.findall(r'found\.\w+, "([^"]+)"\)', VIEWS))  # the bars of the waterfall have theirs in a table
    asked |= {target.UNIT.removesuffix("s") for target in (ClassTarget, PictureTarget)}  # unit_term
    assert asked == set(sentences())


def test_a_term_refers_to_its_sentence() -> None:
    listed = foot()
    for name, sentence in sentences().items():
        (place,) = re.findall('aria-describedby="([^"]+)"', term(name))
        assert f'id="{place}">' in listed
        assert sentence.endswith((".", "?"))
    assert term("controls", "<b>").endswith(">&lt;b&gt;</button>")
    assert linked(term("side effect")) == '<a class="term" href="#term-side-effect">side effect</a>'
    with pytest.raises(KeyError):
        term("unheard of")
