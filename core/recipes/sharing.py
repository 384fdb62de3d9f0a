"""Sharing of a recipe on the Hub, with a model card that is written from its evidence."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, ModelCardData
from huggingface_hub.errors import HfHubHTTPError

from ..errors import UserError, first_line
from ..methods.steering import Lever
from ..model.class_lists import words_of
from ..words import markdown_table
from .files import ARRAYS, FACTS, facts_text, load_recipe
from .recipe import Recipe
from .sealing import arrays_bytes

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_MARKUP = re.compile(r"([\\`*_\[\]{}|#~$])")


def push_recipe(repo: str, recipe: Recipe | str | Path, *, private: bool = False, licence: str | None = None) -> str:
    """Put a recipe, or the one in a folder, into the repository `owner/name` with a model card; its commit there.

    The repository is made where there is none. The token is that of huggingface_hub: HF_TOKEN, or `hf auth login`.
    Raises UserError where the Hub refuses it or cannot be reached.
    """
    if not _REPOSITORY.fullmatch(repo):
        raise UserError(f"“{repo}” does not name a repository. Write it as owner/name.")
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    files = {
        FACTS: facts_text(recipe.facts).encode(),
        ARRAYS: arrays_bytes(recipe.arrays),
        "README.md": model_card(recipe, repo, licence).encode(),
    }
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        added = [CommitOperationAdd(name, data) for name, data in files.items()]
        return api.create_commit(repo, added, commit_message=f"Recipe: {recipe.facts.title}").oid
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise UserError(
                f"The Hugging Face Hub does not let this token write to {repo}. Set HF_TOKEN to a token that may."
            ) from error
        raise UserError(f"The Hugging Face Hub refuses {repo} ({first_line(error)}). Try again later.") from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise UserError(f"The recipe did not reach the Hub ({first_line(error)}). Try again.") from error


def model_card(recipe: Recipe, repo: str, licence: str | None = None) -> str:
    """README.md of a recipe's repository: what it does, how to use it, and what was seen of it."""
    facts = recipe.facts
    data = ModelCardData(
        license=licence,
        library_name="clip-levers",
        pipeline_tag="zero-shot-image-classification",
        base_model=facts.identity.clip if facts.identity.clip_commit else None,
        tags=["clip", "activation-steering", "sparse-autoencoder"],
    )
    pinned = f", revision={facts.identity.clip_commit!r}" if facts.identity.clip_commit else ""
    needs = (
        f"\nThis recipe also needs its dictionary, whose components compete: "
        f"`dictionary=load_setup({facts.setup!r}).dictionary`.\n"
        if facts.encoder.held == "nothing"
        else ""
    )
    rows = [(str(lever.component), _done(lever), _where(lever)) for lever in facts.edit.levers]
    seen = [f"- {_plain(claim.said)}" for claim in facts.claims]
    return f"""---
{data.to_yaml()}
---
# {_plain(facts.title)}

An edit of {_plain(facts.identity.clip)} for zero-shot classification: {len(rows)} of the {facts.identity.components:,}
components of {_plain(facts.identity.dictionary)} are changed in the residual stream after vision layer
{facts.identity.layer} ({_plain(facts.identity.scope)} tokens). No weight of the CLIP is changed or copied here.

```python
from clip_levers.recipes import apply_recipe
from transformers import CLIPModel

model = CLIPModel.from_pretrained({facts.identity.clip!r}{pinned})
steered = apply_recipe(model, {repo!r})  # used as `model` is
```
{needs}
{markdown_table(("component", "is", "where"), rows)}
{_condition(recipe)}
Made for the classes {", ".join(_plain(name) for name in words_of(facts.classes))}.

## Evidence

{chr(10).join(seen) or "Nothing was measured: try it on pictures of your own before you rely on it."}

Of pictures unlike these nothing is promised. `steered.watch()` tells when the pictures are no longer like them.

{_plain(facts.software)}
"""


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


def _plain(text: str) -> str:
    """Anybody's text as text, on one line of Markdown."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
