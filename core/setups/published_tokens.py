"""Published token ids of CLIP's tokenizer: golden values that hold for every CLIP with OpenAI's vocabulary."""

from collections.abc import Mapping
from types import MappingProxyType

START, END = 49406, 49407
"""The marks around every text."""
VOCABULARY = 49408
"""Tokens that it knows."""

PUBLISHED: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        # openai/CLIP, notebooks/Interacting_with_CLIP.ipynb, cell 10
        "Hello World!": (3306, 1002, 256),
        # elixir-nx/bumblebee, test/bumblebee/text/clip_tokenizer_test.exs, on openai/clip-vit-base-patch32
        "a photo of a cat": (320, 1125, 539, 320, 2368),
        "a photo of a dog": (320, 1125, 539, 320, 1929),
        # apple/ml-stable-diffusion, swift/StableDiffusionTests/StableDiffusionTests.swift
        "a photo of an astronaut riding a horse on mars": (320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496),
        "Apple CoreML developer tools on a Macbook Air are fast": (
            *(3055, 19622, 5780, 10929, 5771, 525, 320, 20617, 1922, 631, 1953),
        ),
    }
)
"""The ids of each text, without the start and the end."""
