"""Every tab at both widths and in both themes: no serious violation of axe-core in what is ours, nothing sticks out."""

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


def fits(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


@pytest.mark.parametrize(("width", "themes"), zip(SIZES, (("light", "dark"), ("dark", "light")), strict=True))
def test_no_tab_shuts_anybody_out_and_nothing_sticks_out(
    open_page: Open, width: int, themes: tuple[Theme, Theme]
) -> None:
    """Opened in one theme, and looked through in both."""
    page = open_page(width, themes[0])
    press_strongest(page)
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        page.wait_for_function("(dark) => document.body.classList.contains('dark') === dark", arg=theme == "dark")
        for name in TABS:
            tab(page, name)
            assert fits(page, width), name
            open_page.answers.all_here(page)  # what an answer is awaited for is faint meanwhile
            assert fits(page, width), name
            found = serious(page, theme)
            assert not found, "\n".join([name, *found])
