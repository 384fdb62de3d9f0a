"""The facade: each answer is the core's, made of plain values, and the same whoever else is asking."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import CLASSES
from PIL import Image

from core.errors import UserError
from core.methods.attribution import ablation_effects, attribute
from core.methods.question import Question
from core.methods.steering import Edit, Lever, edited
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.model.dictionary import Dictionary
from core.model.prediction import Comparison, Prediction, compare, predict
from core.model.sae_clip import SaeClip
from core.model.trace import Trace
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.workbench import Workbench

ONE = ("a photo of a {}",)
TARGET = ClassTarget(0, 1)
EDITS = [  # components 2 and 43 are active in the picture, 1 is not
    Edit(),
    Edit((Lever(2), Lever(43, "scale", -2.0))),
    Edit((Lever(1, "set", 5.0),)),
    Edit((Lever(1, "set", 5.0),), (2, 3)),
]


@pytest.fixture(scope="session")
def workbench(clip: SplitClip, dictionary: Dictionary) -> Workbench:
    card = SetupSpec(
        "tiny",
        "Tiny",
        Location(Path("a")),
        Location(Path("b")),
        1,
        "all",
        "MIT",
        "",
        vocabulary=frozenset({"dog", "red", "cat"}),
    )
    return Workbench(Setup(card, SaeClip(clip, dictionary)))


def plain(value: Any) -> bool:
    """Whether a value is numpy and plain Python all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return all(plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return all(plain(item) for pair in value.items() for item in pair)
    if isinstance(value, tuple):
        return all(map(plain, value))
    return type(value) in (np.ndarray, int, float, str, bool, type(None))


def test_open_reads_any_source(workbench: Workbench, picture: Image.Image, trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    picture.save(path)
    for source in (picture, np.asarray(picture), path, str(path), path.read_bytes(), picture.convert("RGBA")):
        assert workbench.open(source) == trace
    with pytest.raises(UserError):
        workbench.open(None)


def test_answers_are_the_core_s(
    workbench: Workbench,
    clip: SplitClip,
    dictionary: Dictionary,
    trace: Trace,
    classifier: torch.Tensor,
) -> None:
    assert workbench.classify(trace, CLASSES, ONE) == predict(trace.embedding, classifier, CLASSES, clip.scoring)
    for method in ("gradient", "integrated"):
        assert workbench.attribute(trace, CLASSES, ONE, TARGET, method) == attribute(
            Question(SaeClip(clip, dictionary), trace, classifier, TARGET), method
        )
    np.testing.assert_array_equal(
        workbench.ablation_effects(trace, CLASSES, ONE, TARGET, [3, 1, 40]),
        ablation_effects(Question(SaeClip(clip, dictionary), trace, classifier, TARGET), [3, 1, 40]),
    )


def test_answers_are_plain_values(workbench: Workbench, trace: Trace) -> None:
    answers = [
        trace,
        workbench.classify(trace, CLASSES, ONE),
        workbench.attribute(trace, CLASSES, ONE, TARGET),
        workbench.attribute(trace, CLASSES, ONE, TARGET, "integrated"),
        workbench.ablation_effects(trace, CLASSES, ONE, TARGET, [1, 2]),
        workbench.steer(trace, EDITS[1]),
        workbench.compare_many(trace, EDITS, CLASSES, ONE),
        workbench.unknown_words(CLASSES),
    ]
    for answer in answers:
        assert plain(answer), repr(answer)
        pickle.loads(pickle.dumps(answer))


def test_compare_is_the_whole_path_by_hand(
    workbench: Workbench, clip: SplitClip, dictionary: Dictionary, trace: Trace, classifier: torch.Tensor
) -> None:
    """x' from a dense table, through the unsplit model with a hook, to logits."""
    edit = EDITS[1]
    f = dictionary.encode(torch.as_tensor(trace.residual))
    changed = f.clone()
    changed[:, 2] = 0
    changed[:, 43] *= -2
    with torch.no_grad():
        x = torch.as_tensor(trace.residual) + dictionary.sae.decode(changed) - dictionary.sae.decode(f)
        hook = clip.model.vision_model.encoder.layers[1].register_forward_hook(lambda *a: x[None])
        after = clip.model.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
        hook.remove()
    expected = compare(trace.embedding, after, classifier, CLASSES, clip.scoring)
    found = workbench.compare(trace, edit, CLASSES, ONE)
    assert found.before == workbench.classify(trace, CLASSES, ONE)
    np.testing.assert_allclose(found.after.logits, expected.after.logits, atol=1e-4)
    assert found.cosine == pytest.approx(expected.cosine, abs=1e-6)
    assert np.abs(found.logit_change).max() > 0.05


def test_the_steered_trace_answers_as_the_comparison(workbench: Workbench, trace: Trace) -> None:
    for edit in EDITS:
        steered = workbench.steer(trace, edit)
        after = workbench.compare(trace, edit, CLASSES, ONE).after
        assert workbench.classify(steered, CLASSES, ONE) == after
        assert workbench.attribute(steered, CLASSES, ONE, TARGET).value == pytest.approx(
            after.logits[0] - after.logits[1], abs=1e-4
        )
        assert np.array_equal(steered.crop, trace.crop)
        assert steered.grid == trace.grid
        assert steered.activations == edited(trace.activations, edit, workbench.setup.dictionary)
    assert workbench.steer(trace, EDITS[3]).activations.of(1)[[0, 2, 3]].tolist() == [0.0, 5.0, 5.0]


def test_the_error_s_part_outlives_an_edit(workbench: Workbench, trace: Trace) -> None:
    """x' minus what its activations decode to is what the dictionary missed of x: an edit keeps it."""

    def missed(of: Trace) -> torch.Tensor:
        return torch.as_tensor(of.residual) - workbench.setup.dictionary.decode(of.activations)

    for edit in EDITS:
        torch.testing.assert_close(missed(workbench.steer(trace, edit)), missed(trace), atol=1e-4, rtol=1e-4)


def test_an_edit_that_does_nothing_changes_nothing_at_all(workbench: Workbench, trace: Trace) -> None:
    idle = [Edit(), Edit((Lever(5, "scale", 1.0),)), Edit((Lever(5),), ())]
    for comparison in workbench.compare_many(trace, [*idle, EDITS[1], *idle], CLASSES, ONE)[:3]:
        assert comparison.after == comparison.before
        assert comparison.cosine == pytest.approx(1, abs=1e-12)
    for edit in idle:
        assert workbench.steer(trace, edit) == trace


def test_many_comparisons_are_the_same_as_one_by_one(
    workbench: Workbench, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = EDITS * 3
    one_by_one = [workbench.compare(trace, edit, CLASSES, ONE) for edit in edits]
    for batch in (1, 5, 32):
        monkeypatch.setattr("core.workbench.BATCH", batch)
        found = workbench.compare_many(trace, edits, CLASSES, ONE)
        assert len(found) == len(edits)
        for a, b in zip(found, one_by_one, strict=True):
            np.testing.assert_allclose(a.after.logits, b.after.logits, atol=1e-4)
    assert workbench.compare_many(trace, [], CLASSES, ONE) == ()


def test_an_edit_without_levers_is_answered_without_running_the_model(
    workbench: Workbench, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compare(
        trace.embedding, trace.embedding, workbench.class_vectors(CLASSES, ONE), CLASSES, workbench.setup.clip.scoring
    )
    for part in ("read", "embed_from_residual"):
        monkeypatch.setattr(workbench.setup.clip, part, None)
    found = workbench.compare(trace, Edit(tokens=(1,)), CLASSES, ONE)
    assert found.before == found.after == expected.before == expected.after
    assert not found.flipped
    assert found.cosine == 1.0
    assert not found.logit_change.any()


def test_texts_are_encoded_once(
    clip: SplitClip, dictionary: Dictionary, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SetupSpec("tiny", "Tiny", Location(Path("a")), Location(Path("b")), 1, "all", "MIT", "")
    workbench = Workbench(Setup(card, SaeClip(clip, dictionary)))
    encode = Mock(wraps=clip.texts)
    monkeypatch.setattr(clip, "texts", encode)
    for _ in range(2):
        workbench.classify(trace, ("dog", "cat"), ONE)
        workbench.attribute(trace, ("dog", "cat"), ONE, TARGET)
        workbench.compare(trace, EDITS[1], ("dog", "cat"), ONE)
    assert [list(called.args[0]) for called in encode.call_args_list] == [["a photo of a dog", "a photo of a cat"]]
    workbench.classify(trace, ("cat", "dog"), ONE)
    workbench.classify(trace, ("cat", "dog"), ("the {}",))
    later = [list(called.args[0]) for called in encode.call_args_list[1:]]
    assert later == [["a photo of a cat", "a photo of a dog"], ["the cat", "the dog"]]


def test_unknown_words(workbench: Workbench) -> None:
    assert workbench.unknown_words(CLASSES) == {"owl": ("owl",), "red fish": ("fish",), "bus": ("bus",)}
    anything = Workbench(replace(workbench.setup, card=replace(workbench.card, vocabulary=None)))
    assert anything.unknown_words(CLASSES) == {}


def test_visitors_do_not_meet(workbench: Workbench) -> None:
    """Many at once get what each would get alone."""
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(8)]

    def story(picture: np.ndarray) -> tuple[Any, ...]:
        trace = workbench.open(picture)
        attribution = workbench.attribute(trace, CLASSES, ONE, TARGET)
        edit = Edit.of_suppressed(attribution.strongest_for(2))
        return trace, attribution, edit, workbench.compare(trace, edit, CLASSES, ONE)

    alone = [story(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(story, pictures))
    assert together == alone
    assert len({a[0].residual.tobytes() for a in alone}) == 8


def test_measure_and_compare_agree(workbench: Workbench, trace: Trace) -> None:
    components = trace.activations.components()[:6]
    effects = workbench.ablation_effects(trace, CLASSES, ONE, TARGET, components)
    edits = [Edit.of_suppressed([int(component)]) for component in components]
    for effect, comparison in zip(effects, workbench.compare_many(trace, edits, CLASSES, ONE), strict=True):
        change = comparison.logit_change[0] - comparison.logit_change[1]
        assert effect == pytest.approx(-change, abs=1e-4)


# ---- classes that the model cannot tell apart


def test_names_cut_at_the_context_are_refused_with_both(bench: Workbench, trace: Trace) -> None:
    """Once only what lies behind the end of the context differs, both were answered 50 %, with a winner."""
    start = " ".join(["dog"] * bench.setup.clip.context)
    with pytest.raises(
        UserError,
        match=r"cannot tell “dog dog .*” from “dog dog .*”: it reads the same tokens of both, at most \d+\.",
    ):
        bench.classify(trace, (f"{start} red", f"{start} blue", "cat"), ("a photo of a {}",))
    short = " ".join(["dog"] * 2)
    assert len(bench.classify(trace, (f"{short} red", f"{short} blue"), ("a photo of a {}",)).classes) == 2


def test_names_the_tokenizer_makes_alike_are_refused(bench: Workbench, trace: Trace) -> None:
    with pytest.raises(UserError, match="cannot tell “red fish” from “RED FISH”"):
        bench.classify(trace, ("red fish", "RED FISH"), ("a photo of a {}",))
    ids = bench.setup.clip.token_ids(["a photo of a red fish", "a photo of a RED FISH"])
    assert ids[0] == ids[1]


def test_a_template_that_tells_them_apart_is_enough(bench: Workbench, trace: Trace) -> None:
    """With the class in front, the end that differs is read."""
    filler = " ".join(["owl"] * bench.setup.clip.context)
    with pytest.raises(UserError, match="cannot tell"):
        bench.classify(trace, ("dog", "cat"), (f"{filler} {{}}",))
    assert bench.classify(trace, ("dog", "cat"), (f"{filler} {{}}", "{}")).classes == ("dog", "cat")


EVIL = ("<b>dog</b>", "cat", "owl")


def previews(bench: Workbench, trace: Trace) -> dict[str, object]:
    """Every kind of answer, by name."""
    before = bench.attribute(trace, EVIL, ONE, ClassTarget(0, 1))
    strongest, edit = before.strongest_for(3), Edit.of_suppressed(before.strongest_for(2))
    asked = (trace, EVIL, ONE)
    return {
        "trace": trace,
        "prediction": bench.classify(*asked),
        "comparison": bench.compare(trace, edit, EVIL, ONE),
        "attribution": before,
        "controls": list(bench.controls(*asked, ClassTarget(0, 1), edit))[-1],
        "response": next(bench.responses(*asked, ClassTarget(0, 1), edit)),
        "side effects": bench.side_effects(*asked, ClassTarget(0, 1), edit),
        "attribution changes": bench.attribution_changes(*asked, before, edit),
        "reconstruction error": bench.reconstruction_error(*asked),
        "generalization": list(bench.generalize(edit))[-1],
        "search": list(bench.find_edit(*asked, bench.classify(*asked).order[-1].item()))[-1],
        "steering effects": bench.steering_effects(int(strongest[0]), EVIL, ONE),
        "histogram": bench.histogram(int(strongest[0])),
    }


def test_every_answer_prints_as_a_short_table_and_escapes_it(indexed: Workbench, trace: Trace) -> None:
    for name, answer in previews(indexed, trace).items():
        text, html = str(answer), answer._repr_html_()  # type: ignore[attr-defined]
        assert 1 <= len(text.splitlines()) <= 16, name
        assert "float32[" not in text, name
        assert text != repr(answer), name
        assert "<b>dog" not in html.replace("<p><b>", "<p>"), name
        assert html.startswith("<p><b>"), name
        assert ("<b>dog" in text) == ("&lt;b&gt;dog" in html), name


def test_a_comparison_prints_what_became_of_the_prediction() -> None:
    def said(*logits: float) -> Prediction:
        row = np.array(logits, dtype=np.float32)
        return Prediction(("dog", "cat"), row, (np.exp(row) / np.exp(row).sum()).astype(np.float32), row)

    text = str(Comparison(said(1, 2.046), said(1.5, 1.0945), 0.9))
    assert text == (
        "cat 74 % → dog 60 %\nclass  before  after  logit\ncat      74 %   40 %  −0.95\ndog      26 %   60 %  +0.50"
    )
