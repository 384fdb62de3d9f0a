"""Setups of the tiny CLIP with random dictionaries, and a recipe for indexes of a few pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from sae_lens import SAE

from core.indexing.recipe import IndexRecipe
from core.model.clip import SplitClip
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.model.signed_topk import SignedTopKSAE, SignedTopKSAEConfig
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup

WORDS = ("dog", "red fish", "owl", "a bus")
RECIPE = IndexRecipe(top=3, mean=4, mid=2, near=5, side=24, batch=4, mid_sample=6, together_sample=15, vocabulary=WORDS)


def some_sae(architecture: str) -> SAE:
    if architecture != "signed_topk":
        return tiny_sae(architecture)
    return SignedTopKSAE(SignedTopKSAEConfig(d_in=WIDTH, d_sae=COMPONENTS, k=6))


def setup_of(clip: SplitClip, architecture: str = "topk", scope: Scope = "all") -> Setup:
    torch.manual_seed(1)
    card = SetupSpec("tiny", "Tiny", Location(Path("clip")), Location(Path("sae")), 1, scope, "MIT", "")
    return Setup(card, SaeClip(clip, SaeDictionary(some_sae(architecture), scope)))
