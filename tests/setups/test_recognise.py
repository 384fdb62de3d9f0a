"""Whoever names a wrong layout is told the right one, and whoever brings a dictionary of another place, which place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import torch
from published_saes import SMALL, WRITERS, small
from safetensors.torch import save_file

from core.errors import UserError
from core.setups.catalog import Layout, Location, SetupSpec
from core.setups.checkpoints import hint_for_names, read_checkpoint
from core.setups.loading import load


@pytest.mark.parametrize("asked", get_args(Layout))
@pytest.mark.parametrize("name", ["sae_lens", *WRITERS])
def test_a_wrong_layout_is_told_the_right_one(name: str, asked: Layout, tmp_path: Path) -> None:
    release = small(name, tmp_path)
    if asked == release.layout:
        assert release.read()
        return
    with pytest.raises(
        UserError, match=rf"\. It looks like a dictionary of {release.layout}: try `--layout {release.layout}`\.$"
    ):
        read_checkpoint(asked, tmp_path, release.file)


def test_what_is_damaged_or_unknown_is_not_guessed_at(tmp_path: Path) -> None:
    release = small("clipscope", tmp_path)
    path = tmp_path / release.file
    path.write_bytes(path.read_bytes()[:-100])
    for content in (None, b"{", b"{}\n", b"[1]\n", b"nothing"):
        if content is not None:
            path.write_bytes(content)
        for layout in get_args(Layout):
            with pytest.raises(UserError) as caught:
                read_checkpoint(layout, tmp_path, release.file)
            assert "looks like" not in str(caught.value)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError) as caught:
        read_checkpoint("saev", tmp_path, release.file)
    assert "looks like" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["README.md", "sae.pt"], "saev: try `--layout saev`."),
        (["config.json", "n_images_2600058.pt"], "prisma: try `--layout prisma`."),
        (["x/config.json", "x/weights.pt"], "prisma: try `--layout prisma --file x`."),
        (["5_resid/1.pt", "2_resid/1.pt"], "clipscope: try `--layout clipscope --file 2_resid/1.pt`."),
        (
            ["a/b/checkpoints/ae_1.pt", "a/ae.pt"],
            "dictionary_learning: try `--layout dictionary_learning --file a/ae.pt`.",
        ),
        (["cfg.json", "sae_weights.safetensors"], "sae_lens: try `--layout sae_lens`."),
        (["out.pt"], ""),
        (["model.safetensors", "config.json", "preprocessor_config.json"], ""),
        ([], ""),
    ],
)
def test_files_by_their_names(names: Sequence[str], said: str) -> None:
    hint = hint_for_names("patchsae", names)
    assert hint == (f"It looks like a dictionary of {said}" if said else "")


def test_it_is_said_where_files_are_missing(clip_folder: Path, tmp_path: Path) -> None:
    small("saev", tmp_path)
    card = SetupSpec("own", "Own", Location(clip_folder), Location(tmp_path), 1, "all", "MIT", "")
    with pytest.raises(
        UserError, match=r"lacks cfg.json; .* It looks like a dictionary of saev: try `--layout saev`\.$"
    ):
        load(card)


# ---- dictionaries of the image embedding


def test_msae_is_known_by_what_it_keeps(tmp_path: Path) -> None:
    """Its own training checkpoint: {"model": state dict, "mean_center", "scaling_factor", "target_norm"}."""
    state = {"W_enc": torch.zeros(SMALL), "W_dec": torch.zeros(SMALL[::-1]), "b_pre": torch.zeros(SMALL[0])}
    saved = {"model": state, "mean_center": torch.zeros(SMALL[0]), "scaling_factor": 1.0, "target_norm": None}
    torch.save(saved, tmp_path / "out.pt")
    with pytest.raises(UserError, match="an SAE of MSAE, of the image embedding. .* cannot be read here"):
        read_checkpoint("patchsae", tmp_path)


def test_a_module_that_huggingface_hub_saved_is_known_by_its_files(clip_folder: Path, tmp_path: Path) -> None:
    """lasgroup/clip-topk-sae: PyTorchModelHubMixin over `TopKSAE` of patrikwolf/ttt_theory, sae/sae_topk.py."""
    d, m = SMALL
    settings = {"input_dim": d, "hidden_dim": m, "k": 5, "use_ghost_grads": True, "normalize_decoder": True}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    w = {"W_enc": torch.zeros(d, m), "b_enc": torch.zeros(m), "W_dec": torch.zeros(m, d), "b_dec": torch.zeros(d)}
    save_file({**w, "feature_counts": torch.zeros(m), "total_samples": torch.tensor(0)}, tmp_path / "model.safetensors")
    card = SetupSpec("own", "Own", Location(clip_folder), Location(tmp_path), 1, "all", "MIT", "")
    with pytest.raises(UserError, match="as clip-topk-sae is, .*: try `--layout clip_topk_sae --place embedding`"):
        load(card)
