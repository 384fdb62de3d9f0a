"""Reference pictures by attribution: ranked as the page's own attribution ranks them, one picture after the other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMPONENTS
from streamed import Drawn
from tiny_setups import RECIPE, WORDS, setup_of

from core.concepts.component import concept
from core.concepts.effects import strength_of
from core.concepts.index_file import load
from core.errors import UserError
from core.indexing.build import build
from core.indexing.recipe import IndexRecipe
from core.methods.attribution import attribute
from core.methods.question import Question
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip, text_classifier
from core.model.prompts import TEMPLATES
from core.model.scope import Scope
from core.pictures.thumbnail import thumbnail

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = (13, 0, 9)
"""Pictures in each part."""
BY = IndexRecipe(**{**vars(RECIPE), "by": "attribution"})


def crops_of(clip: SplitClip, collection: Drawn) -> list[np.ndarray]:
    """What the CLIP sees of the pictures that can be read, in their order."""
    pieces = [piece for number in range(collection.n_parts) for piece in collection.part(number)]
    return [clip.crop(piece.picture) for piece in pieces if piece.picture is not None]


@pytest.mark.parametrize(("architecture", "scope"), [("topk", "all"), ("jumprelu", "patches"), ("signed_topk", "cls")])
def test_the_strongest_are_those_with_the_largest_attribution(
    clip: SplitClip, tmp_path: Path, architecture: str, scope: Scope
) -> None:
    setup = setup_of(clip, architecture, scope)
    index = build(setup, Drawn(FEW), tmp_path, BY, quiet=True)
    classifier = text_classifier(clip, WORDS, TEMPLATES["single"])
    crops = crops_of(clip, Drawn(FEW))
    total, peak = np.zeros((len(crops), COMPONENTS)), np.zeros((len(crops), COMPONENTS))
    for row, crop in enumerate(crops):
        (trace,) = setup.model.traces([crop])
        taken_for = int((torch.as_tensor(trace.embedding) @ classifier.T).argmax())
        found = attribute(Question(setup.model, trace, classifier, ClassTarget(taken_for)))
        value, j = trace.activations.value, trace.activations.component
        np.add.at(total[row], j, np.where(value > 0, found.pair, 0))  # below 0, a component does not fire
        np.maximum.at(peak[row], j, value)
        assert architecture == "signed_topk" or np.allclose(total[row][found.component], found.total, atol=1e-6)

    files = {thumbnail(crop, BY.side, BY.quality): row for row, crop in enumerate(crops)}
    places = [files[index.pictures.webp(row)] for row in range(len(index.pictures))]
    spoken = 0
    for component in range(COMPONENTS):
        ranked = [
            row for row in np.argsort(-total[:, component], kind="stable").tolist() if total[row, component] > 1e-7
        ]
        n = int((index.top.picture[component] >= 0).sum())
        assert [places[picture] for picture in index.top.picture[component, :n]] == ranked[: BY.top]
        assert np.allclose(index.top.value[component, :n], peak[ranked[:n], component], rtol=1e-5), (
            "the numbers are activations"
        )
        assert index.peak[component] == pytest.approx(peak[:, component].max(initial=0), rel=1e-5)
        spoken += ranked[:n] != np.argsort(-peak[:, component], kind="stable")[:n].tolist()
    assert spoken >= 3, "and not those that fire most"


def test_the_index_says_so(clip: SplitClip, tmp_path: Path) -> None:
    setup = setup_of(clip)
    made = build(setup, Drawn(), tmp_path / "a", BY, quiet=True)
    assert load(tmp_path / "a", made.manifest.setup).manifest.by == "attribution"
    assert concept(made, 0).by == "attribution"
    plain = build(setup, Drawn(), tmp_path / "b", RECIPE, quiet=True)
    assert plain.manifest.by == "activation"
    for name in ("histogram", "active_pictures", "coactivated", "peak"):
        assert np.array_equal(getattr(made, name), getattr(plain, name))
    j = int((made.top.picture[:, 0] >= 0).argmax())
    assert 0 < strength_of(made, j) <= made.peak[j]


def test_among_one_word_nothing_is_taken_for_another(clip: SplitClip, tmp_path: Path) -> None:
    alone = IndexRecipe(**{**vars(BY), "vocabulary": ("dog",)})
    with pytest.raises(UserError, match="two or more"):
        build(setup_of(clip), Drawn(), tmp_path, alone, quiet=True)
