"""A dictionary of words, made for a CLIP that has none: nothing is trained (`core.model.word_dictionary`).

1. The file names the words, one a line; lines that begin with # are headings. Those that the CLIP does not know, or
   whose text it does not tell from another's, are left out.
2. Their text embeddings, and the image embeddings of a hundred pictures or more, are computed once: a minute or two of
   a large CLIP on a CPU. Both are kept (`core.setups.kept`), by all that they depend on: the weights of the tower, the
   precision, and the tokens or the pictures.
3. The pictures' mean is what all pictures share. The penalty is the largest at which some 20 words are active in a
   picture of them, on average: the paper has its penalties chosen for 5 to 30.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError, echo
from ...model.clip import SplitClip
from ...model.places import ImageEmbedding
from ...model.prompts import MAX_LENGTH, unknown_words
from ...model.word_dictionary import with_active
from ...pictures import photographs
from ...pictures.batches import batches
from ...pictures.opening import open_pictures
from ..catalog import SetupSpec
from ..health_check import is_bundled_clip
from ..identity import tower_fingerprint
from ..kept import keep_rows, kept_at, kept_rows
from ..made import Hear, Made

ACTIVE = 20
"""Words active in a picture, on average over the pictures that the penalty is chosen by."""
MOST_WORDS = 5_000
"""In float64 their inner products take 8 bytes times the square of that: 200 MB."""
FEWEST_WORDS = 10
CROPS = 104
"""Of the photographs that ship, eight of each, where no pictures are named."""
MOST_PICTURES = 400
"""Of those that are named, evenly spread."""
_JUDGED = 52
"""Of all of them, evenly spread, by which the penalty is chosen."""
_BATCH = 16
_SAME = 1 - 1e-6
"""Cosine from which on two texts are the same."""
_VERSION = "1"
"""Of how the embeddings are made: to be raised whenever they become other numbers."""


def files_of(card: SetupSpec) -> tuple[str, ...]:
    """The file with the words."""
    return (card.dictionary.file,)


def hint_for_names(card: SetupSpec) -> Callable[[Iterable[str]], str]:  # noqa: ARG001
    """Nothing."""
    return lambda _: ""


def made(card: SetupSpec, clip: SplitClip, clip_commit: str | None, root: Path, hear: Hear) -> Made:  # noqa: ARG001
    """Embed the words, take the mean of pictures, and choose the penalty."""
    if card.place != ImageEmbedding.NAME:
        raise UserError(
            f"The setup {card.name!r} has words for its dictionary, which are of the image embedding. "
            "Leave the layer out, and say --place embedding (in a catalog, place = “embedding”)."
        )
    known = [word for word in read_words(root / card.dictionary.file) if _is_known(word, card.vocabulary)]
    words, texts = _told_apart(known, _texts(clip, known, hear("Reading the words")))
    if len(words) < FEWEST_WORDS:
        raise UserError(
            f"{len(words)} of the words in {card.dictionary} are told apart by this CLIP, and {FEWEST_WORDS} are "
            "needed. Name a longer list: --words FILE, one a line."
        )
    pictures = _pictures_of(card)
    embeddings = _embeddings(clip, pictures, hear(f"Looking at {pictures.said}"))
    judged = embeddings[:: -(-len(embeddings) // _JUDGED)]
    dictionary = with_active(words, texts.to(clip.device), judged, embeddings.mean(0), ACTIVE)
    return Made(
        dictionary,
        formula=(
            f"{len(words):,} words as directions, w ≥ 0 with the least |C w − u|² + 2 λ |w|₁, u the unit image "
            f"embedding less its mean over {len(embeddings)} {pictures.said}, λ = {dictionary.penalty:g} (SpLiCE)"
        ),
    )


# ---- the words


def read_words(path: Path) -> tuple[str, ...]:
    """The words of a file, each once. Raises UserError for one that cannot be used."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The words in {path.name} cannot be read. Save them as text in UTF-8, one a line.") from error
    found = dict.fromkeys(word for line in lines if (word := " ".join(line.split())) and not word.startswith("#"))
    if len(found) > MOST_WORDS:
        raise UserError(f"{path.name} has {len(found):,} words. Keep at most {MOST_WORDS:,}.")
    if long := next((word for word in found if len(word) > MAX_LENGTH), None):
        raise UserError(f"“{echo(long)}” in {path.name} is longer than {MAX_LENGTH} characters. Shorten that line.")
    return tuple(found)


def _is_known(word: str, vocabulary: frozenset[str] | None) -> bool:
    return vocabulary is None or not unknown_words((word,), vocabulary)


def _told_apart(words: list[str], texts: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Without those whose text is the same as that of one before."""
    near = torch.triu(texts @ texts.T > _SAME, 1).any(0)
    keep = (~near).nonzero()[:, 0]
    return tuple(words[k] for k in keep.tolist()), texts[keep.to(texts.device)]


def _texts(clip: SplitClip, words: list[str], tell: Callable[[int, int], None]) -> Tensor:
    """Unit text embeddings of the bare words, [m, p], as the paper has them."""
    tokens = clip.token_ids(words) if words else []
    about = {
        "version": _VERSION,
        "of": "words",
        "tower": tower_fingerprint(clip.model, "text", clip.dtype),
        "precision": str(clip.dtype),
        "texts": hashlib.sha256(json.dumps(tokens).encode()).hexdigest(),
    }

    def parts() -> Iterator[Tensor]:
        for start in range(0, len(words), _BATCH * 4):
            tell(start, len(words))
            yield clip.texts(words[start : start + _BATCH * 4])

    return _kept(about, parts, (len(words), clip.projection)).to(clip.device, clip.dtype)


# ---- the pictures


@dataclass(frozen=True)
class _Pictures:
    """Pictures whose mean is taken."""

    said: str
    """Which they are, for the reader."""
    about: str
    """What tells them from others."""
    total: int
    """How many, about."""
    crops: Callable[[SplitClip], Iterator[np.ndarray]]
    """What a model sees of them, in batches [B, S, S, 3]."""


def _pictures_of(card: SetupSpec) -> _Pictures:
    named = card.mean_of or ("scenes:index" if is_bundled_clip(card) else None)
    if named is None:
        content = hashlib.sha256()
        for photograph in photographs.photographs():
            content.update(photograph.path.read_bytes())
        said = f"crops of the {len(photographs.photographs())} photographs that ship"

        def seen(clip: SplitClip) -> Iterator[np.ndarray]:
            return _batched(map(clip.crop, photographs.crops(CROPS)))

        return _Pictures(said, f"{CROPS} crops {content.hexdigest()}", CROPS, seen)
    limit = CROPS if card.mean_of is None else MOST_PICTURES
    collection = open_pictures(named, labelled=False, limit=limit)

    def read(clip: SplitClip) -> Iterator[np.ndarray]:
        for batch in batches(collection, clip.crop, _BATCH, range(collection.n_parts)):
            yield batch.crops

    said, about = f"pictures of {collection.manifest['name']}", json.dumps(dict(collection.manifest), sort_keys=True)
    return _Pictures(said, about, collection.size or limit, read)


def _batched(crops: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while batch := list(islice(crops, _BATCH)):
        yield np.stack(batch)


def _embeddings(clip: SplitClip, pictures: _Pictures, tell: Callable[[int, int], None]) -> Tensor:
    """Unit image embeddings [n, p] of the pictures that can be read."""
    about = {
        "version": _VERSION,
        "of": "pictures",
        "tower": tower_fingerprint(clip.model, "vision", clip.dtype),
        "precision": f"{clip.dtype} {clip.prefix}",
        "processor": hashlib.sha256(clip.image_processor.to_json_string().encode()).hexdigest(),
        "pictures": pictures.about,
    }

    def parts() -> Iterator[Tensor]:
        done = 0
        for crops in pictures.crops(clip):
            tell(done, pictures.total)
            if len(crops):
                yield F.normalize(clip.residual(clip.pixels(crops))[:, 0].float(), dim=-1)
            done += len(crops)

    found = _kept(about, parts, (None, clip.projection))
    if len(found) < 2:
        raise UserError(f"Fewer than two {pictures.said} can be read. Name others: --mean-of PICTURES.")
    return found


# ---- what is kept


def _kept(about: Mapping[str, str], parts: Callable[[], Iterator[Tensor]], shape: tuple[int | None, int]) -> Tensor:
    """The rows that were kept for this very purpose, or those that are made now, on the CPU, and kept."""
    path = kept_at("words", about["of"], about, "safetensors")
    if (found := kept_rows(path, about, shape)) is not None:
        return found
    made = torch.cat([torch.empty(0, shape[1]), *(part.float().cpu() for part in parts())])
    keep_rows(path, about, made)
    return made
