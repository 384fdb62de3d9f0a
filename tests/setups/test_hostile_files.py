"""Files made to cost time or memory, or to write into a terminal: each a sentence, at once.

Without the bounds these tests would not end, or fill the machine.
"""

import json
import os
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from published_saes import SMALL, write_clipscope, write_patchsae, write_prisma, write_sae_lens, write_saev_5

from core.errors import UserError
from core.setups.catalog import Layout
from core.setups.checkpoints import read_checkpoint


def refused(layout: Layout, root: Path, file: str = ".") -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(layout, root, file)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(sentence) < 600
    assert sentence.isprintable()
    return sentence


def doubled(times: int) -> list:
    """A list of two of a list of two ...: a few bytes in a pickle, 2 ** times in words."""
    nested: list = ["so much"]
    for _ in range(times):
        nested = [nested, nested]
    return nested


LONG: dict[str, Any] = {
    "list": doubled(60),
    "dict": {"a": doubled(60)},
    "dict of many": dict.fromkeys("abcdefghij", doubled(60)),
}
LONG |= {"number": 10**500}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("key", ["gated_sae", "d_in", "d_sae", "block_layer", "module_name", "model_name"])
def test_settings_that_are_long_in_words_are_not_put_into_words(key: str, kind: str, tmp_path: Path) -> None:
    write_patchsae(tmp_path, *SMALL, as_object=False)
    saved = torch.load(tmp_path / "out.pt", weights_only=True)
    saved["cfg"][key] = LONG[kind]
    torch.save(saved, tmp_path / "out.pt")
    if key in ("gated_sae", "d_in", "d_sae"):
        assert key in refused("patchsae", tmp_path)
    else:
        (reading,) = read_checkpoint("patchsae", tmp_path)
        assert all(len(str(said)) < 200 for said in reading.claims.values())


def test_tensors_by_names_that_are_long_in_words(tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    saved = torch.load(path, weights_only=True)
    for name in ("x" * 10**6, 10**500, (1, (2, 3)), None):
        torch.save({**saved, "model_state_dict": {**saved["model_state_dict"], name: torch.zeros(1)}}, path)
        assert "also holds" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")


def repacked(path: Path, program: bytes | None = None, compression: int = zipfile.ZIP_STORED, copies: int = 0) -> None:
    """The archive with another pickle in it, packed otherwise, or with more parts."""
    with zipfile.ZipFile(path) as source:
        parts = {entry.filename: source.read(entry) for entry in source.infolist()}
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in parts.items():
            packed.writestr(name, program if program and name.endswith("data.pkl") else content)
        for n in range(copies):
            packed.writestr(f"archive/data/more{n}", b"")


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed, packed.open("archive/data/9", "w") as part:
        for _ in range(1 << 6):
            part.write(bytes(1 << 20))
    content = bytearray(path.read_bytes())  # its directory says that this is 1 TB
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", (1 << 32) - 2)
    path.write_bytes(content)
    assert "packed anew" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")


def test_parts_that_lie_over_one_another_are_not_read(tmp_path: Path) -> None:
    """A thousand parts, each said to be the whole file."""
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    repacked(path, copies=900)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 20 : at + 28] = struct.pack("<II", len(content), len(content))
    path.write_bytes(content)
    assert "damaged" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")


def test_an_archive_of_very_many_parts_is_not_read(tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    repacked(path, copies=20_000)
    assert re.search(r"has 200\d\d parts", refused("clipscope", tmp_path, "20_resid/1200013184.pt"))


def tuples(times: int, width: int = 2) -> bytes:
    """A pickle of {a tuple of tuples of tuples ...: 2}, each made once: to hash it takes width ** times steps."""
    program = b"\x80\x02}q\x00K\x01q\x01"
    for n in range(times):
        program += b"(" + (b"h" + bytes([n + 1])) * width + b"t" + b"q" + bytes([n + 2])
    return program + b"K\x02s."


@pytest.mark.parametrize(("times", "width"), [(60, 2), (5, 10_000)])
def test_a_pickle_whose_keys_take_years_to_hash_is_not_read(times: int, width: int, tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    repacked(path, tuples(times, width))
    assert "more than tensors and settings" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")


def test_a_pickle_of_megabytes_is_not_read(tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "log": list(range(10**6))}, path)
    assert "more than tensors and settings" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")


@pytest.mark.parametrize("program", [b"", b".", b"\x80\x02h\x07.", b"\x80\x02t.", b"\x80\x02}q\x00", b"\xff" * 9])
def test_a_pickle_that_is_none_is_a_sentence(program: bytes, tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    repacked(path, program or b"\x80")
    refused("clipscope", tmp_path, "20_resid/1200013184.pt")


def test_settings_of_gigabytes_are_not_read(tmp_path: Path) -> None:
    write_prisma(tmp_path, *SMALL, {})
    os.truncate(tmp_path / "config.json", 1 << 36)  # nothing is written
    assert "config.json is larger than settings are" in refused("prisma", tmp_path)
    write_sae_lens(tmp_path, *SMALL)
    os.truncate(tmp_path / "sub" / "cfg.json", 1 << 36)
    assert "cfg.json is larger than settings are" in refused("sae_lens", tmp_path, "sub")


CONTROL = "\x1b]0;owned\x07\x1b[31mred\u202eevil\r\n\u2028"


def test_control_characters_never_reach_a_sentence(tmp_path: Path) -> None:
    write_prisma(tmp_path, *SMALL, {"architecture": CONTROL})
    assert "]0;owned" in refused("prisma", tmp_path)
    write_prisma(tmp_path, *SMALL, {CONTROL: 1, "activation_fn_str": "topk", "activation_fn_kwargs": {CONTROL: 1}})
    refused("prisma", tmp_path)
    torch.save({**torch.load(tmp_path / "weights.pt"), CONTROL: torch.zeros(1)}, tmp_path / "weights.pt")
    refused("prisma", tmp_path)
    (tmp_path / "weights.pt").rename(tmp_path / "a\x1b[31m.pt")
    refused("prisma", tmp_path)
    (tmp_path / "a\x1b[31m.pt").write_bytes(CONTROL.encode())
    refused("prisma", tmp_path)
    write_saev_5(tmp_path, *SMALL)
    (tmp_path / "sae.pt").write_bytes(json.dumps({"schema": CONTROL, "cfg": {"d_model": CONTROL}}).encode() + b"\n")
    refused("saev", tmp_path)
    write_sae_lens(tmp_path, *SMALL)
    config = json.loads((tmp_path / "sub" / "cfg.json").read_text())
    (tmp_path / "sub" / "cfg.json").write_text(json.dumps(config | {"dtype": CONTROL, "d_in": [CONTROL]}))
    refused("sae_lens", tmp_path, "sub")


def test_a_user_error_is_one_printable_line_whatever_it_quotes() -> None:
    said = str(UserError(f"“{CONTROL}” is no class. Name one, such as 👩\u200d🚒."))
    assert "\x1b" not in said
    assert "\n" not in said
    assert "\u202e" not in said
    assert "\u2028" not in said
    assert said.endswith("Name one, such as 👩\u200d🚒.")


def test_a_tensor_of_many_dimensions(tmp_path: Path) -> None:
    write_clipscope(tmp_path, *SMALL)
    path = tmp_path / "20_resid" / "1200013184.pt"
    saved = torch.load(path, weights_only=True)
    saved["model_state_dict"]["enc"] = torch.zeros([1] * 60)
    torch.save(saved, path)
    assert "enc is of 60 dimensions, expected [12, 48]" in refused("clipscope", tmp_path, "20_resid/1200013184.pt")
