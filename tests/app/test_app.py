"""The app through its endpoints: right answers, and a sentence for every bad input."""

import struct
import zlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from core.concepts.component import Kind
from core.methods.steering import Edit
from core.model.prompts import TEMPLATES
from core.setups.catalog import SetupSpec
from core.setups.loading import load
from core.views.report_words import ceiling_words, read_report, repair_words
from core.workbench import Workbench

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
DOG = EXAMPLES / "dog-note-cat.webp"
CLASSES = ("dog", "cat", "fox")
SINGLE = TEMPLATES["single"]

ARGUMENTS = {"predict": 2, "attribute": 5, "steer": 5}
"""How many each endpoint takes besides the picture; the last is the setup."""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(client: Client) -> Ask:
    def ask(name: str, picture: Path | None, *more: Any) -> Any:
        if name == "steer" and len(more) < ARGUMENTS[name]:
            more += (None,) * (4 - len(more))
        more += ("",) * (ARGUMENTS[name] - len(more))
        return client.predict(None if picture is None else handle_file(picture), *more, api_name=f"/{name}")

    return ask


def complaint(ask: Ask, *question: Any) -> str:
    with pytest.raises(AppError) as caught:
        ask(*question)
    return str(caught.value)


def test_predict(ask: Ask, bundled: Workbench) -> None:
    said = ask("predict", DOG, "dog, cat, fox")
    expected = bundled.classify(bundled.open(DOG), CLASSES, SINGLE)
    assert said["classes"] == list(CLASSES)
    assert said["best"] == expected.best
    np.testing.assert_allclose(said["logits"], expected.logits, atol=1e-4)
    assert sum(said["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_attribute(ask: Ask) -> None:
    said = ask("attribute", DOG, "dog, cat, fox", "cat", "dog", 4)
    assert (said["wanted"], said["against"]) == ("cat", "dog")
    assert 0 < len(said["for"]) <= 4
    assert 0 <= said["error_share"] <= 1
    strength = [c["contribution"] for c in said["for"]]
    assert strength == sorted(strength, reverse=True)
    assert strength[-1] > 0
    assert all(c["contribution"] < 0 for c in said["against_it"])


def test_steer(ask: Ask, bundled: Workbench) -> None:
    trace = bundled.open(DOG)
    component = int(trace.activations.components()[0])
    said = ask("steer", DOG, "dog, cat, fox", [{"component": component}], None)
    expected = bundled.compare(trace, Edit.of_suppressed([component]), CLASSES, SINGLE)
    np.testing.assert_allclose(said["after"]["logits"], expected.after.logits, atol=1e-4)
    nothing = ask("steer", DOG, "dog, cat, fox", [], None)
    assert nothing["before"] == nothing["after"]
    assert not nothing["flipped"]


def test_answers_say_how_the_classes_were_read(ask: Ask) -> None:
    assert ask("predict", DOG, "dog\ncat")["notes"] == []
    more: dict[str, tuple[object, ...]] = {"predict": (), "steer": ([], None), "attribute": ("", "", 2)}
    for question, values in more.items():
        (note,) = ask(question, DOG, "dog, cat", *values)["notes"]
        assert "commas separate" in note


def test_component(client: Client, bundled: Workbench) -> None:
    number = bundled.matches_words("dog", 1)[0].component
    said = client.predict(number, "dog, cat", 16, "", api_name="/component")
    concept, pushed = bundled.concept(number), bundled.steering_effects(number, ("dog", "cat"), SINGLE)
    assert [guess["word"] for guess in said["guesses"]] == [guess.word for guess in concept.guesses]
    assert (said["clarity"], said["frequency"]) == (concept.clarity, concept.frequency)
    choices: dict[str, Kind] = {"strongest": "top", "usual": "mid", "by_mean": "mean"}
    for kind, choice in choices.items():
        expected = bundled.activating_examples(number, choice, 16)
        assert [b64decode(one["picture"]) for one in said["references"][kind]] == [example.webp for example in expected]
        assert Image.open(BytesIO(b64decode(said["references"][kind][0]["picture"]))).format == "WEBP"
    np.testing.assert_allclose(said["pushes"]["on_a_grey_picture"], pushed.on_blank, atol=1e-4)
    family = bundled.family(number)
    assert said["family"] == ([number] if family is None else list(family.members))
    assert "pushes" not in client.predict(number, api_name="/component")
    with pytest.raises(AppError, match="no component 123456"):
        client.predict(123_456, api_name="/component")


def test_search(client: Client, bundled: Workbench) -> None:
    by_words = client.predict("the word dog", None, 5, "", api_name="/search")
    expected = bundled.matches_words("the word dog", 5)
    assert [one["component"] for one in by_words["found"]] == [match.component for match in expected]
    by_picture = client.predict("", handle_file(DOG), 5, "", api_name="/search")
    expected = bundled.matches_picture(bundled.open(DOG).embedding, 5)
    assert [one["component"] for one in by_picture["found"]] == [match.component for match in expected]
    with pytest.raises(AppError, match="no picture"):
        client.predict(" ", None, 5, "", api_name="/search")


def test_without_an_index_the_page_says_how_to_build_one(client: Client) -> None:
    for question, api_name in (((3, "", 4, "tiny"), "/component"), (("dog", None, 5, "tiny"), "/search")):
        with pytest.raises(AppError, match="python -m core.indexing"):
            client.predict(*question, api_name=api_name)


def test_every_answer_names_the_setup_it_came_from(ask: Ask, client: Client) -> None:
    for name in ("", "bundled", "tiny"):
        for question in (("predict", DOG, "dog, cat"), ("attribute", DOG, "dog, cat", "cat", "dog", 2)):
            more = [*question, *[""] * (ARGUMENTS[question[0]] + 1 - len(question)), name]
            said = ask(*more)["setup"]
            assert said["name"] == (name or "bundled")
            assert "formula" in said
            assert "commits" in said
            assert len(said["fingerprint"]) == 64
            assert "torch" in said["software"]
            assert (said["index"] is None) == (name == "tiny")
    offered = client.predict(api_name="/setups")
    assert [setup["name"] for setup in offered] == ["bundled", "tiny", "random", "lost", "words"]
    assert {setup["name"] for setup in offered if setup["loaded"]} == {"bundled", "tiny"}
    assert "/" not in offered[1]["clip"], "where a folder lies is nobody's business"


@pytest.mark.parametrize(
    ("setup", "words"), [("nosuch", "bundled, tiny"), ("lost", "nowhere"), ("random", "of the variance")]
)
def test_a_setup_that_cannot_be_used_gets_a_sentence(ask: Ask, setup: str, words: str) -> None:
    assert words in complaint(ask, "predict", DOG, "dog, cat", setup).lower()


def test_visitors_on_different_pictures_and_setups_do_not_meet(
    address: str, cards: Mapping[str, SetupSpec], bundled: Workbench
) -> None:
    """Eight at once, four times over, each with a picture, classes and a setup of its own."""
    pictures = sorted(EXAMPLES.glob("*.webp"))[:8]
    benches = {"bundled": bundled, "tiny": Workbench(load(cards["tiny"]))}

    def visitor(k: int) -> None:
        client = Client(address, verbose=False)
        for turn in range(4):
            picture, name = pictures[(k + turn) % 8], ("bundled", "tiny")[(k + turn // 2) % 2]
            classes = (f"dog {k}", "cat", f"fox {turn}")
            said = client.predict(handle_file(picture), ",".join(classes), name, api_name="/predict")
            bench = benches[name]
            expected = bench.classify(bench.open(picture), classes, SINGLE)
            assert said["setup"]["name"] == name
            assert said["classes"] == list(classes)
            np.testing.assert_allclose(said["logits"], expected.logits, atol=1e-4)

    with ThreadPoolExecutor(8) as visitors:
        list(visitors.map(visitor, range(8)))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("", "no classes"),
        (" ,\n, ", "no classes"),
        (",".join(f"thing {k}" for k in range(2500)), "2,500"),
        ("x" * 10_000, "10,000"),
    ],
)
def test_bad_classes_get_a_sentence(ask: Ask, classes: str, words: str) -> None:
    assert words in complaint(ask, "predict", DOG, classes)


@pytest.mark.parametrize("classes", ["dog", "dog, Dog, DOG"])
def test_one_class_and_duplicates_are_answered(ask: Ask, classes: str) -> None:
    assert ask("predict", DOG, classes)["probabilities"] == [1.0]


def test_markup_in_a_class_is_text(ask: Ask) -> None:
    assert ask("predict", DOG, "<b>dog</b>\n{}{0}\ncat")["classes"] == ["<b>dog</b>", "{}{0}", "cat"]


def test_no_picture(ask: Ask) -> None:
    assert "no picture" in complaint(ask, "predict", None, "dog, cat")


def huge_png(path: Path) -> Path:
    """A PNG of 200 megapixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_bad_pictures_get_a_sentence(ask: Ask, tmp_path: Path) -> None:
    pdf, broken = tmp_path / "pdf.png", tmp_path / "broken.png"
    pdf.write_bytes(b"%PDF-1.7\n" + b"x" * 500)
    Image.open(DOG).save(broken)
    broken.write_bytes(broken.read_bytes()[:3000])
    assert "PDF" in complaint(ask, "predict", pdf, "dog, cat")
    assert "damaged" in complaint(ask, "predict", broken, "dog, cat")
    assert "megapixels" in complaint(ask, "predict", huge_png(tmp_path / "huge.png"), "dog, cat")


def test_unusual_pictures_are_read(ask: Ask, tmp_path: Path) -> None:
    picture = Image.open(DOG).convert("RGB")
    frames = [picture.convert("P"), picture.rotate(90).convert("P")]
    frames[0].save(tmp_path / "animated.gif", save_all=True, append_images=frames[1:])
    picture.convert("RGBA").save(tmp_path / "transparent.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "sixteen.png")
    for name in ("animated.gif", "transparent.png", "cmyk.jpg", "sixteen.png"):
        assert len(ask("predict", tmp_path / name, "dog, cat")["logits"]) == 2


@pytest.mark.parametrize(
    ("levers", "tokens"),
    [
        ([{"component": 1, "operation": "scale", "strength": "nan"}], None),
        ([{"component": 1, "operation": "set", "strength": 1e9}], None),
        ([{"component": 10**6}], None),
        ([{"component": 1}, {"component": 1}], None),
        ([{"component": 1, "operation": "explode"}], None),
        ("suppress 1", None),
        ([{"component": 1}], [100_000]),
        ([{"component": 1}], ["x"]),
        ([{"component": 1, "at_least": 1e9}], None),
    ],
)
def test_bad_edits_get_a_sentence(ask: Ask, levers: Any, tokens: Any) -> None:
    words = complaint(ask, "steer", DOG, "dog, cat", levers, tokens)
    assert words.endswith((".", "]"))
    assert "Traceback" not in words
    assert "upstream" not in words


def test_targets_that_are_not_there(ask: Ask) -> None:
    assert "not among the classes" in complaint(ask, "attribute", DOG, "dog, cat", "horse", "", 5)
    assert "itself" in complaint(ask, "attribute", DOG, "dog, cat", "cat", "cat", 5)


def test_the_chosen_example_says_how_often_it_works(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert repair_words(read_report(report)) == ""
    report.write_text('{"levers": {"attacked": {"off_the_lure": {"1": 0.714}, "back_to_truth": {"1": 0.5}}}}')
    assert "71 %" in repair_words(read_report(report))
    assert "50 %" in repair_words(read_report(report))
    report.write_text("{}")
    assert repair_words(read_report(report)) == ""


def test_the_repaired_share_stands_beside_its_ceiling() -> None:
    found = {
        "fooled_pictures": 477, "ceiling_removing_the_cue": 0.985, "back_to_truth_with_at_most_5": 0.596,
    }  # fmt: skip
    said = ceiling_words({"attacked": found}, "note")
    assert "477" in said
    assert "98 %" in said
    assert "60 %" in said
    assert ceiling_words({}, "note") == ""
