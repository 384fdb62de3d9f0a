"""Appearance of the page: Gradio's own parts in this page's colours, the style sheet, what `launch` needs for both."""

import json
from typing import Any

import gradio as gr

from ..files import ASSETS
from .inputs import HANDLERS


def theme() -> gr.themes.Base:
    """Gradio's own parts, light and dark."""
    chosen = json.loads((ASSETS / "theme.json").read_text(encoding="utf-8"))
    hue = gr.themes.Color(**chosen["hue"], name="levers")
    return gr.themes.Base(
        primary_hue=hue, secondary_hue=hue, neutral_hue="slate", radius_size="md", spacing_size="md", text_size="md",
        font=chosen["font"], font_mono=chosen["font_mono"],
    ).set(**chosen["set"])  # fmt: skip


def launch_options() -> dict[str, Any]:
    """What `launch` needs to show the page as designed."""
    # In the head: Gradio rewrites what it is given as css=, prefixing selectors and breaking some.
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    script = (ASSETS / "widgets" / "tabs.js").read_text(encoding="utf-8")
    return {
        "theme": theme(), "head": f"<style>{style}</style><script>{script}</script>",
        "footer_links": [], "max_file_size": "40mb",
        "run_history": False, "ssr_mode": False, "show_error": True,
        "app_kwargs": {"exception_handlers": HANDLERS},
    }  # fmt: skip
