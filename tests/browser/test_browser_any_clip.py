"""The story with a SigLIP 2 and no dictionary, as `app.py --clip FOLDER` opens it.

Its weights are random, so that nothing that is said means anything; every number is that of transformers' own model.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import EXAMPLES, Open, press_strongest, tab
from huggingface_hub import constants
from PIL import Image
from playwright.sync_api import expect
from transformers import AutoModel, AutoProcessor

PICTURE = EXAMPLES / "photo-cat.webp"
CLASSES = ("cat", "dog", "fox")


@torch.no_grad()
def logits_of(folder: Path) -> np.ndarray:
    """By transformers' own processor and model."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder, backend="pil")
    texts = [f"a photo of a {name}" for name in CLASSES]
    whole = {"padding": "max_length", "max_length": model.config.text_config.max_position_embeddings}
    asked = processor(text=texts, images=Image.open(PICTURE), return_tensors="pt", **whole)
    del asked["attention_mask"]  # a SigLIP's own tokenizer gives none
    return np.asarray(model(**asked).logits_per_image[0])


def test_the_story_of_a_siglip_without_a_dictionary(
    open_page: Open, siglip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path))
    page = open_page(query=f"?setup=words&classes={','.join(CLASSES)}")
    expect(page.locator("#chosen input")).to_have_value("Tiny <words> · unverified")
    page.locator("#upload input[type=file]").set_input_files(PICTURE)
    expect(page.locator("#panel")).to_contain_text("Your picture")
    press_strongest(page)
    tab(page, "Before / after")
    expect(page.locator("#table tbody tr")).to_have_count(len(CLASSES))
    open_page.answers.all_here(page)
    rows = [row.split("\t") for row in page.locator("#table tbody").inner_text().strip().split("\n")]
    said = {name: float(logit.split("→")[0].replace("−", "-")) for name, _, _, logit, *_ in rows}
    logits = logits_of(siglip_folder)
    np.testing.assert_allclose([said[name] for name in CLASSES], logits, atol=0.0051)
    assert rows[0][0] == CLASSES[int(logits.argmax())]
    assert page.evaluate("[...document.querySelectorAll('#panel .value')].every(e => e.scrollWidth <= e.clientWidth)")
    line = page.locator("#panel .line").first
    expect(line).to_contain_text("after the edit")
    assert "patches" not in line.inner_text(), "there is no map"
    tab(page, "Components")
    page.locator("#words-for :is(input, textarea)").fill("bh")
    expect(page.locator("#found")).to_contain_text("“bh”")
