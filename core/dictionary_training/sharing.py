"""Sharing of a trained dictionary on the Hub, with a card that says on which pictures, and how it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..pictures.collection import LICENCE
from ..setups.catalog import Location, SetupSpec
from ..setups.options import as_options
from ..setups.publishing import CARD, besides, card, check_repository, data_set_of, plain, publish
from ..words import markdown_table
from .recipe import DictionaryRecipe
from .trainer import Trained

FILES = ("cfg.json", "sae_weights.safetensors")
"""Of a dictionary in sae_lens' layout."""


def push_dictionary(repo: str, folder: Path, text: str, *, private: bool = False) -> str:
    """Put the dictionary in a folder into the repository `owner/name`, with the text of its card; its commit there.

    The repository is made where there is none. Raises UserError where the Hub refuses it or cannot be reached.
    """
    check_repository(repo)
    files: dict[str, bytes | Path] = {name: folder / name for name in FILES}
    return publish(repo, files | {CARD: text.encode()}, "dictionary", "A dictionary, trained", private=private)


def dictionary_card(
    repo: str,
    setup: SetupSpec,
    n_layers: int,
    recipe: DictionaryRecipe,
    trained: Trained,
    source: Mapping[str, str],
    licence: str | None,
) -> str:
    """README.md of a dictionary's repository: of which CLIP, from which pictures, how it did, how it is loaded.

    `licence` is that of the weights; `source` is the manifest of the pictures; the CLIP's vision tower has `n_layers`.
    """
    place = setup.at
    name, of = source.get("name", "a collection"), setup.clip
    at = f" at `{of.revision}`" if of.repo else " (a folder)"
    facts = [
        ("CLIP", f"{plain(of.repo or (of.folder or Path()).resolve().name)}{at}"),
        ("place", f"{place.words(n_layers)}; {place.tokens_words(setup.scope).only}"),
        ("components", f"{recipe.levels[-1]:,}, trained with {recipe.k} active at a token"),
        ("pictures", f"{trained.pictures - trained.skipped:,} of {plain(name)}{besides(source)}"),
        ("licence of the pictures", plain(source.get(LICENCE, "not told"))),
        ("tokens seen", f"{recipe.samples:,}"),
        ("explained variance", f"{100 * trained.explained_variance:.1f} % at tokens drawn as in training"),
        ("active per token (L0)", f"{trained.active_per_token:.1f}"),
    ]
    body = f"""
A dictionary (sparse autoencoder, BatchTopK) of the vision tower of a CLIP, in sae_lens' layout. It holds no pictures.

{markdown_table(("", ""), facts)}

## Use it

```sh
python app.py {as_options(replace(setup, name="own", dictionary=Location(repo=repo)))}
```

or as an entry of a CLIP Levers catalog, or with `SAE.from_pretrained("{repo}", ".")` of sae_lens. Nobody but its maker
has looked at its components.
"""
    return card(
        f"Dictionary for {of.repo or 'a CLIP'}: {place.words(n_layers)}",
        body,
        licence=licence,
        tags=["clip", "sparse-autoencoder", "interpretability", "saelens"],
        base_model=of.repo,
        data_set=data_set_of(source),
    )
