"""Making of a recipe: from a setup and an edit to what the edit needs, and what identifies the setup."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast, get_args

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedModel

from ..errors import UserError
from ..methods.generalization import Generalization
from ..methods.steering import Edit, check_size
from ..methods.targets import ClassTarget
from ..model.clip import text_classifier
from ..model.dictionary import Dictionary
from ..model.sae_dictionary import Normalisation
from ..setups.identity import Tower, dictionary_fingerprint, fingerprint, tower_fingerprint
from ..setups.loading import Setup
from .recipe import (
    Claim,
    Directions,
    EncoderFacts,
    Precision,
    Recipe,
    RecipeFacts,
    first_fault,
    needed_components,
    needs_whole_encoder,
)
from .sealing import arrays_digest

RECIPES = frozenset({("residual", "clip")})
"""Places, and transformers' types of models, that `steered_clip` can put an edit into."""


def make_recipe(
    setup: Setup,
    edit: Edit,
    classes: Sequence[str],
    templates: Sequence[str],
    target: ClassTarget,
    *,
    title: str,
    claims: Sequence[Claim] = (),
    whole_encoder: bool = False,
    vectors: Tensor | None = None,
) -> Recipe:
    """An edit as a recipe. It acts at every token in scope: the tokens it was confined to are left behind.

    With `whole_encoder` it holds every row of a top-k dictionary's encoder, 4 m d bytes, and needs nothing else;
    without, whoever applies it brings that dictionary. Of other dictionaries its own rows are enough. `vectors`: those
    of the classes [C, p], where they were read before (`Workbench.class_vectors`). Raises UserError
    for an edit without levers or with more than 256, for a component that the dictionary does not have, and for what
    recipe.json cannot hold: a title or classes that are empty, too long or too many, say.
    """
    dictionary, everywhere = setup.dictionary, check_size(edit).among(None)
    model = setup.clip.model.config.model_type
    if (setup.card.place, model) not in RECIPES:
        where = setup.clip.place.words(setup.clip.n_layers)
        raise UserError(
            "A recipe is of an edit of a CLIP's residual stream, which a steered CLIP can put in place of a layer. "
            f"This setup edits the {where}, of a model of the type “{model}”: take the report along, or a link."
        )
    if not everywhere.levers:
        raise UserError("There is no lever, and so nothing to save. Pull one first.")
    if (last := needed_components(everywhere)[-1]) >= dictionary.n_components:
        raise UserError(f"There is no component {last}: this dictionary has {dictionary.n_components}, counted from 0.")
    if vectors is None:
        vectors = text_classifier(setup.clip, classes, templates)
    arrays = directions_of(dictionary, everywhere, vectors, whole_encoder)
    config = dictionary.sae.cfg
    competes = needs_whole_encoder(config.architecture())
    try:
        facts = RecipeFacts(
            version=1,
            title=title,
            setup=setup.card.name,
            identity=setup.identity,
            vision=fingerprints(setup.clip.model, "vision"),
            text=fingerprints(setup.clip.model, "text"),
            encoder=EncoderFacts(
                architecture=config.architecture(),
                normalisation=cast(Normalisation, dictionary.encoding["normalisation"]),
                centred=config.apply_b_dec_to_input,
                k=config.k if competes else None,
                held="rows" if not competes else "encoder" if whole_encoder else "nothing",
                fingerprint=dictionary_fingerprint(dictionary),
            ),
            classes=tuple(classes),
            templates=tuple(templates),
            target=target,
            edit=everywhere,
            claims=tuple(claims),
            software=software(),
            directions=arrays_digest(arrays),
        )
    except ValidationError as error:
        raise UserError(f"This does not make a recipe ({first_fault(error)}). Correct that.") from error
    return Recipe(facts, arrays)


def claim_of(trial: Generalization, pictures: str, *, unseen: bool, confidence: float = 0.95) -> Claim:
    """What a trial of the edit says of it; `pictures` tells which those were, in words, and where they come from.

    The bounds are one-sided and exact (Clopper-Pearson), each at that confidence. Raises UserError for a confidence
    that is not between 0 and 1.
    """
    counts = trial.counts
    return Claim(
        pictures=pictures,
        unseen=unseen,
        n=len(trial.before),
        acts=int(trial.touched.sum()),
        changes=int((trial.before != trial.after).sum()),
        wrong=counts.wrong,
        right=counts.right,
        fixed=counts.fixed,
        broken=counts.broken,
        confidence=confidence,
        broken_at_most=counts.most_broken(confidence) if counts.right else None,
        fixed_at_least=counts.least_fixed(confidence) if counts.wrong else None,
    )


def check_setup(recipe: Recipe, setup: Setup) -> None:
    """Raise UserError unless the recipe is of this setup: the same weights, the same place."""
    theirs = recipe.facts.identity
    if theirs.fingerprint != fingerprint(setup.clip, setup.dictionary):
        at = f" at {theirs.clip_commit}" if theirs.clip_commit else ""
        raise UserError(
            f"This recipe is of another setup, {recipe.facts.setup!r}: {theirs.clip}{at} with {theirs.dictionary}, "
            f"after layer {theirs.layer}. Choose that setup, and load the recipe again."
        )


def fingerprints(model: PreTrainedModel, tower: Tower) -> dict[Precision, str]:
    """Of one tower, as it is loaded in each precision."""
    return {name: tower_fingerprint(model, tower, getattr(torch, name)) for name in get_args(Precision)}


@torch.no_grad()
def directions_of(dictionary: Dictionary, edit: Edit, classes: Tensor, whole_encoder: bool) -> Directions:
    """What an edit needs of a dictionary; `classes` are the unit vectors [C, p]."""
    components = torch.tensor(needed_components(edit), device=dictionary.device)
    sae = dictionary.sae
    competes = needs_whole_encoder(sae.cfg.architecture())
    rows, bias = encoder_rows(dictionary) if competes else (sae.W_enc.T, None)
    gated = sae.cfg.architecture() == "gated"
    if bias is None:
        bias = sae.b_mag if gated else sae.b_enc
    return Directions(
        encoder=_plain(rows[components]),
        bias=_plain(bias[components]),
        decoder=_plain(dictionary.directions(components)),
        classes=_plain(classes),
        centre=_plain(sae.b_dec) if sae.cfg.apply_b_dec_to_input else None,
        threshold=_plain(sae.threshold[components]) if sae.cfg.architecture() == "jumprelu" else None,
        gate_bias=_plain(sae.b_gate[components]) if gated else None,
        gate_scale=_plain(sae.r_mag[components].exp()) if gated else None,
        whole_encoder=_plain(rows) if competes and whole_encoder else None,
        whole_bias=_plain(bias) if competes and whole_encoder else None,
    )


def encoder_rows(dictionary: Dictionary) -> tuple[Tensor, Tensor]:
    """Every row of a top-k dictionary's encoder [m, d] and its biases [m], scaled as its components compete."""
    sae: Any = dictionary.sae
    rows, bias = sae.W_enc.T, sae.b_enc
    if not sae.cfg.rescale_acts_by_decoder_norm:
        return rows, bias
    norms = sae.W_dec.norm(dim=-1)
    return rows * norms[:, None], bias * norms


def _plain(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def software() -> str:
    """This program's name and version, and those of what computes."""
    try:
        own = version("clip-levers")
    except PackageNotFoundError:  # a checkout, as a Space runs
        own = "from a checkout"
    return f"clip-levers {own}, torch {torch.__version__}, transformers {version('transformers')}"
