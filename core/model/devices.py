"""Devices and precision of the models: a GPU where there is one, and none on a page that borrows its GPU (ZeroGPU)."""

import os

import torch

from ..errors import UserError

PREFIXES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions of the layers up to L, by name."""


def on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space: there is a GPU only inside the functions that ask for one."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def best_device() -> str:
    """The device for models that stay: CUDA, else Apple's MPS, else the CPU.

    On ZeroGPU the CPU, whatever torch says there: outside those functions its GPU is make-believe.
    """
    if on_zero_gpu():
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name(device: torch.device) -> str:
    """The device as tensors there name it: some ways to start processes say "cpu:0" of the CPU.

    Weights that are on the CPU would be copied to that one: twice the memory, and elsewhere in it, which sums depend
    on. What is read in place from a file is not where torch would put it, and MKL adds up in another order there.
    """
    return "cpu" if device.type == "cpu" else str(device)


def prefix_precision(name: str) -> torch.dtype:
    """The precision of that name. Raises UserError when there is none."""
    if name not in PREFIXES:
        raise UserError(f"There is no precision {name!r} for the first layers. Choose one of: {', '.join(PREFIXES)}.")
    return PREFIXES[name]
