"""The command that rebuilds the bundled setup, from nothing, in miniature: every chapter of the training runs."""

import json
from functools import partial

import pytest
import torch

from core.bundled import training
from core.bundled.training import contrast, pace, reading_loss
from core.dictionary_training.recipe import DictionaryRecipe
from core.methods.attribution import attribute
from core.methods.question import Question
from core.methods.targets import ClassTarget
from core.model.clip import text_classifier
from core.model.places import ResidualStream
from core.model.prompts import TEMPLATES
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.pictures.options import CollectionOptions
from core.scenes.scene import CLASSES
from core.setups.clips import read_clip


@pytest.mark.full
def test_a_setup_is_made_that_loads(tmp_path, monkeypatch, picture):
    out, work = tmp_path / "out", tmp_path / "work"
    monkeypatch.setattr(training, "CollectionOptions", partial(CollectionOptions, limit=40))
    monkeypatch.setattr(training, "DictionaryRecipe", partial(DictionaryRecipe, samples=8_192))
    training.rebuild(training.TrainingRecipe(pictures=48, batch=4, cropped_share=0.8), work, out, watched=2)
    state = torch.load(work / "clip.pt", weights_only=True)
    assert state["step"] == 6  # 48 pictures in two batches of 4, the last of them whole
    fresh = training.build_model(training.build_tokenizer())
    moved = [not torch.equal(state["model"][name], value) for name, value in fresh.state_dict().items()]
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert sum(moved) > 100
    words = (out / "words.txt").read_text().split()
    assert set(CLASSES) <= set(words)
    # The parts, and not a setup: after so short a training it would be refused.
    clip = read_clip(out / "clip", ResidualStream(training.LAYER))
    dictionary = SaeDictionary.from_folder(out / "dictionary", "all")
    trace = SaeClip(clip, dictionary).traces([clip.crop(picture)])[0]
    classifier = text_classifier(clip, CLASSES, TEMPLATES["single"])
    assert len(attribute(Question(SaeClip(clip, dictionary), trace, classifier, ClassTarget(0, 1))).component) > 0
    assert json.loads((out / "dictionary" / "cfg.json").read_text())["architecture"] == "jumprelu"

    monkeypatch.setattr("sys.argv", ["training", "--work", str(work), "--out", str(out), "--pictures", "384"])
    with pytest.raises(SystemExit, match="made with other settings"):  # a checkpoint of another recipe is not mixed in
        training.main()


def test_the_learning_rate_falls_without_a_jump_to_nothing():
    paces = [pace(step / 1_000) for step in range(1_001)]
    assert paces[0] == 1
    assert paces[-1] == 0
    assert all(0 <= before - after < 0.003 for before, after in zip(paces, paces[1:], strict=False))


def test_contrast_is_the_mean_cross_entropy_over_positives():
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (4, 5))
    fits = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1.0]], dtype=torch.float64)
    scale = torch.tensor(3.0, dtype=torch.float64)
    logits = 3.0 * images @ texts.T
    slow = 0.0
    for table, positive in ((logits, fits), (logits.T, fits.T)):
        for row, mine in zip(table, positive, strict=True):
            chosen = [k for k in range(len(row)) if mine[k]]
            each = [-(row[k] - torch.log(torch.exp(row).sum())) for k in chosen]
            slow += 0.5 * sum(each) / len(each) / len(table)
    assert contrast(images, texts, scale, fits).item() == pytest.approx(float(slow))


def test_a_right_reader_loses_less_than_a_wrong_one():
    written = torch.zeros(1, 4, 26)
    written[0, 1, 3] = 1
    right, wrong = (torch.full((1, 4, 26), -8.0) for _ in range(2))
    right[0, 1, 3] = 8
    wrong[0, 1, 4] = 8
    assert reading_loss(right, written) < 0.01 < reading_loss(wrong, written)
