"""CLIP's published vocabulary, from OpenAI's own merges."""

import gzip
from pathlib import Path

DATA = Path(__file__).parent / "data"
CONTEXT = 77


def byte_letters() -> dict[int, str]:
    """A printable letter for every byte, in the vocabulary's order: those that are printable, then the others."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def published_merges() -> list[tuple[str, str]]:
    """The merges CLIP was trained with: the first 48,894 of the file, after its header."""
    lines = gzip.decompress((DATA / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode("utf-8").split("\n")
    pairs = [line.split() for line in lines[1 : 49152 - 256 - 2 + 1]]
    return [(first, second) for first, second in pairs]


def vocabulary() -> dict[str, int]:
    """Every token's id: letters, letters that end a word, merged pieces, and the two marks."""
    letters = list(byte_letters().values())
    pieces = [first + second for first, second in published_merges()]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *pieces, "<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(tokens)}


def laion_settings() -> dict[str, object]:
    """`tokenizer_config.json` of laion/CLIP-ViT-L-14-laion2B-s32B-b82K: an older form, without a class or a length."""
    mark = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken"}
    start, end = ({"content": content, **mark} for content in ("<|startoftext|>", "<|endoftext|>"))
    return {
        **{"unk_token": end, "bos_token": start, "eos_token": end, "pad_token": "<|endoftext|>"},
        **{"add_prefix_space": False, "errors": "replace", "do_lower_case": True, "name_or_path": "./clip_ViT_B_32/"},
    }
