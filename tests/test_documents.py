"""Documents: every link from one to a file of the project leads to it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
"""The place that a link of Markdown names, without the part in it."""


def test_every_link_leads_to_a_file() -> None:
    documents = [
        ROOT / "README.md",
        *(page for name in ("core", "assets", "tests", ".github") for page in ROOT.glob(f"{name}/**/*.md")),
    ]
    links = [(page, place) for page in documents for place in LINK.findall(page.read_text(encoding="utf-8"))]
    here = [(page, place) for page, place in links if not re.match(r"[a-z]+:", place)]
    assert len(here) > 40
    assert [(page.relative_to(ROOT), place) for page, place in here if not (page.parent / place).exists()] == []
