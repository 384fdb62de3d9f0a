"""Screenshots of every tab, to look at: ``python tests/benchmarks/screens.py FOLDER``.

Starts the app, opens it in Chromium at four widths, light and dark, pulls the strongest lever, shows that beside none,
and keeps a picture of the whole page on every tab, named after all three. With ``--readme`` the one that README
shows is made as well.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from chromium import TABS, chromium, tab
from playwright.sync_api import Page
from start import ROOT, listening

WIDTHS = {390: 844, 768: 1024, 1400: 900, 1920: 1080}
ANSWERS = {
    "Before / after": "#pair .in-two",
    "Many pictures": "#tried .by-class",
    "Evidence": "#elsewhere:has-text('95 % interval')",
    "Take along": "#print-figure img",
    "Log": "#log .line-tried",
}
"""What a tab's picture waits for."""
REST = 1200
"""Milliseconds in which what moves on the page comes to rest."""


def shoot(page: Page, path: Path, whole: bool = True) -> None:
    """The page, as it stands."""
    page.wait_for_timeout(REST)
    page.screenshot(path=path, full_page=whole)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS), choices=list(WIDTHS))
    parser.add_argument("--themes", nargs="+", default=["light", "dark"], choices=["light", "dark"])
    parser.add_argument("--readme", action="store_true", help="also assets/screenshot.png")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with listening() as (address, _, _process), chromium() as browser:
        for width, theme in itertools.product(asked.widths, asked.themes):
            size = {"width": width, "height": WIDTHS[width]}
            page = browser.new_page(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
            page.goto(address)
            page.locator("#panel .bar.best").wait_for()
            page.locator("[data-step=offer] [data-tour=end]").click()
            tab(page, "Attribution")
            page.locator("#rows [data-action=suppress]").first.click()
            page.locator("#panel .flip.flipped").wait_for()
            if asked.readme and (width, theme) == (1400, "light"):
                shoot(page, ROOT / "assets" / "screenshot.png", whole=False)
            for name in TABS:
                tab(page, name)
                if name == "Before / after":
                    page.locator("[data-beside]").select_option("plain:")
                if name in ANSWERS:
                    page.locator(ANSWERS[name]).first.wait_for()
                shoot(page, asked.folder / f"{name.split()[0].lower()}-{width}-{theme}.png")
            page.close()


if __name__ == "__main__":
    main()
