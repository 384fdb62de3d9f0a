"""Where the models run, and what a device without float64 (Apple's MPS) must never be asked for."""

import re
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.model.devices import best_device, on_zero_gpu, prefix_precision

CORE = Path(__file__).parents[2] / "core"


@pytest.mark.parametrize(
    ("cuda", "mps", "zero", "device"),
    [
        (True, False, "", "cuda"),
        (False, True, "", "mps"),
        (False, False, "", "cpu"),
        (True, True, "", "cuda"),
        (True, False, "true", "cpu"),
    ],
)
def test_the_best_there_is(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, zero: str, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setenv("SPACES_ZERO_GPU", zero)
    assert best_device() == device
    assert on_zero_gpu() == bool(zero)


def test_precisions() -> None:
    assert prefix_precision("bfloat16") == torch.bfloat16
    with pytest.raises(UserError, match="float32, bfloat16, float16"):
        prefix_precision("half")


def test_tensors_become_float64_on_the_cpu_only() -> None:
    """MPS has none, and no machine here has MPS: read it off the source."""
    for path in CORE.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert len(re.findall(r"\.double\(\)", source)) == len(re.findall(r"\.cpu\(\)\.double\(\)", source)), path.name
