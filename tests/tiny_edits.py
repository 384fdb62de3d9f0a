"""Edits of the tiny dictionaries to draw from, and what they do, densely and through the unsplit CLIP."""

import itertools

import numpy as np
import torch
from conftest import COMPONENTS, WIDTH, tiny_sae
from hypothesis import strategies as st

from core.methods.steering import MAX_STRENGTH, Edit, Lever
from core.model.clip import SplitClip
from core.model.dictionary import Activations, Dictionary
from core.model.sae_dictionary import SaeDictionary
from core.model.scope import Scope
from core.model.trace import Trace

TOKENS = 17
X = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(7))
X[3, 4] = -0.0  # x + 0 would lose the sign of this zero
DICTIONARIES = {
    (kind, scope): SaeDictionary(tiny_sae(kind, **settings), scope)
    for kind, settings in (("topk", {"rescale_acts_by_decoder_norm": True}), ("abstopk", {}), ("jumprelu", {}))
    for scope in ("all", "cls", "patches")
}
FOUND = {key: dictionary.activations(X) for key, dictionary in DICTIONARIES.items()}
Key = tuple[str, Scope]

keys = st.sampled_from(sorted(DICTIONARIES))
seeds = st.integers(0, 2**32 - 1)
levers = st.builds(
    Lever,
    component=st.integers(0, COMPONENTS - 1),
    operation=st.sampled_from(["suppress", "scale", "set"]),
    strength=st.floats(-MAX_STRENGTH, MAX_STRENGTH, width=32) | st.floats(-2, 2, width=32),
)
lever_sets = st.lists(levers, max_size=5, unique_by=lambda lever: lever.component).map(tuple)
token_sets = st.none() | st.lists(st.integers(0, TOKENS - 1), max_size=TOKENS).map(tuple)
edits = st.builds(Edit, lever_sets, token_sets)
small = st.integers(-6, 6)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def rows(dictionary: Dictionary) -> np.ndarray:
    """v_j of every component as what the SAE itself decodes a single activation to, [m, d]."""
    with torch.no_grad():
        some = torch.cat([torch.eye(COMPONENTS), torch.zeros(1, COMPONENTS)])
        decoded = dictionary.sae.decode(some).double().numpy()
    return decoded[:-1] - decoded[-1]


def dense(found: Activations) -> np.ndarray:
    """f [T, m]."""
    return np.stack([found.of(j) for j in range(COMPONENTS)], axis=1).astype(np.float64)


def unsplit(clip: SplitClip, trace: Trace, classifier: torch.Tensor, move: np.ndarray) -> np.ndarray:
    """Logits [C] through the unsplit model: a hook adds [T, d] to the residual after layer L."""
    layer = clip.model.vision_model.encoder.layers[clip.layer]
    hook = layer.register_forward_hook(lambda module, inputs, output: output + torch.as_tensor(move).to(output))
    with torch.no_grad():
        z = clip.model.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
    hook.remove()
    return float(np.exp(clip.model.logit_scale.item())) * ((z / z.norm()) @ classifier.T).numpy().astype(np.float64)


def dense_move(trace: Trace, dictionary: Dictionary, edit: Edit, dose: float | None = None) -> np.ndarray:
    """(f' - f) v, [T, d], token by token with all components; at a dose, f' is that many times f or what is set."""
    f = dense(trace.activations)
    after = f.copy()
    for t, lever in itertools.product(dictionary.tokens(TOKENS), edit.levers):
        if edit.tokens is None or t in edit.tokens:
            j, strength = lever.component, lever.strength
            if dose is not None:
                strength = dose * strength if lever.operation == "set" else dose
            after[t, j] = strength if lever.operation == "set" else strength * f[t, j]
    return (after - f) @ rows(dictionary)
