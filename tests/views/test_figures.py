"""Figures for print: the numbers of the view are in them, every format opens at its size, and names stay text."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import EVIL
from matplotlib.colors import to_rgb
from PIL import Image
from test_many_views import tried

from core.files import ASSETS
from core.methods.steering import Edit
from core.session import visit as session
from core.session.visit import Visit
from core.setups.catalog import Location
from core.views import figures
from core.views.figure_files import DOTS, INCH, WIDTHS, PrintFigure, figure_file, undrawable
from core.views.settings import in_a_sentence, settings
from core.words import percent, signed
from core.workbench import Workbench

SVG = "{http://www.w3.org/2000/svg}"
CLASSES = ("a $x$ b", "\\frac{$", "--> <script>alert(1)</script>", "\x00 \x1b \ud800", "日本 ✓", *EVIL)


@pytest.fixture(scope="module")
def drawn(bench: Workbench, visit: Visit) -> Mapping[str, PrintFigure]:
    """All figures of a view of which every name looks like markup."""
    told = in_a_sentence(bench.setup, visit)
    asked = visit.trace, visit.classes, visit.templates, visit.target, visit.edit
    *_, controls = bench.controls(*asked)
    _, found = tried(CLASSES, "ffbrwwc-w", range(9))
    made = (
        figures.picture_and_maps(visit, {}, told),
        figures.contributions(visit, {}, told),
        figures.before_after(visit, told),
        figures.among_controls(visit, controls, told),
        figures.doses(visit, next(iter(bench.responses(*asked))), told),
        figures.turned(found, "<b>some</b> pictures", told),
    )
    return {one.name: one for one in made}


@pytest.fixture(scope="module")
def svgs(drawn: Mapping[str, PrintFigure]) -> Mapping[str, str]:
    return {name: figure_file(one, "svg", "one").decode() for name, one in drawn.items()}


def texts(svg: str) -> list[str]:
    """What is written in it: letters are paths, and before them stands what they say."""
    return [unescape(words).replace("- -", "--") for words in re.findall("<!-- (.*?) -->", svg, re.DOTALL)]


def test_every_svg_is_a_picture_of_its_width_and_nothing_else(
    svgs: Mapping[str, str], drawn: Mapping[str, PrintFigure]
) -> None:
    assert len(svgs) == 6
    for name, svg in svgs.items():
        root = ElementTree.fromstring(svg)
        found = {element.tag for element in root.iter()}
        assert not found & {f"{SVG}{tag}" for tag in ("script", "text", "foreignObject", "a")}, name
        assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")], name
        width = float(str(root.attrib["width"]).removesuffix("pt"))
        assert width / 72 * INCH == pytest.approx(WIDTHS["one"], abs=0.01)
        told = [one.text for one in root.iter("{http://purl.org/dc/elements/1.1/}description")]
        assert told == [drawn[name].caption], "its caption is in it"
        assert "<dc:date>" not in svg, "the same figure is the same file"


def test_the_numbers_are_those_of_the_view(svgs: Mapping[str, str], visit: Visit) -> None:
    for part in visit.parts:
        assert part.measured is not None
        assert f"{signed(part.total)} / {signed(part.measured)}" in texts(svgs["contributions"])
    maps = texts(svgs["picture-and-maps"])
    head = visit.edit.levers[0].component
    assert f"#{head}" in maps
    assert any(words.endswith(signed(visit.part(head).total)) for words in maps)
    shares = texts(svgs["before-after"])
    for prediction in (visit.comparison.before, visit.comparison.after):
        for share in prediction.probabilities.tolist():
            assert f"{percent(share)} %" in shares
    assert texts(svgs["fixed-and-broken"]).count("▲ 1  ▼ 0") == 2
    assert any(words.startswith("the edit, ") for words in texts(svgs["controls"]))
    assert any(words.startswith("target: ") for words in texts(svgs["doses"]))


def test_names_are_text_whatever_they_are(svgs: Mapping[str, str]) -> None:
    """No formula, no markup, no end of a comment."""
    written = texts(svgs["fixed-and-broken"])
    shown = [figures.short(name, 16) for name in CLASSES]
    assert set(shown[:6] + shown[8:]) <= set(written), "all but those of which no label is known"
    before_after = texts(svgs["before-after"])
    assert any(words.startswith("<img") for words in before_after)


def test_a_caption_states_all_settings(drawn: Mapping[str, PrintFigure], bench: Workbench, visit: Visit) -> None:
    for one in drawn.values():
        for name, value in settings(bench.setup, visit).items():
            assert f"{name}: {value.rstrip('.')}" in one.caption, one.name
    assert "<b>some</b> pictures" in drawn["fixed-and-broken"].caption


def test_a_folder_is_told_without_where_on_this_machine_it_lies(bench: Workbench, visit: Visit) -> None:
    for place, said in (
        (Location(ASSETS / "bundled" / "clip"), "assets/bundled/clip, as CLIP Levers ships it"),
        (Location(ASSETS, file="words.txt"), "assets/words.txt, as CLIP Levers ships it"),
        (Location(Path("/home/somebody/mine"), file="sae.pt"), "a folder, mine/sae.pt"),
    ):
        card = replace(bench.setup.card, clip=place)
        assert settings(replace(bench.setup, card=card), visit)["CLIP"] == said


def test_a_pdf_has_its_letters_inside(drawn: Mapping[str, PrintFigure]) -> None:
    file = figure_file(drawn["contributions"], "pdf", "one")
    assert file.startswith(b"%PDF-")
    assert b"/FontFile2" in file, "TrueType, as publishers ask for"
    assert b"/Type3" not in file
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", file)
    assert box is not None
    assert float(box[1]) / 72 * INCH == pytest.approx(WIDTHS["one"], abs=0.1)


def test_a_png_is_as_fine_as_print(drawn: Mapping[str, PrintFigure]) -> None:
    picture = Image.open(io.BytesIO(figure_file(drawn["before-after"], "png", "two")))
    assert picture.width == pytest.approx(WIDTHS["two"] / INCH * DOTS, abs=1)
    assert picture.info["Description"] == drawn["before-after"].caption


def test_letters_that_the_font_lacks_are_told() -> None:
    assert undrawable("dog, Füße, собака ✓ − ▲▼") == ""
    assert undrawable("犬 and 猫 and 犬") == "犬猫"


def test_what_is_compared_differs_in_grey() -> None:
    def brightness(colour: str) -> float:
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True))

    for one, other in ((figures.FOR, figures.AGAINST), (figures.WAS, figures.NOW), (figures.FOR, figures.WAS)):
        assert abs(brightness(one) - brightness(other)) > 0.3


def test_a_view_without_an_edit_has_its_figures(bench: Workbench, visit: Visit) -> None:
    plain = session.change(bench, visit, Edit())
    told = in_a_sentence(bench.setup, plain)
    assert "Edit: none" in told
    assert figures.picture_and_maps(plain, {}, told).caption.startswith("The picture")
