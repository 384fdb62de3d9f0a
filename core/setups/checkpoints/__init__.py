"""Dictionaries as their publishers lay them out, read into sae_lens modules: one file for each layout.

    layout       tensors                               f, where x_hat = f W_dec + b_dec        yet to be seen in a file
    sae_lens     as cfg.json's architecture has it     as the architecture encodes             (this project writes it)
    saev         W_enc b_enc W_dec b_dec, after a      relu((x − b_dec) W_enc + b_enc), or     which of the two; whether
                 line of JSON                          without “− b_dec”; of x, or of x        x was scaled
                                                       scaled as a whole
    prisma       W_enc b_enc W_dec b_dec               the first of these, or its top-k and    which embed their config;
                                                       relu after; x standardised where the    which standardise x
                                                       config says so
    clipscope    enc dec pre_b                         top-k of (x − pre_b) enc, signs kept;   what else is in the file
                                                       b_dec = pre_b; x standardised
    patchsae     W_enc b_enc W_dec b_dec               relu((x − b_dec) W_enc + b_enc)         whether cfg is an object
    sae_for_vlm  the same (Matryoshka), or             p where p > threshold, else 0;          which has which names
                 encoder.weight encoder.bias           p = relu((x − b_dec) W_enc + b_enc)
                 decoder.weight b_dec; and
                 k threshold [group_sizes]

The formulas are those of each project's own code. x is what a layer of the vision tower puts out.

Nothing in a file is ever run (see torch_archive.py). Every tensor is checked for name, shape, type and finite numbers:
what does not fit is a sentence, never a dictionary with other numbers. Tensors are copied out of the mapped file one at
a time, so that a file overwritten later changes nothing.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Protocol

from ..catalog import Layout
from . import clipscope, dictionary_learning, patchsae, prisma, sae_lens, saev
from .reading import Reading

__all__ = ["Reading", "files_of", "read_checkpoint"]


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
    }
)


def files_of(layout: Layout, file: str = ".") -> tuple[str, ...]:
    """The files a layout needs, given the file or folder of its place: patterns, relative to the repository's root."""
    return _READERS[layout].files_of(_named(layout, file))


def read_checkpoint(layout: Layout, root: Path, file: str = ".") -> tuple[Reading, ...]:
    """The dictionary in `root / file`: one reading where the formula is known, several where it is not.

    `root` is the folder a repository lies in. The first reading is the likelier one; they share their weights. Raises
    UserError for whatever does not fit: what was expected, and what was found.
    """
    return _READERS[layout].read(root, _named(layout, file))


def _named(layout: Layout, file: str) -> str:
    return _READERS[layout].FILE if file == "." else PurePosixPath(file).as_posix()
