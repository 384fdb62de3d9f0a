"""Faces for a published-size setup, from an index built in the background: ``python tests/benchmarks/faces.py``.

A ViT-B/32 and a dictionary of 49,152 components with random weights are served with CLIP_LEVERS_INDEX_FROM, over seeded
crops of the shipped photographs. A browser looks on: when the first faces are there, how far the index is meanwhile,
and how long a press takes while it is being built and when it is whole. Prints what it saw as it comes, and at a stop;
--shots keeps pictures of the page. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "setups"))

import torch
from chromium import FLAGS
from huggingface_hub import constants
from playwright.sync_api import Page, sync_playwright
from sae_lens import TopKSAE, TopKSAEConfig
from test_catalog_full_size import Geometry, write_settings, write_weights

from core.model.places import ResidualStream
from core.model.sae_clip import SaeClip
from core.model.sae_dictionary import SaeDictionary
from core.page.launch import launch_options, make_page
from core.pictures.options import CollectionOptions
from core.pictures.photographs import crops
from core.serving import settings as serving
from core.serving.settings import Settings
from core.setups.catalog import Location, SetupSpec, read_catalog
from core.setups.clips import read_clip
from core.setups.loading import Setup, load

SHAPE = Geometry(768, 12, 32, 224, 512, "gelu", "model.safetensors", torch.float32, (), 4)
COMPONENTS, K, LAYER = 49152, 32, 9
FACES = "#rows .strip .shot"
TOLD = "#growth [data-shown]"
PRESSES = 12
"""In each stage."""


def made(root: Path) -> Setup:
    """The setup, and its files in a folder."""
    folder = root / "clip"
    folder.mkdir()
    write_settings(folder, SHAPE)
    write_weights(folder, SHAPE)
    clip = read_clip(folder, ResidualStream(LAYER))
    sae = TopKSAE(TopKSAEConfig(d_in=SHAPE.width, d_sae=COMPONENTS, k=K))
    draw = torch.Generator().manual_seed(0)
    for name, weight in sae.named_parameters():
        scale = SHAPE.width**-0.5 if weight.ndim == 2 else 0.0
        weight.data = scale * torch.randn(weight.shape, generator=draw)
        assert name
    note = "Random weights, of a published size."
    card = SetupSpec("rehearsed", "ViT-B/32, random", Location(folder), Location(folder), LAYER, "all", "MIT", note)
    return Setup(card, SaeClip(clip, SaeDictionary(sae, "all")))


def presses(page: Page, n: int) -> list[float]:
    """Seconds from a press on a lever until the prediction in sight is that of another edit."""
    took = []
    for _ in range(n):
        before = page.locator("#prediction .prediction").get_attribute("data-digest")
        began = time.perf_counter()
        page.locator('#rows [data-action="suppress"]').first.click()
        changed = "was => document.querySelector('#prediction .prediction').dataset.digest !== was"
        page.wait_for_function(changed, arg=before, timeout=120_000)
        took.append(time.perf_counter() - began)
    return took


def seen(page: Page) -> tuple[int, str]:
    """Faces in the rows, and what is told of the index."""
    told = page.locator(TOLD)
    return page.locator(FACES).count(), told.inner_text().replace("\n", " ") if told.count() else ""


def look(page: Page, shots: Path | None, seconds: float) -> None:
    """Watch the page for so long at most, and print what is there; what was seen is told after a stop, too."""
    began = time.perf_counter()
    first, told = None, ""
    took: dict[str, list[float]] = {}
    try:
        while page.locator(f"{TOLD}[data-over]").count() == 0:
            faces, now = seen(page)
            passed = time.perf_counter() - began
            if now != told:
                told = now
                print(f"{passed:6.1f} s: {faces:3} faces. {told}", flush=True)
            if faces and first is None:
                first = passed
                print(f"{passed:6.1f} s: the first faces", flush=True)
                if shots:
                    page.screenshot(path=shots / "first-faces.png")
            if passed > seconds:
                print(f"{passed:6.1f} s: not whole by then", flush=True)
                return
            stage = "while labels and families were found" if "are being found" in told else "while pictures were read"
            if len(took.setdefault(stage, [])) < PRESSES:
                took[stage] += presses(page, 2)
            page.wait_for_timeout(1500)
        page.wait_for_timeout(6000)
        faces, told = seen(page)
        print(f"{time.perf_counter() - began:6.1f} s: over; {faces} faces. {told}", flush=True)
        took["when nothing was made"] = presses(page, PRESSES)
        if shots:
            page.screenshot(path=shots / "whole.png")
    finally:
        for name, times in filter(itemgetter(1), took.items()):
            few = f"median {statistics.median(times):.2f} s, at most {max(times):.2f} s, of {len(times)}"
            print(f"a press {name}: {few}", flush=True)


def main() -> None:
    """Serve, look, and tell."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=10, help="stop after so many, and tell what was seen")
    parser.add_argument("--port", type=int, default=8231)
    parser.add_argument("--shots", type=Path)
    options = parser.parse_args()
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        root = Path(name)
        constants.HF_ASSETS_CACHE = str(root / "assets")
        pictures = root / "pictures"
        pictures.mkdir()
        for number, picture in enumerate(crops(options.pictures)):
            picture.save(pictures / f"{number:05}.jpg", quality=85)
        setup = made(root)
        print(f"{options.pictures} pictures, {COMPONENTS:,} components", flush=True)
        serving.load = lambda card, **_: setup if card.name == "rehearsed" else load(card)  # type: ignore[attr-defined]
        given = replace(
            Settings.from_environment({}),
            setup="rehearsed",
            index_from=CollectionOptions(str(pictures), limit=options.pictures, workers=1),
        )
        page = make_page(given, {"bundled": read_catalog()["bundled"], "rehearsed": setup.card})
        page.launch(**launch_options(), prevent_thread_lock=True, quiet=True, server_port=options.port)
        for job in page.jobs:
            job.start()
        for job in page.jobs:
            for _ in job.follow():
                pass
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            tab = browser.new_page(viewport={"width": 1400, "height": 1000})
            tab.goto(f"http://127.0.0.1:{options.port}")
            tab.get_by_role("tab", name="Attribution").click(timeout=120_000)
            tab.locator("#rows .rows li").first.wait_for(timeout=120_000)
            look(tab, options.shots, 60 * options.minutes)
            browser.close()
        page.close()


if __name__ == "__main__":
    main()
