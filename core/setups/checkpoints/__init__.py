"""Dictionaries as their publishers lay them out, read into sae_lens modules: one file for each layout.

    layout               what lies there                                        yet to be seen in a file
    sae_lens             cfg.json and sae_weights.safetensors                   (this project writes it)
    saev                 a line of JSON, then what torch.save writes            which formula; whether x was scaled
    prisma               weights.pt or n_images_N.pt beside config.json         the sweeps, which embed their config
    clipscope            L_resid/N.pt, a training checkpoint                    what else is in it
    patchsae             out.pt, tensors and an object                          whether it is an object
    clip_topk_sae        config.json and model.safetensors                      which CLIP it is of
    dictionary_learning  [trainer_N/][checkpoints/]ae[_N].pt, config.json above whether config.json is published

Each file says by which formula it is read: that of the project's own code. x is what a layer of the vision tower puts
out; where a file may have been trained with several formulas, all are returned.

Nothing in a file is ever run (see torch_archive.py). Every tensor is checked for name, shape, type and finite numbers:
what does not fit is a sentence, never a dictionary with other numbers. Tensors are copied out of the mapped file one at
a time, so that a file overwritten later changes nothing.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Protocol

from ...errors import UserError
from ..catalog import Layout
from . import clip_topk_sae, clipscope, dictionary_learning, patchsae, prisma, sae_lens, saev
from .reading import Reading
from .recognise import hint_for_file, hint_for_names

__all__ = ["Reading", "files_of", "hint_for_names", "read_checkpoint"]


class _Reader(Protocol):
    """What the module of a layout has."""

    FILE: str
    """The file or folder it reads where the place names none."""

    def files_of(self, file: str) -> tuple[str, ...]:
        """The files it needs: patterns, relative to the repository's root."""

    def read(self, root: Path, file: str) -> tuple[Reading, ...]:
        """The dictionary in `root / file`, once for each formula it may have been trained with."""


_READERS: Mapping[Layout, _Reader] = MappingProxyType(
    {
        "sae_lens": sae_lens,
        "saev": saev,
        "prisma": prisma,
        "clipscope": clipscope,
        "patchsae": patchsae,
        "dictionary_learning": dictionary_learning,
        "clip_topk_sae": clip_topk_sae,
    }
)


def files_of(layout: Layout, file: str = ".") -> tuple[str, ...]:
    """The files a layout needs, given the file or folder of its place: patterns, relative to the repository's root."""
    return _READERS[layout].files_of(_named(layout, file))


def read_checkpoint(layout: Layout, root: Path, file: str = ".") -> tuple[Reading, ...]:
    """The dictionary in `root / file`: one reading where the formula is known, several where it is not.

    `root` is the folder a repository lies in. The first reading is the likelier one; they share their weights. Raises
    UserError for whatever does not fit: what was expected, what was found, and what it looks like.
    """
    named = _named(layout, file)
    try:
        return _READERS[layout].read(root, named)
    except UserError as error:
        if not (hint := hint_for_file(layout, root, named if (root / named).exists() else ".")):
            raise
        raise UserError(f"{error} {hint}") from error


def _named(layout: Layout, file: str) -> str:
    return _READERS[layout].FILE if file == "." else PurePosixPath(file).as_posix()
