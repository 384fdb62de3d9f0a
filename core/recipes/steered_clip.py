"""A CLIP with the edit of a recipe in it: the same model of transformers, with one layer of its vision tower replaced.

The steered model is of the class of the user's, and shares its weights; its structure is a copy, so the user's model
stays what it is. In it stands, for layer L, a `SteeredLayer`: the same layer, whose output is edited. There are no
hooks: batches, devices, precisions, compilation and threads work as they do with the plain model.

`save_pretrained` and `state_dict` have the plain CLIP's weights, without the edit: keep the recipe beside them.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPVisionModelWithProjection
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.clip.modeling_clip import CLIPEncoder, CLIPEncoderLayer

from ..errors import UserError
from ..model.dictionary import Dictionary
from ..setups.identity import Tower, dictionary_fingerprint, tower_fingerprint
from .files import load_recipe
from .making import encoder_rows
from .recipe import Precision, Recipe
from .tally import Tally
from .token_edit import TokenEdit
from .watch import Watch, tally_for

M = TypeVar("M", CLIPModel, CLIPVisionModelWithProjection)

Counted = Literal["nothing", "acts", "answers"]
"""What the steered model counts: nothing; in how many pictures the edit acts; how often it changes the answer, too."""


def apply_recipe(
    model: M,
    recipe: Recipe | str | Path,
    *,
    dictionary: Dictionary | None = None,
    count: Counted = "acts",
    claim: int | None = None,
) -> M:
    """The model with the edit in it; `recipe` may be a folder, or owner/name on the Hub.

    `dictionary` is needed where the recipe is of a top-k dictionary and was saved without its encoder. `count`
    "answers" runs the layers after L once more for the pictures in which the edit acts. `claim` is the one whose rates
    `steered.watch()` compares with, by its place among the recipe's; by default the largest of unseen pictures.

    Raises UserError for another CLIP than the recipe's, one with a recipe in it, and another dictionary.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    facts = recipe.facts
    _check(model, recipe)
    edit = TokenEdit(recipe, _whole_encoder(recipe, dictionary)).to(model.device)
    tally = tally_for(facts, claim, answers=count == "answers")
    steered = _same_weights(model)
    encoder, layer = steered.vision_model.encoder, facts.identity.layer
    encoder.layers[layer] = SteeredLayer(encoder.layers[layer], edit, tally if count == "acts" else None)
    if count == "answers":
        classes = torch.from_numpy(recipe.arrays.classes).to(model.device)
        steered.vision_model.encoder = CountingEncoder(
            encoder, layer, tally, steered.vision_model.post_layernorm, steered.visual_projection, classes
        )
    if count != "nothing":
        steered.add_module("watch", Watch(tally, count == "answers"))
    return steered


class SteeredLayer(CLIPEncoderLayer):
    """A layer of the vision tower whose output is edited. Its weights have the names they had."""

    def __init__(self, layer: CLIPEncoderLayer, edit: TokenEdit, tally: Tally | None) -> None:
        """In place of `layer`, with its weights and whatever else it has."""
        nn.Module.__init__(self)
        self.__dict__.update(layer.__dict__, _modules=dict(layer._modules))
        self.edit = edit
        self.tally = tally

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        unedited: list[tuple[Tensor, Tensor]] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """x before the layer -> x' after it, [B, T, d]. `unedited` receives x after it, and where the edit acts."""
        x = super().forward(hidden_states, attention_mask, **kwargs)  # type: ignore[arg-type]
        edited, acts = self.edit(x)
        if unedited is not None:
            unedited.append((x, acts))
        if self.tally is not None:
            self.tally.add(acts)
        return edited


class CountingEncoder(CLIPEncoder):
    """The vision tower's encoder, which also counts how often the edit in it changes the answer."""

    norm_weight: Tensor
    norm_bias: Tensor
    projection: Tensor
    classes: Tensor

    def __init__(
        self,
        encoder: CLIPEncoder,
        layer: int,
        tally: Tally,
        norm: nn.LayerNorm,
        projection: nn.Linear,
        classes: Tensor,
    ) -> None:
        """In place of `encoder`; `norm` and `projection` are what comes after it, `classes` unit vectors [C, p]."""
        nn.Module.__init__(self)
        self.__dict__.update(encoder.__dict__, _modules=dict(encoder._modules))
        self.layer, self.tally, self.eps = layer, tally, norm.eps
        weights = {
            "norm_weight": norm.weight,
            "norm_bias": norm.bias,
            "projection": projection.weight,
            "classes": classes,
        }
        for name, weight in weights.items():
            self.register_buffer(name, weight.detach(), persistent=False)

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> BaseModelOutput:
        """As CLIP's own; what the answers would be without the edit is worked out where it acts."""
        unedited: list[tuple[Tensor, Tensor]] = []
        x = inputs_embeds
        for index, layer in enumerate(self.layers):
            x = layer(x, attention_mask, **(kwargs | {"unedited": unedited} if index == self.layer else kwargs))
        self._count(x.detach(), *unedited[0])
        return BaseModelOutput(last_hidden_state=x)

    @torch.no_grad()
    def _count(self, edited: Tensor, plain: Tensor, acts: Tensor) -> None:
        where = acts.nonzero()[:, 0]
        changes, moved = torch.zeros_like(acts), torch.zeros(len(acts), device=acts.device)
        if len(where):
            x = plain[where]
            for layer in self.layers[self.layer + 1 :]:
                x = _through(layer, x)
            before, after = self._embedded(x), self._embedded(edited[where])
            changes[where] = (before @ self.classes.T.float()).argmax(-1) != (after @ self.classes.T.float()).argmax(-1)
            moved[where] = 1 - (before * after).sum(-1)
        self.tally.add(acts, changes, moved)

    def _embedded(self, x: Tensor) -> Tensor:
        """x [B, T, d] after the last layer -> unit embeddings [B, p]."""
        z = F.layer_norm(x[:, 0], self.norm_weight.shape, self.norm_weight, self.norm_bias, self.eps)
        return F.normalize((z @ self.projection.T).float(), dim=-1)


def _through(layer: Any, x: Tensor) -> Tensor:
    """A layer's own computation, past what transformers attaches to it to collect hidden states and attentions."""
    attended, _ = layer.self_attn.forward(hidden_states=layer.layer_norm1(x), attention_mask=None)
    x = x + attended
    return x + layer.mlp(layer.layer_norm2(x))


def _same_weights(model: M) -> M:
    """A copy of the model's structure that holds the same numbers, which are in memory once.

    Parameters are objects of its own: `.to(...)` exchanges what is in them, and would move the user's model, too.
    """
    shared: dict[int, Any] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        held = tensor.detach()
        is_parameter = isinstance(tensor, nn.Parameter)
        shared[id(tensor)] = nn.Parameter(held, tensor.requires_grad) if is_parameter else held
    return deepcopy(model, shared)


def _check(model: CLIPModel | CLIPVisionModelWithProjection, recipe: Recipe) -> None:
    """Raise UserError unless this is the CLIP that the recipe is of, as it was loaded."""
    facts = recipe.facts
    if not isinstance(model, CLIPModel | CLIPVisionModelWithProjection):
        raise UserError(
            f"A recipe is applied to a CLIPModel or a CLIPVisionModelWithProjection of transformers, "
            f"not to a {type(model).__name__}. Load one of them."
        )
    layers = model.vision_model.encoder.layers
    if any(isinstance(layer, SteeredLayer) for layer in layers):
        raise UserError("This model has a recipe in it already. Apply this one to the plain model.")
    towers: dict[Tower, dict[Precision, str]] = {"vision": facts.vision}
    if isinstance(model, CLIPModel):
        towers["text"] = facts.text
    for tower, known in towers.items():
        if not any(
            tower_fingerprint(model, tower, getattr(torch, name)) == known.get(name) for name in get_args(Precision)
        ):
            at = f" at {facts.identity.clip_commit}" if facts.identity.clip_commit else ""
            raise UserError(
                f"This is another CLIP than the recipe's: its {tower} tower differs. Load {facts.identity.clip}{at}, "
                "in the precision that its files have, or in float32, float16 or bfloat16 at once."
            )
    sizes = model.visual_projection.out_features, model.visual_projection.in_features
    if facts.identity.layer >= len(layers) or (recipe.arrays.classes.shape[1], facts.identity.width) != sizes:
        raise UserError("This recipe's directions are for a CLIP of another size. Take it from where you had it.")
    if "forward" in layers[facts.identity.layer].__dict__:
        raise UserError(
            "Another library has taken the place of this model's layers, as accelerate does to spread them over "
            "devices. Load the model without a device_map, and move it with .to(...)."
        )


def _whole_encoder(recipe: Recipe, dictionary: Dictionary | None) -> tuple[Tensor, Tensor] | None:
    """Every row of the encoder, where the recipe's dictionary needs them: its own, or those of `dictionary`."""
    facts, arrays = recipe.facts, recipe.arrays
    if facts.encoder.held == "rows":
        return None
    if arrays.whole_encoder is not None and arrays.whole_bias is not None:
        return torch.from_numpy(np.array(arrays.whole_encoder)), torch.from_numpy(np.array(arrays.whole_bias))
    if dictionary is None:
        at = f" at {facts.identity.dictionary_commit}" if facts.identity.dictionary_commit else ""
        raise UserError(
            f"In this recipe's dictionary components compete, and the recipe was saved without its whole encoder. Give "
            f"dictionary=load_setup({facts.setup!r}).dictionary ({facts.identity.dictionary}{at}), "
            "or save the recipe with whole_encoder=True."
        )
    if dictionary_fingerprint(dictionary) != facts.encoder.fingerprint:
        raise UserError(f"This is another dictionary than the recipe's. Load {facts.identity.dictionary}.")
    return encoder_rows(dictionary)
