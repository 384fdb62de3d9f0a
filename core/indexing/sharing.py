"""Sharing of a concept index on the Hub, with a card that says of which setup it is, and from which pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..concepts.index import ConceptIndex
from ..concepts.index_file import INDEX_FILES
from ..errors import UserError
from ..pictures.collection import LICENCE
from ..setups.loading import Setup
from ..setups.options import as_options
from ..setups.publishing import CARD, besides, card, check_repository, data_set_of, plain, publish
from ..words import markdown_table


def licence_of(source: Mapping[str, str], given: str | None) -> str:
    """The licence of a collection's pictures: as given, else as its manifest tells. Raises UserError without any.

    An index holds small copies of its pictures, so that whoever publishes one has to know.
    """
    told = given or source.get(LICENCE)
    if not told:
        raise UserError(
            "An index holds small copies of its pictures, and nothing tells their licence. Look it up where they come "
            "from, and name it: --licence cc-by-4.0, say."
        )
    return told


def push_index(
    repo: str, folder: Path, index: ConceptIndex, setup: Setup, licence: str, *, private: bool = False
) -> str:
    """Put the index in a folder into the repository `owner/name` with its card; its commit there.

    `licence` is that of the pictures. The repository is made where there is none. Raises UserError where the Hub
    refuses it or cannot be reached.
    """
    check_repository(repo)
    files: dict[str, bytes | Path] = {name: folder / name for name in INDEX_FILES}
    files[CARD] = index_card(repo, index, setup, licence).encode()
    return publish(repo, files, "index", f"Concept index of {setup.card.name}", private=private)


def index_card(repo: str, index: ConceptIndex, setup: Setup, licence: str) -> str:
    """README.md of an index's repository: of which setup, from which pictures, and how it is loaded."""
    made_of, of, spec = index.manifest, index.manifest.setup, setup.card
    place = setup.clip.place
    source = made_of.source
    name = source.get("name", "a collection")
    by = {
        "activation": "their largest activation",
        "attribution": "their attribution to the label that the CLIP takes a picture for, of the list below",
    }[made_of.by]
    facts = [
        ("CLIP", _at(of.clip, of.clip_commit)),
        ("dictionary", f"{_at(of.dictionary, of.dictionary_commit)}: {of.components:,} components, {of.width} wide"),
        ("place", f"{place.words(setup.clip.n_layers)}; {place.tokens_words(of.scope).only}"),
        ("fingerprint of the weights", f"`{of.fingerprint}`"),
        ("pictures", f"{made_of.pictures:,} of {plain(name)}{besides(source)}; {made_of.skipped:,} could not be read"),
        ("licence of the pictures", plain(licence)),
        ("thumbnails", f"{len(index.pictures):,} of these pictures, at most {made_of.side} pixels wide"),
        ("reference pictures", f"chosen by {by}"),
        ("label guesses", f"among {len(made_of.vocabulary):,} words"),
    ]
    body = f"""
What each component (SAE latent) of one dictionary fires for: reference pictures with the place that fires, histograms,
label guesses, and neighbours. It was made for one setup of CLIP Levers, and is refused for any other.

{markdown_table(("", ""), facts)}

## Use it

```sh
python app.py {as_options(spec)} --index {repo}
```

or, in the setup's entry of a catalog, at the commit that you have looked at:

```toml
index = {{ repo = "{repo}", revision = "COMMIT" }}
```

The pictures belong to whoever made them. A label is a guess, the pictures are the evidence.
"""
    return card(
        f"Concept index of {of.dictionary}",
        body,
        licence=licence,
        tags=["clip", "sparse-autoencoder", "interpretability"],
        base_model=spec.clip.repo,
        data_set=data_set_of(source),
    )


def _at(name: str, commit: str | None) -> str:
    return f"{plain(name)} at `{commit}`" if commit else f"{plain(name)} (a folder)"
