"""The Image tab: pictures and classes, and what a visitor's mistake leaves as it was."""

import re
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.methods.steering import Edit
from core.model.prompts import TEMPLATES
from core.page.context import Context
from core.page.evidence_tab import show_counterfactual
from core.page.image_tab import ask, bring, choose, keep_picture, own_wording, show_gallery, show_unknown_words
from core.page.side_panel import show_about, switch_counterfactual
from core.page.wire import ChooseExample, ShowCounterfactual
from core.pictures.examples import FOLDER, PHOTOGRAPHS, read_examples
from core.session import visit as session
from core.session.visit import Visit

CAT = Path(__file__).parents[2] / "assets" / "examples" / "photo-cat.webp"


def brought(context: Context, v: Visit, text: str = "dog\ncat") -> Visit:
    return bring(context, v, str(CAT), text, "single", "").visit


def test_an_example_comes_with_its_classes_and_without_levers(context: Context, first: Visit) -> None:
    pulled = session.change(context.bench(first), first, Edit.of_suppressed([99]))
    v = choose(context, pulled, ChooseExample(example="fox-blank-note"))
    e = context.example_named("fox-blank-note")
    assert e is not None
    assert (v.subject.example, v.classes, v.edit) == (e.name, e.classes, Edit())
    assert v.revision > pulled.revision
    assert show_gallery(context, v) == show_gallery(context, pulled), "the page marks it by itself"
    assert 'data-example="fox-blank-note"' in show_gallery(context, v)


def test_an_example_that_is_not_there_gets_a_sentence(context: Context, first: Visit) -> None:
    with pytest.raises(UserError, match="Reload"):
        choose(context, first, ChooseExample(example="no-such-example"))


def test_a_setup_shows_the_examples_that_it_can_read(context: Context, first: Visit, tiny: Visit) -> None:
    """Rendered scenes where it knows their words alone, photographs with a planted cue elsewhere; all can be chosen."""
    for v, folder in ((first, FOLDER), (tiny, PHOTOGRAPHS)):
        shown = re.findall('data-example="([^"]*)"', show_gallery(context, v))
        assert shown == [example.name for example in read_examples(folder)]
        assert context.gallery(context.card(v))[0].name == shown[0]
    planted = choose(context, first, ChooseExample(example="coffee-note-ipod"))
    assert planted.prediction.classes[1] == "iPod"
    assert "never seen a photograph" in show_about(context, planted)
    assert "Chosen: one suppression" in show_about(context, first)
    assert "<p" not in show_about(context, tiny), "no report tells how such a repair works there"
    without = switch_counterfactual(context, planted, ShowCounterfactual(on=True))
    assert without.subject.caption.endswith("Here without the note.")
    held_out = "held-out scenes"
    assert held_out in show_counterfactual(context, first)
    assert held_out not in show_counterfactual(context, planted), "what is known of scenes is not of photographs"


def test_the_picture_stays_when_the_setup_changes(context: Context, first: Visit, tiny: Visit) -> None:
    moved = session.change_setup(context.bench(tiny), first, context.picture(first, None))
    assert moved.subject == first.subject
    assert show_gallery(context, moved) == show_gallery(context, tiny)


def test_a_picture_of_ones_own(context: Context, first: Visit) -> None:
    outcome = bring(context, first, str(CAT), "dog, cat", "own", "a drawing of a {}")
    v = outcome.visit
    assert (v.subject.example, v.classes, v.templates) == (None, ("dog", "cat"), ("a drawing of a {}",))
    assert not any(outcome.notes)
    assert v.subject.photograph
    assert "never seen a photograph" in show_about(context, v)
    assert "The picture looked at stays: Your picture" in keep_picture(context, v)
    np.testing.assert_array_equal(v.trace.crop, context.bench(v).open(CAT).crop)


def test_a_picture_is_welcome_with_classes_that_cannot_be_used(context: Context, first: Visit) -> None:
    outcome = bring(context, first, str(CAT), " ", "single", "")
    assert outcome.visit.classes == first.classes
    assert "no classes" in outcome.notes[0]
    assert outcome.tone == "bad"


def test_a_file_that_is_no_picture_is_not_taken(context: Context, first: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "picture.png"
    broken.write_bytes(b"%PDF-1.7\n" + b"x" * 100)
    with pytest.raises(UserError, match="PDF"):
        bring(context, first, str(broken), "dog", "single", "")


def test_other_classes(context: Context, first: Visit) -> None:
    outcome = ask(context, first, "dog\nzebra\nDog", "ensemble", "", "dog")
    v = outcome.visit
    assert (v.classes, v.templates, v.truth) == (("dog", "zebra"), TEMPLATES["ensemble"], 0)
    assert any("counted once" in note for note in outcome.notes)
    assert "never seen “zebra”" in show_unknown_words(context, v)
    with pytest.raises(UserError, match="where the class goes"):
        ask(context, first, "dog", "own", "a drawing", None)
    assert own_wording(context, first, "own")
    assert not own_wording(context, first, "single")


def test_the_picture_of_a_visit(context: Context, first: Visit, tmp_path: Path) -> None:
    """A visitor's file, for as long as it is there; else what the model saw of it, and never another picture."""
    own = brought(context, first)
    assert context.picture(own, str(CAT)) == str(CAT)
    assert context.picture(own, None) is own.trace.crop
    refused = tmp_path / "refused.png"
    refused.write_bytes(b"no picture")
    assert context.picture(own, str(refused)) is own.trace.crop
    assert context.picture(first, str(CAT)) == context.examples[0].file()
    without = switch_counterfactual(context, first, ShowCounterfactual(on=True))
    assert context.picture(without, None) == context.examples[0].file(counterfactual=True)
