"""What a page shows of other places and families: nothing of a map, or of a class token, where there is none."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES
from unsplit_places import model_at
from view_helpers import Reader

from core.methods.steering import Edit, Lever
from core.methods.token_maps import token_maps
from core.model.places import ImageEmbedding, MlpOutput, Place, ResidualStream
from core.model.prompts import TEMPLATES
from core.session import visit as session
from core.session.evidence import EditEvidence
from core.session.view_state import state_of
from core.session.visit import Subject, Visit
from core.setups.catalog import Location, SetupSpec
from core.setups.loading import Setup
from core.views import attribution, canvas, compare, evidence, prediction, tables
from core.views.figure_files import figure_file
from core.views.figures import picture_and_maps
from core.views.pair import SideView, pair
from core.views.report import report
from core.views.settings import settings
from core.views.setup import setup_page
from core.workbench import Workbench

CASES: dict[str, tuple[str, Place]] = {
    "siglip": ("siglip", ResidualStream(1)),
    "embedding": ("clip", ImageEmbedding()),
    "mlp": ("clip", MlpOutput(2)),
}
Seen = tuple[Workbench, Visit]


@pytest.fixture(scope="module", params=CASES)
def seen(request: pytest.FixtureRequest) -> Seen:
    """A visit with two levers, one of them on some tokens, and everything measured."""
    family, place = CASES[request.param]
    model = model_at(family, place)
    card = SetupSpec(
        "t",
        "T",
        Location(Path("a")),
        Location(Path("b")),
        place.layer,
        model.dictionary.scope,
        "",
        "",
        place=place.NAME,
    )
    bench = Workbench(Setup(card, model))
    crop = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    begun = session.measure(bench, session.start(bench, crop, Subject("noise"), CLASSES, TEMPLATES["single"], None))
    first, second = (part.component for part in begun.parts[:2])
    tokens = (1, 3) if begun.trace.has_map else None
    return bench, session.change(bench, begun, Edit((Lever(first), Lever(second, "scale", 2.0)), tokens))


def text(html: str) -> str:
    return " ".join(Reader(html).texts)


def test_the_picture_says_where_there_is_no_map(seen: Seen) -> None:
    bench, v = seen
    maps = token_maps(v.trace, v.attribution, [part.component for part in v.parts])
    drawn = str(canvas.canvas(v, maps, session.contributions(v.trace, v.attribution), {}, cue="note"))
    told = json.loads(next(value for value in Reader(drawn).texts if value.startswith('{"')))
    assert ("No map" in text(drawn)) != v.trace.has_map
    assert ("data-cls" in drawn) == ("data-look-at-cls" in drawn) == v.trace.class_token
    assert told["cls"] == v.trace.class_token
    assert [told["rows"], told["columns"]] == list(v.trace.grid)
    assert drawn.count(" hidden") == (0 if v.trace.has_map else 6)
    assert 'data-twin aria-pressed="false">Without the note' in drawn, "in sight either way"


def test_rows_tell_no_place_where_there_is_none(seen: Seen) -> None:
    _, v = seen
    shown = text(str(attribution.part_rows(v)) + str(attribution.waterfall_chart(v)))
    assert ("by patches" in shown) == v.trace.has_map
    assert ("CLS" in shown) == v.trace.class_token
    assert "heat" not in str(attribution.part_rows(v)) or v.trace.has_map
    assert [row[0] for row in tables.map_rows(v)][1:2] == ([v.parts[0].component] if v.trace.has_map else [])


def test_the_edit_and_the_place_in_words(seen: Seen) -> None:
    bench, v = seen
    told = settings(bench.setup, v)
    place = bench.setup.clip.place
    assert told["Place"].startswith(place.words(4))
    assert ("2 of 16 patches" in told["Edit"]) == v.trace.has_map
    assert "tokens" not in told["Edit"]
    assert ("class token" in told["Place"]) is False
    reads = text(str(setup_page(bench.setup)))
    assert place.tokens_words(bench.card.scope).only in reads
    assert ("sigmoid" in reads) == bench.setup.clip.scoring.per_class


def test_what_probabilities_are_is_said(seen: Seen) -> None:
    bench, v = seen
    per_class = bench.setup.clip.scoring.per_class
    assert ("of each class alone: the sigmoid" in text(str(compare.chart(v)))) == per_class
    assert ("Softmax over these classes" in text(str(compare.table(v)))) == per_class
    without = session.change(bench, v, Edit())
    assert ("by a sigmoid" in text(str(prediction.prediction(without)))) == per_class


def test_a_report_figures_and_two_side_by_side_are_whole(seen: Seen) -> None:
    bench, v = seen
    missed = bench.reconstruction_error(v.trace, v.classes, v.templates)
    whole = report(bench.setup, v, state_of(bench, v), EditEvidence(missed), {})
    assert ("of the squared length" in whole) == (missed.cls_share is not None)
    assert ("at the image embedding" in whole) != v.trace.has_map
    assert ("where in this picture it acts" in whole) == v.trace.has_map
    figure = picture_and_maps(v, {}, "settings")
    assert ("no map" in figure.caption) != v.trace.has_map
    assert ("CLS" in figure.caption) == v.trace.class_token
    assert figure_file(figure, "png", "one")[:4] == b"\x89PNG"
    side = SideView(v, v.trace, v.attribution, "T")
    Reader(str(pair(side, side)))
    Reader(str(evidence.edit_words(v, "{}")))
    Reader(str(evidence.reconstruction_error(missed, v.trace.has_map)))
