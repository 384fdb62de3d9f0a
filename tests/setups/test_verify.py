"""The verification of published setups, rehearsed: from the command through a Hub on this machine to the marks.

No run has reached the real Hub. Here it has one good entry, one whose file was moved, one whose file changes, and one
whose figures are not those published. Their CLIPs have random weights and know no photograph: the truth of the pictures
that they are checked on is what they say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from shutil import copytree
from typing import Any

import published_saes
import pytest
import torch
from conftest import WIDTH, exact_sae, tokenizer_of
from fake_hub import Hub, Misbehave, serve
from published_saes import write_prisma
from published_tokenizer import CONTEXT, published_merges, vocabulary
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

from core.errors import UserError
from core.model.clip import text_classifier
from core.model.places import ResidualStream
from core.model.prompts import TEMPLATES
from core.pictures.cue_pairs import planned_cues
from core.pictures.photographs import photographs
from core.pictures.read import read_picture
from core.setups import cue_trial, verification, verify
from core.setups.catalog import CATALOG, Location, SetupSpec, read_catalog
from core.setups.clips import read_clip
from core.setups.health_check import ProbeSet, Sample
from core.setups.hub import NotHere, hashes, list_files
from core.setups.loading import Tell
from core.setups.published_tokens import END, PUBLISHED, START
from core.setups.verified import (
    FILE_NAME,
    Expected,
    GoldenLogits,
    Verification,
    read_verified,
    write_verified,
)

LAYER = 1


def entry(name: str, clip: str, active: int) -> str:
    return f"""
[[setup]]
name = "{name}"
title = "The {name} one"
clip = {{ repo = "{clip}" }}
dictionary = {{ repo = "a/{name}" }}
layout = "prisma"
layer = {LAYER}
scope = "all"
licence = "MIT"
note = "For tests."
published = {{ explained_variance = 0.98, active_per_token = {active}, source = "its page" }}
"""


@pytest.fixture(scope="module")
def openai_folder(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny CLIP behind OpenAI's vocabulary."""
    folder = tmp_path_factory.mktemp("openai")
    config = CLIPConfig.from_pretrained(clip_folder)
    text: Any = config.text_config
    text.vocab_size, text.max_position_embeddings = len(vocabulary()), CONTEXT
    text.bos_token_id, text.eos_token_id, text.pad_token_id = START, END, END
    torch.manual_seed(0)
    model = CLIPModel(config)
    tiny = CLIPModel.from_pretrained(clip_folder)
    model.vision_model.load_state_dict(tiny.vision_model.state_dict())
    model.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    words = tokenizer_of(vocabulary(), published_merges(), CONTEXT)
    CLIPProcessor(image_processor=processor, tokenizer=words).save_pretrained(folder)
    return folder


def write_exact(root: Path) -> Path:
    """A dictionary in Prisma's layout that misses nothing of the tiny CLIP's residual."""
    root.mkdir(parents=True)
    sae = exact_sae(WIDTH)
    weights = {
        (WIDTH, 2 * WIDTH): sae.W_enc.data,
        (2 * WIDTH,): torch.zeros(2 * WIDTH),
        (2 * WIDTH, WIDTH): sae.W_dec.data,
        (WIDTH,): torch.zeros(WIDTH),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_saes, "numbers", lambda *shape, seed=0: weights[shape])
        write_prisma(root, WIDTH, 2 * WIDTH, {"hook_point_layer": LAYER})
    return root


@dataclass(frozen=True)
class Rehearsal:
    """A Hub with four entries, and the catalog of them."""

    hub: Hub
    catalog: Path

    @property
    def record(self) -> Path:
        return self.catalog.with_name(FILE_NAME)

    def run(self, *words: str) -> int:
        """The command's exit status."""
        with pytest.raises(SystemExit) as ended:
            verify.main(["--catalog", str(self.catalog), *words])
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture(scope="module")
def rehearsal(clip_folder: Path, openai_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    root = tmp_path_factory.mktemp("hub")
    catalog = root / "catalog.toml"
    names = ("good", "moved", "changed", "far")
    clips = {"a/openai": openai_folder, "a/clip": clip_folder}
    tables = [entry(name, list(clips)[name != "good"], 500 if name == "far" else WIDTH) for name in names]
    catalog.write_text("".join(tables))
    published = {f"a/{name}": write_exact(root / name) for name in names}
    (published["a/moved"] / "weights.pt").rename(published["a/moved"] / "elsewhere.bin")
    with (
        serve({**clips, **published}) as hub,
        pytest.MonkeyPatch.context() as patch,
    ):
        hub.attach(patch, root / "cache")
        for module in ("core.setups.loading", "core.setups.verification"):
            patch.setattr(f"{module}.probe_for", lambda spec: probe(clips[spec.clip.repo]))
        patch.setattr(cue_trial, "planned_cues", lambda each: planned_cues(1)[:9])
        yield Rehearsal(hub, catalog)


@cache
def probe(folder: Path) -> ProbeSet:
    """Some photographs, called what the tiny CLIP says."""
    clip = read_clip(folder, ResidualStream(LAYER))
    samples = []
    for photograph in photographs()[:4]:
        picture = read_picture(photograph.path)
        residual = clip.residual(clip.pixels(clip.crop(picture)[None]))
        classifier = text_classifier(clip, photograph.classes, TEMPLATES["single"])
        said = int((clip.embed_from_residual(residual) @ classifier.T).argmax())
        samples.append(Sample(picture, photograph.classes, photograph.classes[said]))
    return ProbeSet("photographs", tuple(samples))


def test_one_is_good_and_one_was_moved_one_is_far_from_its_figures(
    rehearsal: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert rehearsal.run() == 1
    told = capsys.readouterr().out
    assert "Not good: moved, far." in told
    found = read_verified(rehearsal.record)
    assert {name: one.outcome for name, one in found.items()} == {
        "good": "good",
        "moved": "failed",
        "changed": "good",
        "far": "failed",
    }
    assert "lacks *.pt. It holds config.json, elsewhere.bin." in found["moved"].reason
    assert found["moved"].figures == ()
    assert found["far"].reason.startswith("32 components are active at a token here; 500 are published.")
    assert len(found["far"].figures) > 8, "what was found by then"
    assert found["far"].levers is None, "one that failed is not tried any further"
    cards = read_catalog(rehearsal.catalog)
    assert [name for name, card in cards.items() if card.verified] == ["good", "changed"]

    good = found["good"]
    assert before < good.date < datetime.now(UTC) + timedelta(seconds=1)
    assert good.commits == {"clip": rehearsal.hub.commit("a/openai"), "dictionary": rehearsal.hub.commit("a/good")}
    assert good.published_tokens == len(PUBLISHED)
    assert found["changed"].published_tokens == 0, "another vocabulary"
    assert good.software["torch"] == torch.__version__
    explained = next(figure for figure in good.figures if figure.label == "Explained variance")
    assert explained.ours == pytest.approx(100, abs=0.1)
    assert explained.published == 98
    assert good.golden is not None
    assert len(good.golden.truth) == 4
    assert good.levers is not None
    assert good.levers.pairs == 9
    assert not good.levers.levers_work, "random weights"
    assert "a/good: weights.pt" in good.hashes
    assert "a/openai: model.safetensors" in good.hashes


def test_what_is_published_anew_takes_the_mark_away_until_somebody_has_looked(
    rehearsal: Rehearsal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = read_verified(rehearsal.record)
    other = tmp_path / "other"
    copytree(rehearsal.hub.repositories["a/changed"]["main"], other)
    weights = torch.load(other / "weights.pt", weights_only=True)
    weights["b_enc"] += 1e-6
    torch.save(weights, other / "weights.pt")
    rehearsal.hub.repositories["a/changed"]["main"] = other
    for _ in range(2):  # what it is held to outlives a run that failed
        assert rehearsal.run("changed") == 1
        assert "Not good: changed." in capsys.readouterr().out
        found = read_verified(rehearsal.record)
        assert found["changed"].reason.startswith("a/changed: weights.pt has changed since it was verified on 20")
        assert not read_catalog(rehearsal.catalog)["changed"].verified
        assert {name: one for name, one in found.items() if name != "changed"} == {
            name: one for name, one in kept.items() if name != "changed"
        }
    text = rehearsal.catalog.read_text()
    pinned = f'repo = "a/changed", revision = "{rehearsal.hub.commit("a/changed")}"'
    rehearsal.catalog.write_text(text.replace('repo = "a/changed"', pinned))
    assert read_catalog(rehearsal.catalog)["changed"].verification is None, "described otherwise"
    assert rehearsal.run("changed") == 0
    assert read_catalog(rehearsal.catalog)["changed"].verified


def test_where_the_hub_is_out_of_order_records_stay_and_copies_are_no_proof(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rehearsal.record.read_bytes()
    monkeypatch.setattr(rehearsal.hub, "misbehave", Misbehave(status=503))
    assert rehearsal.run("good") == 1
    assert "not verified: The Hugging Face Hub is out of order (HTTP 503)" in capsys.readouterr().out
    assert rehearsal.record.read_bytes() == before


def test_a_file_that_is_not_as_stated_is_told(rehearsal: Rehearsal) -> None:
    listing = list_files(Location(repo="a/good"))
    patterns = ("weights.pt", "config.json")
    assert hashes(listing, patterns).keys() == set(patterns)
    path = (listing.folder / "weights.pt").resolve()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="“weights.pt” of a/good is not what the Hub states"):
        hashes(listing, patterns)
    path.write_bytes(content)


# ---- the order of a run, which stops and goes on: with a verification that is made up


NOW = datetime.now(UTC).replace(microsecond=0)


def recorded(card: SetupSpec, hours: float = 0.0, **more: object) -> Verification:
    return replace(Verification(card.stated, NOW - timedelta(hours=hours), {"torch": "2"}, "good"), **more)  # type: ignore[arg-type]


@dataclass
class Runs:
    """A catalog without files, and which of its setups were asked for."""

    catalog: Path
    asked: list[str]

    def made_up(self, card: SetupSpec, tell: Tell) -> Verification:
        self.asked.append(card.name)
        return recorded(card)

    def run(self, *words: str) -> object:
        self.asked.clear()
        with pytest.raises(SystemExit) as ended:
            verify.main(["--catalog", str(self.catalog), *words])
        return ended.value.code

    @property
    def record(self) -> Path:
        return self.catalog.with_name(FILE_NAME)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """`new` and `newer` have no record, `old` has one of two days ago, `fresh` one of an hour ago."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text("".join(entry(name, "a/clip", 5) for name in ("fresh", "old", "new", "newer")))
    cards = read_catalog(catalog)
    write_verified(
        catalog.with_name(FILE_NAME), {"fresh": recorded(cards["fresh"], 1), "old": recorded(cards["old"], 48)}
    )
    made = Runs(catalog, [])
    monkeypatch.setattr(verify, "verify", made.made_up)
    return made


def test_what_is_least_known_comes_first_and_what_is_fresh_is_left_out(runs: Runs) -> None:
    assert runs.run() == 0
    assert runs.asked == ["new", "newer", "old"]
    assert runs.run() == 0
    assert runs.asked == [], "all are fresh now"
    assert runs.run("fresh") == 0
    assert runs.asked == ["fresh"], "named"
    assert runs.run("--minutes", "-1", "fresh") == 0
    assert runs.asked == []
    assert runs.run("none") == "There is no setup “none”. Choose one of: fresh, old, new, newer."


def test_a_run_that_is_stopped_goes_on_with_the_rest(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped_at_the_second(card: SetupSpec, tell: Tell) -> Verification:
        if card.name == "newer":
            raise KeyboardInterrupt
        return runs.made_up(card, tell)

    monkeypatch.setattr(verify, "verify", stopped_at_the_second)
    assert runs.run() == 130
    assert set(read_verified(runs.record)) == {"fresh", "old", "new"}
    monkeypatch.setattr(verify, "verify", runs.made_up)
    assert runs.run() == 0
    assert runs.asked == ["newer", "old"]


def test_one_that_fails_does_not_stop_the_rest(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of ours is a reason as well; what is no fault of the setup leaves its record as it was."""
    steps = {"new": RuntimeError("a bug"), "newer": NotHere("The disk is full."), "old": MemoryError()}

    def broken(card: SetupSpec, found: Verification, tell: Tell) -> Iterator[Verification]:
        yield replace(found, device="cpu")
        raise steps[card.name]

    monkeypatch.setattr(verification, "_steps", broken)
    monkeypatch.setattr(verify, "verify", verification.verify)
    before = read_verified(runs.record)
    assert runs.run() == 1
    after = read_verified(runs.record)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"new"}
    assert (after["new"].outcome, after["new"].device) == ("failed", "cpu")
    assert after["new"].reason == "It could not be verified (RuntimeError: a bug). The log says where."
    told = capsys.readouterr().out
    assert "not verified: The disk is full." in told
    assert "not verified: There is not enough memory" in told


# ---- the shipped record


def test_the_shipped_record_is_of_the_shipped_weights() -> None:
    """Whoever trains them anew runs `python -m core.setups.verify bundled`."""
    card = read_catalog()["bundled"]
    found = card.verification
    assert found is not None
    assert card.verified
    for part, place in ((found.clip, card.clip), (found.dictionary, card.dictionary)):
        assert part is not None
        assert part.hashes == hashes(list_files(place), tuple(part.hashes))
    assert found.levers is not None
    assert found.levers.levers_work
    readme = Path(verify.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert verify.levers_table(found.levers) in readme
    assert set(read_verified(CATALOG.with_name(FILE_NAME))) <= set(read_catalog())


# ---- golden values


def golden(pictures: str, *truth: float) -> GoldenLogits:
    return GoldenLogits(pictures, truth)


def test_logits_are_those_of_the_last_good_run_and_of_other_pictures_nothing_is_compared() -> None:
    expected = Expected(NOW, {}, golden("a", 25.0, 20.0))
    verification._same_logits(golden("a", 25.0 + verification.TOLERANCE / 2, 20.0), expected)
    verification._same_logits(golden("b", 1.0), expected)
    for other in (golden("a", 25.0, 20.2), golden("a", float("nan"), 20.0)):
        with pytest.raises(UserError, match=f"away from those of {NOW:%Y-%m-%d}, with the same files"):
            verification._same_logits(other, expected)


def test_a_tokenizer_of_openai_s_vocabulary_gives_the_published_ids(openai_folder: Path) -> None:
    clip = read_clip(openai_folder, ResidualStream(LAYER))
    assert verification._published_tokens(clip) == len(PUBLISHED)
    clip.tokenizer.add_tokens(["photo"])
    with pytest.raises(UserError, match="“a photo of a cat” other token ids than are published"):
        verification._published_tokens(clip)
