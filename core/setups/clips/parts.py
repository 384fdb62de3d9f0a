"""The parts of a CLIP, whichever layout its files are in: what each has to be, and a sentence where it is not.

What a file says stands in a sentence as `repr` writes it, so that no control character of a file reaches a page.
"""

import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict

from ...errors import UserError
from ...model.families import FAMILIES
from ..catalog import Location
from ..hub import list_files

Config: TypeAlias = Any
"""Of a model. transformers declares its towers as anything or nothing, which is of no use to a type checker."""

TOKENIZER_FILES: tuple[str, ...] = (
    "tokenizer.json|vocab.json&merges.txt",
    "vocab.json|",
    "merges.txt|",
    "tokenizer_config.json|",
    "special_tokens_map.json|",
)
"""Patterns (see `hub.Listing.choose`) of a tokenizer."""

_MOST = {
    "num_hidden_layers": 1 << 8,
    "num_attention_heads": 1 << 10,
    "hidden_size": 1 << 15,
    "intermediate_size": 1 << 17,
    "projection_dim": 1 << 15,
    "projection_size": 1 << 15,
    "vocab_size": 1 << 21,
    "max_position_embeddings": 1 << 12,
    "image_size": 1 << 12,
    "patch_size": 1 << 12,
}
"""What a configuration may ask for: several times what the largest published CLIP has, and quickly refused beyond."""
_SETTINGS_BYTES = 1 << 20
_POINTER = b"version https://git-lfs"
_SHOWN = 3
"""Names of weights in a sentence."""


@dataclass(frozen=True, eq=False)
class ClipSettings:
    """All of a CLIP but its weights."""

    config: Config
    """Sizes of both towers."""
    image_processor: PilBackend
    """Makes pictures of the size that the vision tower takes."""
    tokenizer: PreTrainedTokenizerBase
    """Makes tokens that the text tower knows."""


@dataclass(frozen=True)
class ClipFolder(ABC):
    """The files of one CLIP, in one layout. Its methods raise UserError where they hold no CLIP that can be read."""

    folder: Path
    """Where they lie."""
    where: str
    """The folder, or the repository they come from, for the reader."""

    CONFIG: ClassVar[str]
    """The file that the layout is known by."""
    SETTINGS: ClassVar[tuple[str, ...]]
    """Patterns (see `hub.Listing.choose`) of all small files, `CONFIG` among them."""
    WEIGHTS: ClassVar[str]
    """Pattern of the weights."""

    @classmethod
    def patterns(cls) -> tuple[str, ...]:
        """Patterns of all its files."""
        return (*cls.SETTINGS, cls.WEIGHTS)

    @abstractmethod
    def config(self) -> Config:
        """The sizes of both towers, as transformers writes them."""

    @abstractmethod
    def image_processor(self, config: Config) -> PilBackend:
        """What makes a picture the vision tower's input."""

    @abstractmethod
    def tokenizer(self, config: Config) -> PreTrainedTokenizerBase:
        """What makes a prompt the text tower's input."""

    @abstractmethod
    def model(self, config: Config) -> PreTrainedModel:
        """The model with its weights, in float32."""

    def settings(self) -> ClipSettings:
        """All but the weights."""
        config = self.config()
        return ClipSettings(config, self.image_processor(config), self.tokenizer(config))

    def weights(self) -> list[Path]:
        """The files of the weights."""
        paths = [self.folder / name for name in list_files(Location(self.folder)).choose((self.WEIGHTS,))]
        for path in paths:
            with path.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    raise UserError(
                        f"{path.name} of the CLIP in {self.where} is not the file, but a pointer to it, as git leaves "
                        "one for a large file. Fetch the file with “git lfs pull”."
                    )
        return paths

    def table(self, name: str) -> dict[str, Any]:
        """The JSON object in one of the files."""
        path = self.folder / name
        if path.stat().st_size > _SETTINGS_BYTES:
            raise UserError(f"{name} of the CLIP in {self.where} is longer than settings are. Choose another CLIP.")
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name} of the CLIP in {self.where} is not JSON. Put it there anew.") from error
        if not isinstance(table, dict):
            raise UserError(f"{name} of the CLIP in {self.where} is no table of settings. Choose another CLIP.")
        return table


def check_sizes(where: str, *tables: object) -> None:
    """Raise UserError for sizes, by their names in a CLIPConfig, that no CLIP has: none of such a size is built."""
    for table in tables:
        told = table if isinstance(table, dict) else {}
        for name, most in _MOST.items():
            size = told.get(name, 1)
            if type(size) is not int or not 1 <= size <= most:
                shown = repr(size)[:40] if isinstance(size, str | int | float) else "no number"
                raise UserError(f"The CLIP in {where} has {shown} for {name}, which no CLIP has. Choose another one.")
        width, heads = told.get("hidden_size", 0), told.get("num_attention_heads", 1)
        if width % heads:
            raise UserError(f"The CLIP in {where} has {heads} heads for a width of {width}. Choose another one.")
        if told.get("patch_size", 1) > told.get("image_size", told.get("patch_size", 1)):
            raise UserError(f"The CLIP in {where} has patches that are larger than its pictures. Choose another one.")


def fitted(where: str, processor: Any, side: int) -> PilBackend:
    """An image processor that makes of any picture one of side x side pixels, the vision tower's input.

    One that resizes to that side and keeps the shape is made to cut out the middle, since nothing else fits the tower.
    Raises UserError with both sizes where its pictures are others.
    """
    if processor.size and processor.size.shortest_edge == side and not processor.do_center_crop:
        processor.do_center_crop, processor.crop_size = True, SizeDict(height=side, width=side)
    asked = {key: edge for size in (processor.size, processor.crop_size) for key, edge in dict(size or {}).items()}
    made = None
    if all(edge is None or 1 <= edge <= _MOST["image_size"] for edge in asked.values()):
        made = {_made(processor, shape) for shape in ((2 * side, 3 * side), (3 * side, 2 * side), (side, side))}
    if made == {(side, side)}:
        return processor
    sizes = [size for size in made or () if size not in (None, (side, side))]
    makes = " × ".join(map(str, max(sizes))) if sizes else ", ".join(f"{k} {v!r:.9}" for k, v in asked.items() if v)
    raise UserError(
        f"The CLIP in {where} has an image processor that makes pictures of {makes} pixels, and a vision tower that "
        f"takes {side} × {side}. Correct size and crop_size in its preprocessor_config.json, or choose another CLIP."
    )


def _made(processor: Any, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Width and height of what it makes of a picture; None where it can make nothing of it."""
    try:
        seen = processor(Image.new("RGB", shape), do_rescale=False, do_normalize=False)["pixel_values"][0]
    except ValueError:  # such as the longest edge, which transformers has a name for and no way to resize by
        return None
    return seen.shape[2], seen.shape[1]


def known_tokens(where: str, tokenizer: PreTrainedTokenizerBase, config: Config) -> PreTrainedTokenizerBase:
    """A tokenizer whose tokens the text tower knows, all of them. Raises UserError for another one."""
    highest, known = max(tokenizer.get_vocab().values()), config.text_config.vocab_size
    if highest >= known:
        raise UserError(
            f"The CLIP in {where} has a tokenizer with ids up to {highest}, and a text tower that knows {known}. "
            "The tokenizer is another model's: put the right one there, or choose another CLIP."
        )
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"The CLIP in {where} has a tokenizer without a token for padding. Put its own tokenizer there, or choose "
            "another CLIP."
        )
    return tokenizer


def assembled(where: str, config: Config, weights: Path | Mapping[str, Tensor]) -> PreTrainedModel:
    """The model of these weights (of a folder of transformers', or under the names it has there), in float32.

    Raises UserError unless all are there, in their shapes: transformers makes up random numbers for the others.
    """
    folder, tensors = (weights, None) if isinstance(weights, Path) else (None, weights)
    try:
        loaded: Any = model_class(config).from_pretrained(
            folder,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they come as a list then, not as a table in a terminal's colours
        )
    except pickle.UnpicklingError as error:
        raise code_refused(where) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise UserError(_missing(where, missing, sorted(info["unexpected_keys"]), model))
    if info["mismatched_keys"]:
        name, stored, expected = sorted(info["mismatched_keys"])[0]
        raise UserError(
            f"The CLIP in {where} has the weight {name!r} in the shape {list(stored)}, and a configuration that asks "
            f"for {list(expected)}. They are two models': put the right ones there, or choose another CLIP."
        )
    return model


def model_class(config: Config) -> type[PreTrainedModel]:
    """The class of transformers for a configuration of a known family."""
    return FAMILIES[config.model_type].MODELS[config.model_type]


def code_refused(where: str) -> UserError:
    """The sentence for a pickle that is not of tensors alone."""
    return UserError(
        f"The weights of the CLIP in {where} are a pickle of more than tensors. It stays closed, since opening it "
        "could run a stranger's code. Save the tensors alone, as save_pretrained does, or choose another CLIP."
    )


def _missing(where: str, missing: list[str], others: list[str], model: PreTrainedModel) -> str:
    """The sentence for weights that are not there, by what is there instead."""
    if any(name.startswith("module.") for name in others):
        return (
            f"The weights of the CLIP in {where} have names that begin with “module.”, as DataParallel saves them. "
            "Save the model inside it, with model.module.save_pretrained."
        )
    if len(missing) == len(model.state_dict()):
        return (
            f"None of the weights in {where} has the name of a CLIP's: they are called {few(others)}. Choose a CLIP, "
            "or save the model with save_pretrained where this is a checkpoint around one."
        )
    for tower, other in (("vision", "text"), ("text", "vision")):
        if not any(name.startswith(f"{tower}_") for name in missing) and all(
            name in missing for name in model.state_dict() if name.startswith(f"{other}_")
        ):
            return f"The weights in {where} are {_half(tower)}"
    return f"The CLIP in {where} lacks weights: {few(missing)}. Choose a complete copy of it."


def _half(tower: str) -> str:
    other = {"vision": "text", "text": "vision"}[tower]
    return f"the {tower} tower of a CLIP alone. A setup needs its {other} tower too: choose the whole model."


def few(names: list[str]) -> str:
    """The first names of a file's weights, for a sentence."""
    shown = ", ".join(f"{name!r:.80}" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
