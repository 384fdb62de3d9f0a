"""Accessibility of every tab, by axe-core: no serious violation in what is ours."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import SIZES, TABS, Open, Theme, press_strongest, tab
from playwright.sync_api import Page

GRADIO_S = ["#upload", "#picture-for", "#own-pictures", "#load-recipe", "#recipe-file", "#editor"]
"""Parts that Gradio draws by itself: its upload boxes are buttons around an input, its picture editor has bare ones."""
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that may find something in one theme alone."""


def serious(page: Page, theme: Theme) -> list[str]:
    """What axe-core holds to be serious or critical, each with where it is.

    By all rules in the light theme; in the dark one, where the same elements have other colours, by those of colours.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    context = {"exclude": [[part] for part in GRADIO_S]}
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if theme == "dark":
        options["runOnly"] = OF_COLOURS
    found = page.evaluate("([context, options]) => axe.run(context, options)", [context, options])
    return [
        f"{one['id']}: {node['target']} {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical") or one["id"] == "heading-order"
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_no_tab_shuts_anybody_out(open_page: Open, width: int, theme: Theme) -> None:
    page = open_page(width, theme)
    press_strongest(page)
    for name in TABS:
        tab(page, name)
        open_page.answers.all_here(page)  # what an answer is awaited for is faint meanwhile
        found = serious(page, theme)
        assert not found, "\n".join([name, *found])
