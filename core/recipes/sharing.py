"""Sharing of a recipe on the Hub, with a model card that is written from its evidence."""

from __future__ import annotations

from pathlib import Path

from ..methods.steering import Lever
from ..model.class_lists import words_of
from ..setups.publishing import CARD, card, check_repository, plain, publish
from ..words import markdown_table
from .files import ARRAYS, FACTS, facts_text, load_recipe
from .recipe import Recipe
from .sealing import arrays_bytes


def push_recipe(repo: str, recipe: Recipe | str | Path, *, private: bool = False, licence: str | None = None) -> str:
    """Put a recipe, or the one in a folder, into the repository `owner/name` with a model card; its commit there.

    The repository is made where there is none. The token is that of huggingface_hub: HF_TOKEN, or `hf auth login`.
    Raises UserError where the Hub refuses it or cannot be reached.
    """
    check_repository(repo)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    files: dict[str, bytes | Path] = {
        FACTS: facts_text(recipe.facts).encode(),
        ARRAYS: arrays_bytes(recipe.arrays),
        CARD: model_card(recipe, repo, licence).encode(),
    }
    return publish(repo, files, "recipe", f"Recipe: {recipe.facts.title}", private=private)


def model_card(recipe: Recipe, repo: str, licence: str | None = None) -> str:
    """README.md of a recipe's repository: what it does, how to use it, and what was seen of it."""
    facts = recipe.facts
    pinned = f", revision={facts.identity.clip_commit!r}" if facts.identity.clip_commit else ""
    needs = (
        f"\nThis recipe also needs its dictionary, whose components compete: "
        f"`dictionary=load_setup({facts.setup!r}).dictionary`.\n"
        if facts.encoder.held == "nothing"
        else ""
    )
    rows = [(str(lever.component), _done(lever), _where(lever)) for lever in facts.edit.levers]
    seen = [f"- {plain(claim.said)}" for claim in facts.claims]
    body = f"""
An edit of {plain(facts.identity.clip)} for zero-shot classification: {len(rows)} of the {facts.identity.components:,}
components of {plain(facts.identity.dictionary)} are changed in the residual stream after vision layer
{facts.identity.layer} ({plain(facts.identity.scope)} tokens). No weight of the CLIP is changed or copied here.

```python
from clip_levers.recipes import apply_recipe
from transformers import CLIPModel

model = CLIPModel.from_pretrained({facts.identity.clip!r}{pinned})
steered = apply_recipe(model, {repo!r})  # used as `model` is
```
{needs}
{markdown_table(("component", "is", "where"), rows)}
{_condition(recipe)}
Made for the classes {", ".join(plain(name) for name in words_of(facts.classes))}.

## Evidence

{chr(10).join(seen) or "Nothing was measured: try it on pictures of your own before you rely on it."}

Of pictures unlike these nothing is promised. `steered.watch()` tells when the pictures are no longer like them.

{plain(facts.software)}
"""
    return card(
        facts.title,
        body,
        licence=licence,
        tags=["clip", "activation-steering", "sparse-autoencoder"],
        base_model=facts.identity.clip if facts.identity.clip_commit else None,
        pipeline="zero-shot-image-classification",
    )


def _done(lever: Lever) -> str:
    return {
        "suppress": "suppressed",
        "scale": f"scaled by {lever.strength:g}",
        "set": f"set to {lever.strength:g}",
    }[lever.operation]


def _where(lever: Lever) -> str:
    return "at every token" if lever.at_least is None else f"at tokens where it fires with {lever.at_least:g} or more"


def _condition(recipe: Recipe) -> str:
    condition = recipe.facts.edit.condition
    if condition is None:
        return ""
    terms = " + ".join(f"{term.weight:g} x component {term.component}" for term in condition.terms)
    return f"\nOnly in pictures where {terms} reaches {condition.at_least:g} (largest activations over the tokens).\n"
