"""The Many pictures tab: what an edit does to a set, what is behind its failures, and pictures of it in sight."""

import html
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import datasets
import gradio as gr
import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta

from core.errors import UserError
from core.hashing import drawn_order
from core.methods.failures import Confusion, Findings
from core.methods.generalization import Generalization
from core.methods.picture_set import PictureSet
from core.methods.steering import Edit, Lever
from core.model.prompts import TEMPLATES
from core.model.sae_clip import BATCH
from core.page import many_tab
from core.page.context import Context
from core.page.many_tab import (
    LABELS,
    NAME,
    NOTHING,
    PAGE,
    Drawn,
    ManyParts,
    ManyTab,
    choose,
    claim,
    explain,
    follow,
    open_picture,
    read,
    stop,
    use,
)
from core.page.picture_sets import ChosenSet, choices, chosen, halt
from core.page.wire import ClaimUnseen, ExplainConfusion, OpenPicture, OpenTab
from core.pictures.batches import Batch, batches
from core.pictures.examples import FOLDER as EXAMPLES
from core.pictures.examples import asked_classes
from core.session import visit as session
from core.session.cancellation import LatestOnly
from core.session.many_pictures import INDEX, OWN, PHOTOGRAPHS, BegunTrial, OwnPictures, OwnSet
from core.session.view_state import ViewState, restored, state_of
from core.session.visit import Visit
from core.views.frame import stopped

SINGLE = TEMPLATES["single"]
NOTE = 99
"""A component that reads notes: suppressing it fixes some pictures, and breaks few."""


def here(moment: float = 1.0) -> OpenTab:
    return OpenTab(tab=NAME, moment=moment)


def followed(
    context: Context,
    v: Visit,
    drawn: Drawn = NOTHING,
    own: OwnPictures | None = None,
    begun: BegunTrial | None = None,
) -> ManyParts:
    """What stands there in the end."""
    parts: ManyParts = {}
    for step in follow(
        context, v, here(), drawn, own or OwnPictures(), LatestOnly(), LatestOnly(), begun or BegunTrial()
    ):
        parts |= step
    return parts


@pytest.fixture(scope="module")
def scenes(context: Context, first: Visit) -> PictureSet:
    *_, found = chosen(context.bench(first), first, OwnPictures())
    assert isinstance(found, ChosenSet)
    return found.pictures


@pytest.fixture(scope="module")
def pulled(context: Context, first: Visit) -> Visit:
    return session.change(context.bench(first), first, Edit.of_suppressed([NOTE]))


@pytest.fixture
def own(scenes: PictureSet) -> OwnPictures:
    """Some pictures that a visitor brought: the first two have no label."""
    some = scenes.part(range(20))
    truth = some.truth.copy()
    truth[:2] = -1
    return OwnPictures(OwnSet("<holiday>.zip", "bundled", replace(some, truth=truth)))


def test_every_part_has_a_place() -> None:
    assert ManyParts.__annotations__.keys() <= ManyTab.__annotations__.keys()


def test_without_an_edit_it_shows_where_the_model_is_right(context: Context, first: Visit, scenes: PictureSet) -> None:
    parts = followed(context, first)
    assert "No lever yet" in parts["tried"]
    assert "data-picture" not in parts["tried"]
    right = int((scenes.said == scenes.truth).sum())
    assert f"300 scenes rendered by this project; 40 classes; {right} right" in parts["about"]


def test_as_many_labels_as_a_picture_is_asked_about_are_its_classes(
    context: Context, first: Visit, scenes: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand, which are read first: how far that is, is told, with a stop."""
    monkeypatch.setattr("core.page.picture_sets.QUICK", -1)
    some, letters = scenes.part(np.arange(2000) % 20), "abcdefghijklmnopqrstuvwxyz"
    names = tuple(f"label {a}{b}{c}" for a in letters[:3] for b in letters for c in letters)[:2000]
    held = OwnPictures(OwnSet("mine", "bundled", replace(some, labels=names)))
    v = replace(first, many=replace(first.many, which=OWN))
    *told, found = chosen(context.bench(v), v, held, stops=True)
    assert isinstance(found, ChosenSet)
    assert found.pictures.classes == names
    assert found.pictures.truth.tolist() == list(range(2000))
    assert "Reading the classes (once)" in str(told[0])
    assert "data-halt" in str(told[0])


def test_an_edit_fixes_and_breaks(context: Context, pulled: Visit, scenes: PictureSet) -> None:
    """Against the model itself, picture by picture."""
    bench, parts = context.bench(pulled), followed(context, pulled)
    after = [
        bench.compare(trace, pulled.edit, scenes.classes, TEMPLATES["single"]).after.top for trace in scenes.traces
    ]
    right, now_right = scenes.said == scenes.truth, np.array(after) == scenes.truth
    fixed, broken = int((~right & now_right).sum()), int((right & ~now_right).sum())
    assert fixed > broken > 0
    assert f"Fixes {fixed} of {int((~right).sum())} pictures" in parts["tried"]
    assert f"breaks {broken} of {int(right.sum())}" in parts["tried"]
    named = [html.unescape(name) for name in re.findall('data-picture="([^"]*)"', parts["tried"])]
    turned = {scenes.names[i] for i in np.flatnonzero(right != now_right)}
    assert set(named) == turned
    strips = sum(int(n) for n in re.findall(r"▲ (\d+)", parts["tried"]))
    assert strips == fixed, "each class counts its own"


def test_bounds_stand_with_an_edit_that_these_pictures_did_not_choose(
    context: Context, pulled: Visit, scenes: PictureSet
) -> None:
    """Both sentences are on the page; which is seen follows from what was said of this edit on these pictures."""
    pulled = choose(context, pulled, "attacked", LABELS, "", OwnPictures())
    scenes = scenes.part(np.flatnonzero(scenes.group == "attacked"))
    shown = followed(context, pulled)["tried"]
    assert 'data-claimed="false"' in shown
    assert "these pictures were used to find it" in shown
    *_, trial = context.bench(pulled).try_edit(scenes, pulled.edit, TEMPLATES["single"])
    assert isinstance(trial, Generalization)
    c = trial.counts
    fixed = beta.ppf(0.05, c.fixed, c.wrong - c.fixed + 1)
    broken = beta.ppf(0.95, c.broken + 1, c.right - c.broken)
    assert f"fixes at least {100 * fixed:.1f} % of those that are wrong" in shown
    assert f"breaks at most {100 * broken:.1f} % of those that are right" in shown
    (trial_name,) = re.findall('data-trial="([^"]*)"', shown)
    v = claim(context, pulled, ClaimUnseen(trial=trial_name, on=True))
    assert 'data-claimed="true"' in followed(context, v)["tried"]
    tuned = session.change(context.bench(v), v, Edit((Lever(NOTE, "scale", 0.5),)))
    for other in (tuned, choose(context, v, "stamped", LABELS, "", OwnPictures())):
        assert 'data-claimed="false"' in followed(context, other)["tried"], "that was said of something else"
    back = claim(context, v, ClaimUnseen(trial=trial_name, on=False))
    assert 'data-claimed="false"' in followed(context, back)["tried"]


def test_a_kind_of_scenes(context: Context, pulled: Visit, scenes: PictureSet) -> None:
    parts = followed(context, choose(context, pulled, "attacked", LABELS, "", OwnPictures()))
    n = int((scenes.group == "attacked").sum())
    assert f"{n} scenes" in parts["about"]
    with pytest.raises(UserError, match="no such pictures"):
        choose(context, pulled, "nowhere", LABELS, "", OwnPictures())
    assert choose(context, pulled, None, LABELS, "", OwnPictures()) is pulled, "all of them, as before"


def test_a_picture_opens_with_the_edit_in_place(context: Context, pulled: Visit, scenes: PictureSet) -> None:
    v = session.change(context.bench(pulled), pulled, pulled.edit.among((0, 1, 2)))
    name = re.findall('data-picture="([^"]*)"', followed(context, v)["tried"])[0]
    i = scenes.names.index(name)
    opened = open_picture(context, v, OpenPicture(picture=name), OwnPictures())
    assert np.array_equal(opened.trace.crop, scenes.traces[i].crop)
    assert (opened.comparison.before.top, opened.comparison.after.top) == (scenes.said[i], scenes.truth[i])
    assert (opened.classes, opened.truth) == (scenes.classes, scenes.truth[i])
    assert opened.edit == pulled.edit, "on all tokens, as the set was tried: its patches are those of another picture"
    assert opened.revision > v.revision
    assert session.undo(context.bench(v), opened).edit == v.edit
    with pytest.raises(UserError, match="not in this set"):
        open_picture(context, v, OpenPicture(picture="elsewhere"), OwnPictures())


def test_it_is_worked_out_once_and_in_sight_alone(context: Context, pulled: Visit) -> None:
    drawn = followed(context, pulled)["drawn"]
    assert followed(context, pulled, drawn) == {}
    out_of_sight = OpenTab(tab="Evidence", moment=2.0)
    assert (
        list(follow(context, pulled, out_of_sight, NOTHING, OwnPictures(), LatestOnly(), LatestOnly(), BegunTrial()))
        == []
    )
    without = session.change(context.bench(pulled), pulled, Edit())
    assert "No lever yet" in followed(context, without, drawn)["tried"]


def test_another_question_ends_it(context: Context, pulled: Visit) -> None:
    latest = LatestOnly[None]()

    def asking(opened: OpenTab) -> Iterator[ManyParts]:
        return follow(context, pulled, opened, NOTHING, OwnPictures(), latest, LatestOnly(), BegunTrial())

    asked = asking(here(5.0))
    next(asked)
    assert list(asking(OpenTab(tab="Steering", moment=6.0))) == []
    assert list(asked) == []
    assert list(asking(here(4.0))) == [], "asked for earlier"


def test_a_long_trial_tells_how_far_it_is_and_is_stopped_and_goes_on(
    context: Context, pulled: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_tab, "QUICK", 0.0)
    attacked = choose(context, pulled, "attacked", LABELS, "", OwnPictures())
    v = explain(context, attacked, ExplainConfusion(truth="", said="", on=True))
    stops, before = LatestOnly[None](), followed(context, attacked)
    asked = follow(context, v, here(), before["drawn"], OwnPictures(), LatestOnly(), stops, BegunTrial())
    next(asked)
    assert "data-halt" in next(asked)["failures"]
    assert halt(context, v, stops) is v
    assert list(asked) == [{"failures": stopped()}], "the trial stands there still, as what was chosen does"
    other = session.change(context.bench(v), v, Edit.of_suppressed([36]))
    asked = follow(context, other, here(), before["drawn"], OwnPictures(), LatestOnly(), stops, BegunTrial())
    next(asked)
    assert "The same edit on these pictures" in next(asked)["tried"]
    halt(context, other, stops)
    (last,) = asked
    assert "Stopped after" in last["tried"]
    assert "data-resume" in stopped()
    again = followed(context, other, before["drawn"])
    assert "strips" in again["tried"]
    assert "Behind everything" in again["failures"]


def test_a_trial_that_is_stopped_shows_what_it_is_so_far_and_goes_on_from_there(
    context: Context, pulled: Visit, scenes: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_tab, "QUICK", 0.0)
    stops, begun, bench = LatestOnly[None](), BegunTrial(), context.bench(pulled)
    asked = follow(context, pulled, here(), NOTHING, OwnPictures(), LatestOnly(), stops, begun)
    while begun.so_far is None or not len(begun.so_far):
        next(asked)
    halt(context, pulled, stops)
    (last,) = asked
    *_, trial = bench.try_edit(scenes.part(drawn_order(scenes.names)[: len(begun.so_far)]), pulled.edit, SINGLE)
    assert isinstance(trial, Generalization)
    assert 0 < len(begun.so_far) < len(scenes)
    assert f"Stopped after {len(begun.so_far)} of 300 pictures" in last["tried"]
    assert trial.counts.said in last["tried"], "of these"
    assert "No bound" in last["tried"]
    assert "data-claimed" not in last["tried"]
    assert "data-resume" in last["tried"]
    left, rest = len(scenes) - int(trial.touched.sum()), Mock(wraps=bench.setup.clip.embed_from_residual)
    monkeypatch.setattr(bench.setup.clip, "embed_from_residual", rest)
    again = followed(context, pulled, begun=begun)
    assert sum(len(called.args[0]) for called in rest.call_args_list) < left
    monkeypatch.undo()
    assert again["tried"] == followed(context, pulled)["tried"]


def test_what_goes_wrong_counts_every_confusion(context: Context, first: Visit, scenes: PictureSet) -> None:
    parts = followed(context, first)
    listed = re.findall(
        r'data-truth="([^"]*)" data-said="([^"]*)" aria-pressed="false".*?class="n">(\d+)<', parts["confusions"], re.S
    )
    assert listed
    for truth, said, n in listed:
        of = scenes.truth != scenes.said
        for name, classes in ((truth, scenes.truth), (said, scenes.said)):
            of = of & (classes == scenes.classes.index(name)) if name else of
        assert int(of.sum()) == int(n)
    assert [(truth, said) for truth, said, _ in listed[:2]] == [("", ""), ("", listed[1][1])]
    assert all(truth for truth, _, _ in listed[-5:]), "pairs of classes, too"


def test_what_is_behind_failures_is_judged_on_other_pictures(
    context: Context, first: Visit, scenes: PictureSet
) -> None:
    """The numbers are the workbench's own of the judging half, and a press on a row suppresses it."""
    bench = context.bench(first)
    v = explain(context, first, ExplainConfusion(truth="", said="", on=True))
    parts = followed(context, v)
    *_, found = bench.find_candidates(scenes, Confusion(), TEMPLATES["single"])
    assert isinstance(found, Findings)
    assert found.said in parts["failures"]
    assert 'data-truth="" data-said="" aria-pressed="true"' in parts["confusions"]
    shown = parts["failures"]
    for one in (found.families, found.components):
        k = int(one.order("attribution")[0])
        c, head = one.counts[k], one.members[k][0]
        row = re.search(rf'<li class="row[^>]*data-row="{head}".*?</li>', shown, re.S)
        assert row is not None
        shown = shown[row.end() :]
        assert f"fixes <b>{c.fixed}</b>, breaks <b>{c.broken}</b>" in row[0]
        assert f"in {one.judging.among_first[k]} of {one.judging.failures}" in row[0]
        assert f'data-component="{head}" data-action="suppress"' in row[0]
    assert "--shot:url(" in parts["sheet"]
    again = followed(context, session.change(bench, v, Edit.of_suppressed([NOTE])), parts["drawn"])
    assert "failures" not in again, "an edit changes nothing there"
    assert "▲ Fixed" in again["tried"]
    closed = followed(context, explain(context, v, ExplainConfusion(truth="", said="", on=False)), parts["drawn"])
    assert closed["failures"] == closed["sheet"] == ""


def test_what_nothing_can_be_proposed_for_is_said(context: Context, first: Visit, scenes: PictureSet) -> None:
    right = scenes.classes[int(scenes.truth[np.flatnonzero(scenes.right)[0]])]
    v = explain(context, first, ExplainConfusion(truth=right, said=right, on=True))
    assert "none fails in this way" in followed(context, v)["failures"]
    gone = explain(context, first, ExplainConfusion(truth="no such class", said=right, on=True))
    assert followed(context, gone)["failures"] == ""


def test_pictures_without_a_label_count_as_changed(context: Context, pulled: Visit, own: OwnPictures) -> None:
    parts = followed(context, choose(context, pulled, OWN, LABELS, "", OwnPictures()), own=own)
    assert "20 of your pictures, &lt;holiday&gt;.zip" in parts["about"]
    assert "of the 18 with a label" in parts["about"]
    assert "of 2 pictures without a label" in parts["tried"]


def test_pictures_that_are_gone_have_to_be_brought_again(context: Context, pulled: Visit, own: OwnPictures) -> None:
    """After a restart, or where another setup answers; everything else is kept."""
    v = replace(
        choose(context, pulled, OWN, LABELS, "", OwnPictures()),
        many=replace(pulled.many, which=OWN, own="<holiday>.zip"),
    )
    told = followed(context, v)
    assert "“&lt;holiday&gt;.zip” are not on the server any more" in told["tried"]
    assert told["confusions"] == ""
    with pytest.raises(UserError, match="Bring them again"):
        open_picture(context, v, OpenPicture(picture="a"), OwnPictures())
    with pytest.raises(UserError, match="Bring them again"):
        open_picture(context, replace(v, setup="tiny"), OpenPicture(picture="a"), own)
    assert "Bring some pictures" in followed(context, choose(context, pulled, OWN, LABELS, "", OwnPictures()))["tried"]


def test_the_page_carries_what_is_asked_and_no_picture(context: Context, first: Visit) -> None:
    v = explain(
        context,
        choose(context, first, "attacked", LABELS, "", OwnPictures()),
        ExplainConfusion(truth="dog", said="cat", on=True),
    )
    bench = context.bench(v)
    text = state_of(bench, v).serialised()
    assert len(text) < 2000
    assert json.loads(text)["many"] == {"which": "attacked", "confusion": ["dog", "cat"]}
    back = restored(bench, ViewState.parsed(text), [v.trace.crop])
    assert back is not None
    assert back.many == v.many
    assert explain(context, v, ExplainConfusion(truth="dog", said="cat", on=False)).many.confusion is None
    assert choose(context, v, "stamped", LABELS, "", OwnPictures()).many.confusion is None


def brought(context: Context, v: Visit, files: list[Path], own: OwnPictures) -> str:
    """What is said of the reading in the end."""
    *_, last = read(context, v, [str(file) for file in files], "", None, own, LatestOnly(), LatestOnly())
    assert last["busy"] is False
    return last["reading"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three pictures, one that is none, and a table of labels."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "labels.csv").write_text("file_name,label,group\ndog-note-cat.webp,Dog,<b>\ncow-water.webp,cow,\n")
    pictures = [EXAMPLES / f"{name}.webp" for name in ("dog-note-cat", "cow-water", "tree-plain")]
    return [*pictures, tmp_path / "broken.png", tmp_path / "labels.csv"]


def test_pictures_of_ones_own_are_read_with_their_labels(context: Context, pulled: Visit, files: list[Path]) -> None:
    own = OwnPictures()
    told = brought(context, pulled, files, own)
    assert "3 pictures read." in told
    assert "Labels are those of labels.csv." in told
    assert "<b>broken.png</b>: This file is not a picture" in told
    v = use(context, pulled, own)
    assert (v.many.which, v.many.own) == (OWN, "dog-note-cat.webp and 4 more")
    assert use(context, v, own) is v, "it is the one in use"
    parts = followed(context, v, own=own)
    assert (
        "3 of your pictures, dog-note-cat.webp and 4 more; 2 classes; 2 right (100 %) of the 2 with a" in parts["about"]
    )
    assert "Changes the answer in 0 of 1 picture without a label" in parts["tried"]
    by_page = choose(context, v, OWN, PAGE, "", OwnPictures())
    parts = followed(context, by_page, own=own)
    assert f"{len(v.classes)} classes" in parts["about"]
    assert "0 right (0 %) of the 1 with a label" in parts["about"], "a cow is none of them; capitals do not matter"
    assert "Fixes 1 of 1" in parts["tried"]
    opened = open_picture(context, by_page, OpenPicture(picture="dog-note-cat.webp"), own)
    assert opened.subject.photograph
    assert np.allclose(opened.comparison.after.logits, pulled.comparison.after.logits, atol=1e-4)
    assert (opened.classes, opened.truth) == (pulled.classes, pulled.truth)
    asked = replace(by_page, classes=("dog", "wolf"))
    assert "2 classes" in followed(context, asked, parts["drawn"], own)["about"], "the page asks about others"


def test_pictures_are_grouped_by_a_column_of_their_table(context: Context, pulled: Visit, tmp_path: Path) -> None:
    """It is offered once such pictures are there, and nothing is read or tried again for it."""
    rows = [(name, "dog" if "dog" in name else "cow") for name in ("dog-note-cat", "cow-water", "dog-note-cat-twin")]
    (tmp_path / "labels.csv").write_text(
        "file_name,label,camera,number\n"
        + "".join(f"{n}.webp,{label},c{k % 2},{k}\n" for k, (n, label) in enumerate(rows))
    )
    own, begun = OwnPictures(), BegunTrial()
    brought(context, pulled, [*(EXAMPLES / f"{name}.webp" for name, _ in rows), tmp_path / "labels.csv"], own)
    v = use(context, pulled, own)
    offered = many_tab._grouped_by(v, [own])
    assert isinstance(offered, gr.Dropdown)
    assert (offered.visible, offered.choices) == (True, [("nothing", ""), ("camera", "camera")]), "a number tells all"
    before = followed(context, v, own=own, begun=begun)
    assert "By class and group" not in before["tried"]
    chosen_by = choose(context, v, OWN, LABELS, "camera", own)
    after = followed(context, chosen_by, before["drawn"], own, begun)
    assert re.search(r'<details class="by-class" open>.*?>camera<.*?"row">c1<.*?"row">c0<', after["tried"], re.S)
    assert "failures" not in after
    assert choose(context, chosen_by, OWN, LABELS, "", own).many == v.many
    with pytest.raises(UserError, match="no such column"):
        choose(context, v, OWN, LABELS, "number", own)
    assert use(context, chosen_by, own) is chosen_by
    hidden = many_tab._grouped_by(choose(context, chosen_by, "attacked", LABELS, "camera", own), [own])
    assert isinstance(hidden, gr.Dropdown)
    assert hidden.visible is False


def test_a_part_of_a_data_set_is_chosen_once_it_is_known_which_there_are(
    context: Context, first: Visit, tmp_path: Path
) -> None:
    rows = [{"image": {"bytes": (EXAMPLES / "dog-note-cat.webp").read_bytes(), "path": None}, "label": "dog"}]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    for name in ("validation", "test"):
        datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / f"{name}.parquet")
    local, own = replace(context, local=True), OwnPictures()

    def reading(split: str | None) -> str:
        *_, last = read(local, first, None, str(tmp_path), split, own, LatestOnly(), LatestOnly())
        return last["reading"]

    assert many_tab._split(first, own).visible is False
    assert "1 picture read." in reading("gone"), "of another data set"
    assert own.held is not None
    one, other = own.held.splits
    offered = many_tab._split(first, own)
    assert (offered.visible, offered.value, offered.choices) == (True, one, [(one, one), (other, other)])
    assert own.held.name.endswith(f", {one}")
    reading(other)
    assert (own.held.split, own.held.name.endswith(f", {other}")) == (other, True)


def test_a_zip_has_labels_by_folders(context: Context, first: Visit, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "<zoo>.zip", "w") as archive:
        for label, name in (("dog", "dog-note-cat"), ("cow", "cow-water"), ("cow", "cow-water-twin")):
            archive.write(EXAMPLES / f"{name}.webp", f"{label}/{name}.webp")
        archive.writestr("../out.png", b"")
    own = OwnPictures()
    told = brought(context, first, [tmp_path / "<zoo>.zip"], own)
    assert "3 pictures read. Labels are the names of folders." in told
    assert "leads out of the archive" in told
    assert "&lt;zoo&gt;.zip" in followed(context, use(context, first, own), own=own)["about"]


def test_what_cannot_be_read_leaves_all_as_it_was(context: Context, first: Visit, tmp_path: Path) -> None:
    own = OwnPictures()
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and nothing")
    assert "cannot be read as a zip" in brought(context, first, [tmp_path / "a.zip"], own)
    assert "There are no files yet" in brought(context, first, [], own)
    assert own.held is None
    assert use(context, first, own) is first


def test_a_stop_keeps_what_was_read(context: Context, first: Visit, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for k in range(BATCH + 3):
        Image.fromarray(pixels + k).save(tmp_path / f"{k}.png")
    own, readings, going_on = OwnPictures(), LatestOnly[None](), LatestOnly[None]()
    reading = read(context, first, sorted(map(str, tmp_path.glob("*.png"))), "", None, own, readings, going_on)
    assert next(reading)["busy"]
    assert f"{BATCH} of {BATCH + 3}" in next(reading)["reading"]
    assert stop(context, first, going_on) is False
    (last,) = reading
    assert f"{BATCH} pictures read. Stopped: these are {BATCH} of {BATCH + 3}, drawn by a hash" in last["reading"]
    assert own.held is not None
    drawn = [f"{k}.png" for k in range(BATCH + 3)]
    assert own.held.pictures.names == tuple(sorted(drawn[i] for i in drawn_order(drawn)[:BATCH]))


def test_what_was_read_before_something_broke_is_kept(
    context: Context, first: Visit, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set may be cut off in the middle; one of which nothing came is refused as it is."""
    own = OwnPictures()

    def cut_off(*asked: Any) -> Iterator[Batch]:
        yield next(batches(*asked))
        raise UserError("It could not be read any further.")

    monkeypatch.setattr("core.page.many_tab.batches", cut_off)
    told = brought(context, first, files[:2], own)
    assert "2 pictures read. It could not be read any further." in told
    assert own.held is not None
    assert len(own.held.pictures) == 2


def test_another_reading_ends_the_one_before(context: Context, first: Visit, files: list[Path]) -> None:
    own, readings, going_on = OwnPictures(), LatestOnly[None](), LatestOnly[None]()
    reading = read(context, first, [str(files[0])], "", None, own, readings, going_on)
    next(reading)
    readings.begin(), going_on.begin()
    assert list(reading) == []
    assert own.held is None


def test_each_setup_has_the_sets_that_make_sense_for_it(context: Context, first: Visit, tiny: Visit) -> None:
    """Photographs where it knows more words than those of the scenes; reference pictures where it has an index."""
    offered = {v.setup: {name for _, name in choices(context.bench(v))} for v in (first, tiny)}
    assert offered["bundled"] - offered["tiny"] == {INDEX}
    assert offered["tiny"] - offered["bundled"] == {PHOTOGRAPHS}
    told = followed(context, choose(context, first, PHOTOGRAPHS, LABELS, "", OwnPictures()))
    assert "not for this setup. Choose others" in told["tried"]


def test_reference_pictures_of_the_concept_index_are_counted_as_changed_or_not(context: Context, pulled: Visit) -> None:
    v = choose(context, pulled, INDEX, LABELS, "", OwnPictures())
    parts = followed(context, v)
    assert f"200 reference pictures of the concept index; {len(v.classes)} classes; none with a label" in parts["about"]
    assert "of 200 pictures without a label" in parts["tried"]
    assert "data-trial" not in parts["tried"], "no bound without labels"
    name = re.findall('data-picture="([^"]*)"', parts["tried"])[0]
    opened = open_picture(context, v, OpenPicture(picture=name), OwnPictures())
    assert opened.prediction.best != opened.comparison.after.best
    assert not opened.subject.photograph
    asked = replace(v, classes=("dog", "cat"))
    assert "2 classes" in followed(context, asked, parts["drawn"])["about"], "the page asks about others"


def test_in_a_local_run_a_folder_can_be_named(context: Context, first: Visit, files: list[Path]) -> None:
    folder, local, own = str(files[-1].parent), replace(context, local=True), OwnPictures()

    def named(on: Context, name: str, brought: list[str] | None = None) -> str:
        *_, last = read(on, first, brought, name, None, own, LatestOnly(), LatestOnly())
        return last["reading"]

    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(files[-1].parent / "own.png")
    assert "local runs only" in named(context, folder)
    assert "Clear one of them" in named(local, folder, [str(files[0])])
    assert "There is no folder /no/such/place" in named(local, "/no/such/place")
    assert own.held is None
    assert "1 picture read." in named(local, f" {folder} ")
    assert own.held is not None
    assert own.held.pictures.names == ("own.png",)
    assert own.held.name == Path(folder).name, "where it lies would be told in reports and recipes"


def test_the_photographs_are_labelled_and_told_apart_by_whether_a_cue_is_planted(context: Context, tiny: Visit) -> None:
    own = OwnPictures()
    pulled = session.change(context.bench(tiny), tiny, Edit.of_suppressed([1]))
    v = choose(context, pulled, PHOTOGRAPHS, LABELS, "", own)
    *_, found = chosen(context.bench(v), v, own)
    assert isinstance(found, ChosenSet)
    assert found.photographs
    assert found.pictures.labelled.all()
    assert found.pictures.classes == asked_classes()
    parts = followed(context, v, own=own)
    assert f"{len(found.pictures)} photographs, some with a planted cue; " in parts["about"]
    assert "with a planted cue</th>" in parts["tried"]
    opened = open_picture(context, v, OpenPicture(picture="cat.webp"), own)
    assert (opened.classes[opened.truth or 0], opened.subject.photograph) == ("cat", True)
