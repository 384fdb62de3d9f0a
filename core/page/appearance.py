"""Appearance of the page: Gradio's own parts in this page's colours, the style sheet, and what else `launch` needs."""

import json
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from ..files import ASSETS
from . import preview
from .doors import MAX_FILE_MB, Doors
from .inputs import HANDLERS
from .tools import McpDoor

SESSIONS = 300
"""Visits kept in memory, some 0.4 MB each; of more, those that were asked least recently are forgotten."""
SCRIPTS = "embed", "tabs", "pressed", "glossary"
"""Of the whole page; those of its parts come with them (widgets.py)."""
AS_THEY_ARE = tuple(kind for kind in DEFAULT_EXCLUDED_CONTENT_TYPES if kind != "text/event-stream")
"""What is sent uncompressed, being compressed already. The stream of answers is not: each is compressed as it comes."""


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
    scripts = "\n".join((ASSETS / "widgets" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    mcp = McpDoor()
    compressed = Middleware(GZipMiddleware, compresslevel=5, exclude_content_types=AS_THEY_ARE)
    return {
        "theme": theme(), "head": f"<style>{style}</style><script>{scripts}</script>",
        "footer_links": [], "max_file_size": f"{MAX_FILE_MB}mb",
        "run_history": False, "ssr_mode": False, "show_error": True, "enable_monitoring": False, "pwa": False,
        "state_session_capacity": SESSIONS,
        "app_kwargs": {
            "middleware": [compressed, Middleware(Doors), Middleware(preview.LinkPreview)],
            "exception_handlers": HANDLERS, "routes": [*mcp.routes, *preview.ROUTES], "lifespan": mcp.lifespan,
        },
    }  # fmt: skip
