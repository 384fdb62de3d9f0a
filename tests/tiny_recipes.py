"""Recipes of the tiny CLIP with tiny dictionaries of every kind."""

from pathlib import Path
from typing import Any

import torch
from conftest import CLASSES, tiny_sae

from core.methods.steering import Condition, Edit, Lever, Term
from core.methods.targets import ClassTarget
from core.model.clip import SplitClip
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.recipes import Claim, Recipe, make_recipe
from core.recipes.making import directions_of
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup

KINDS: dict[str, dict[str, Any]] = {
    "standard": {},
    "jumprelu": {"apply_b_dec_to_input": False},
    "gated": {"normalize_activations": "layer_norm"},
    "topk": {"rescale_acts_by_decoder_norm": True},
    "abstopk": {},
    "signed_topk": {"k": 30},
}
"""Architectures, each with settings that the others lack."""
EDIT = Edit((Lever(2), Lever(7, "scale", -1.5), Lever(11, "set", 0.75), Lever(30, "scale", 2.0, at_least=0.3)))
CONDITION = Condition((Term(7, 1.0), Term(20, -0.5)), 0.25)
"""Of components with a lever and without."""
CLAIM = Claim(
    pictures="40 scenes drawn for this test", unseen=True, n=40, acts=12, changes=6, wrong=10, right=30, fixed=4,
    broken=1, broken_at_most=0.15, fixed_at_least=0.15,
)  # fmt: skip


def setup_of(clip: SplitClip, kind: str, scope: Scope = "all", **settings: Any) -> Setup:
    """The tiny CLIP with a dictionary of that kind."""
    spec = SetupSpec("tiny", "Tiny", Location(Path("a")), Location(Path("b")), clip.layer, scope, "MIT", "")
    return Setup(spec, SaeClip(clip, SaeDictionary(tiny_sae(kind, **{**KINDS[kind], **settings}), scope)))


def with_edit(setup: Setup, recipe: Recipe, edit: Edit) -> Recipe:
    """The recipe of another edit of that setup, without asking anew what identifies the setup."""
    classes = torch.from_numpy(recipe.arrays.classes)
    arrays = directions_of(setup.dictionary, edit, classes, recipe.facts.encoder.held == "encoder")
    return Recipe(recipe.facts.model_copy(update={"edit": edit}), arrays)


def recipe_of(setup: Setup, edit: Edit = EDIT, whole_encoder: bool = True) -> Recipe:
    """A recipe of an edit of that setup, with a claim."""
    return make_recipe(
        setup, edit, CLASSES, ("a photo of a {}",), ClassTarget(0, 1), title="not the word", claims=[CLAIM],
        whole_encoder=whole_encoder,
    )  # fmt: skip
