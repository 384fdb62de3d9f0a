"""Every tab at both widths and in both themes: no serious violation of axe-core in what is ours, nothing sticks out."""

from typing import Any, get_args

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import SIZES, TABS, Open, Theme, press_strongest, tab
from playwright.sync_api import Page

GRADIO_S = ["#upload", "#picture-for", "#own-pictures", "#load-recipe", "#recipe-file", "#editor"]
"""Parts that Gradio draws by itself: its upload boxes are buttons around an input, its picture editor has bare ones."""
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that may find something in one theme alone."""


PARTS = ("#top", "#side", "#tabs [role=tabpanel]:not([style*='display: none'])", "#foot")
"""Of the page: each stands as it is whatever the others show."""


def serious(page: Page, *seen: str, **options: Any) -> list[str]:
    """What axe-core holds to be serious or critical, each with where it is: on the whole page but for parts `seen`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    context = {"exclude": [[part] for part in (*GRADIO_S, *seen)]}
    how = {**options, "resultTypes": ["violations"]}
    found = page.evaluate("([context, options]) => axe.run(context, options)", [context, how])
    return [
        f"{one['id']}: {node['target']} {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical") or one["id"] == "heading-order"
        for node in one["nodes"]
    ]


class Looking:
    """Looks at a page in both themes; at the colours of a part, which take most of the time, once as it stands."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: set[tuple[Theme, str]] = set()

    def __call__(self, theme: Theme) -> list[str]:
        """What is serious: by the rules of colours, and in one theme by all others, which know of no colours."""
        parts = {part: self._page.locator(part).evaluate("(part) => part.outerHTML") for part in PARTS}
        seen = [part for part, html in parts.items() if (theme, html) in self._seen]
        self._seen |= {(theme, html) for html in parts.values()}
        found = serious(self._page, *seen, runOnly=OF_COLOURS)
        if theme == "light":
            found += serious(self._page, rules={rule: {"enabled": False} for rule in OF_COLOURS})
        return found


def fits(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


def turn(page: Page, theme: Theme) -> None:
    """With no colour on its way still."""
    page.emulate_media(color_scheme=theme)
    page.wait_for_function("(dark) => document.body.classList.contains('dark') === dark", arg=theme == "dark")
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")


@pytest.mark.parametrize(("width", "first"), zip(SIZES, get_args(Theme), strict=True))
def test_no_tab_shuts_anybody_out_and_nothing_sticks_out(open_page: Open, width: int, first: Theme) -> None:
    """Opened in one theme, and each tab looked at in both."""
    page = open_page(width, first)
    press_strongest(page)
    look, themes = Looking(page), sorted(get_args(Theme), key=first.__ne__)
    for name in TABS:
        tab(page, name)
        assert fits(page, width), name
        open_page.answers.all_here(page)  # what an answer is awaited for is faint meanwhile
        assert fits(page, width), name
        for theme in themes:
            turn(page, theme)
            found = look(theme)
            assert not found, "\n".join([name, theme, *found])
        themes.reverse()
