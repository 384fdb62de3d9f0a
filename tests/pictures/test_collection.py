"""Collections of pictures: the same pictures in the same order, whoever reads them, from wherever they are taken up."""

import itertools
import json
import os
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import datasets
import httpx2
import numpy as np
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import DatasetInfo
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import UserError
from core.pictures import collection, hub_dataset
from core.pictures.batches import batches
from core.pictures.collection import Collection, picture_files, scenes_named, share
from core.pictures.options import CollectionOptions
from core.pictures.read import read_picture
from core.scenes import sampling
from core.scenes.factors import truth_of


def encoded(shade: int, format_: str = "PNG") -> bytes:
    """A small grey picture, as a file."""
    stream = BytesIO()
    Image.new("RGB", (6, 5), (shade, shade, shade)).save(stream, format_)
    return stream.getvalue()


def crop(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((2, 2)))


def shades(found: Any) -> list[int | None]:
    """What the pictures of a part show."""
    return [None if piece.picture is None else piece.picture.getpixel((0, 0))[0] for piece in found]


class Shades(Collection):
    """Parts of grey pictures; those of a multiple of seven are damaged."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.n_parts, self.size = sizes, len(sizes), sum(sizes)
        self.manifest = {"kind": "test", "name": "shades"}
        self.decoded = 0

    def entries(self, number: int, start: int = 0) -> Iterator[int]:
        first = sum(self.sizes[:number])
        yield from range(first + start, first + self.sizes[number])

    def picture(self, entry: int) -> Image.Image:
        self.decoded += 1
        if entry % 7 == 6:
            raise UserError("It is damaged.")
        return Image.new("RGB", (2, 2), (entry, 0, 0))


# ---- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["b/2.png", "b/10.PNG", "a.jpeg", "c/d/e.webp", ".hidden.png", ".trash/x.png", "notes.txt", "b/film.mp4"]
    for shade, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(10 * shade))
    return tmp_path


def test_a_folder_is_all_pictures_below_it_in_order_of_their_paths(folder: Path) -> None:
    assert picture_files(folder) == ("a.jpeg", "b/10.PNG", "b/2.png", "c/d/e.webp")
    found = CollectionOptions(str(folder)).open()
    assert (found.n_parts, found.size) == (1, 4)
    assert shades(found.part(0)) == [20, 10, 0, 30]
    assert shades(found.part(0, 2)) == [0, 30]
    assert [piece.id for piece in found.part(0)] == [0, 1, 2, 3]


def test_what_is_said_of_a_folder_changes_with_it(folder: Path) -> None:
    before = CollectionOptions(str(folder)).open().manifest
    assert before == CollectionOptions(str(folder)).open().manifest
    assert before["kind"] == "folder"
    assert before["name"] == folder.name
    assert before["pictures"] == "4"
    assert json.loads(json.dumps(dict(before))) == before
    (folder / "b/2.png").write_bytes(encoded(0) + b"more")
    assert CollectionOptions(str(folder)).open().manifest["fingerprint"] != before["fingerprint"]
    (folder / "b/2.png").write_bytes(encoded(0))
    assert CollectionOptions(str(folder)).open().manifest == before
    (folder / "b/2.png").rename(folder / "b/3.png")
    assert CollectionOptions(str(folder)).open().manifest["fingerprint"] != before["fingerprint"]


def test_a_name_that_is_no_text_is_said_as_well_as_it_can_be(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"b\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes names of text alone")
    (odd / os.fsdecode(b"\xfe.png")).write_bytes(encoded(0))
    found = CollectionOptions(str(odd)).open()
    assert found.manifest["name"] == "b?"
    assert shades(found.part(0)) == [0]


def test_a_damaged_picture_is_told_and_passed_over(folder: Path) -> None:
    (folder / "b/10.PNG").write_bytes(encoded(0)[:40])
    pieces = list(CollectionOptions(str(folder)).open().part(0))
    assert [piece.picture is None for piece in pieces] == [False, True, False, False]
    assert "not a picture" in pieces[1].trouble
    assert (pieces[1].id, pieces[1].name) == (1, "b/10.PNG")
    [batch] = batches(CollectionOptions(str(folder)).open(), crop, 8, [0])
    assert batch.names == ("a.jpeg", "b/2.png", "c/d/e.webp")
    assert batch.troubles == (("b/10.PNG", pieces[1].trouble),)


def test_a_limit_takes_pictures_from_all_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "PART", 4)
    for shade in range(20):
        (tmp_path / f"{shade:02d}.png").write_bytes(encoded(shade))
    some = CollectionOptions(str(tmp_path), limit=5).open()
    assert [shades(some.part(number)) for number in range(some.n_parts)] == [[0, 4, 8, 12], [16]]
    assert some.manifest["pictures"] == "5"
    assert some.manifest != CollectionOptions(str(tmp_path)).open().manifest
    assert CollectionOptions(str(tmp_path), limit=50).open().size == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/nowhere/at/all", "no folder"),
        ("./here", "no folder"),
        ("scenes:no", "scenes:training or scenes:index"),
        ("?!", "Choose"),
    ],
)
def test_what_is_not_there_is_trouble(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        CollectionOptions(name).open()


def test_nothing_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        CollectionOptions(str(tmp_path)).open()
    with pytest.raises(UserError, match="1 or more"):
        CollectionOptions(str(tmp_path), limit=0).open()


# ---- scenes


def test_scenes_of_the_training_are_those_the_dictionary_was_trained_on() -> None:
    found = CollectionOptions("scenes:training", limit=300).open()
    assert (found.n_parts, found.size) == (2, 300)
    rng = np.random.default_rng([0, 1])
    drawn = [sampling.lesson(rng, 1.0).scene for _ in range(300)]
    painter = sampling_painter()
    for place, piece in enumerate(itertools.islice(found.part(1), 3), 256):
        assert np.array_equal(np.asarray(piece.picture), painter.paint(drawn[place]))


def sampling_painter() -> Any:
    from core.scenes.scene import Painter

    return Painter(sampling.SIDE)


def test_scenes_of_the_index_are_of_all_kinds_and_of_no_other_split() -> None:
    scenes, others = sampling.index_scenes(600), sampling.index_scenes(600, "test")
    assert sampling.index_scenes(100) == scenes[:100]
    training = sampling.training_scenes(600)
    held_out = [case.scene for kind in sampling.HELD_OUT for case in sampling.held_out(kind, 100)]
    assert not any(scene in theirs for theirs in (others, training, held_out) for scene in scenes)
    for part in (scenes[:300], scenes[300:]):  # mixed throughout
        for holds in (
            lambda scene: scene.stamp is not None,
            lambda scene: scene.background == "water",
            lambda scene: scene.bar is not None,
            lambda scene: scene.main is None,
            lambda scene: scene.label is not None,
        ):
            assert 0.02 < np.mean([holds(scene) for scene in part]) < 0.7


def test_scenes_are_labelled_with_what_they_show_and_grouped_by_what_may_mislead_there() -> None:
    found = scenes_named("index", 300)
    known = [found.about(n, at, scene) for n in range(found.n_parts) for at, scene in enumerate(found.entries(n))]
    assert [about.name for about in known] == [f"scenes:index/{number}" for number in range(300)]
    assert [about.label for about in known] == [truth_of(scene) for scene in found.scenes]
    assert {about.group for about in known} == set(sampling.HELD_OUT)
    assert next(found.part(1))[1:5] == known[256]


# ---- data sets


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of ten rows in two row groups each; the picture 17 is damaged, 23 is missing."""
    folder = tmp_path_factory.mktemp("parquet")
    features = datasets.Features({"label": datasets.Value("int32"), "picture": datasets.Image()})
    for number in range(3):
        rows = []
        for shade in range(10 * number, 10 * number + 10):
            data = encoded(shade)[:40] if shade == 17 else encoded(shade)
            rows.append({"label": shade, "picture": None if shade == 23 else {"bytes": data, "path": None}})
        name = folder / f"train-{number:05d}-of-00003.parquet"
        datasets.Dataset.from_list(rows, features=features).to_parquet(name, batch_size=5)
    return folder


def test_a_data_set_is_read_by_its_files_and_row_groups(parquet: Path) -> None:
    found = CollectionOptions(str(parquet)).open()
    assert found.n_parts == 6
    assert found.size is None  # such a folder does not say how much it holds
    expected = [shade if shade not in (17, 23) else None for shade in range(30)]
    assert [shades(found.part(number)) for number in range(6)] == [expected[i : i + 5] for i in range(0, 30, 5)]
    assert shades(found.part(3, 1)) == [16, None, 18, 19]
    assert shades(found.part(3, 5)) == []
    assert [piece.id for piece in found.part(3, 3)] == [(3 << 32) + 3, (3 << 32) + 4]
    assert found.manifest["column"] == "picture"
    assert found.manifest["kind"] == "dataset"
    assert CollectionOptions(str(parquet), column="picture").open().manifest == found.manifest


def test_of_a_data_set_with_many_files_each_is_a_part(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_dataset, "_FEW_FILES", 2)
    found = CollectionOptions(str(parquet)).open()
    assert found.n_parts == 3
    assert shades(found.part(0, 8)) == [8, 9]


def test_a_limit_is_spread_over_the_files(parquet: Path) -> None:
    found = CollectionOptions(str(parquet), limit=8).open()
    assert [len(list(found.part(number))) for number in range(6)] == [1, 1, 2, 1, 1, 2]
    assert shades(found.part(5, 1)) == [26]
    assert list(found.part(0, 1)) == []
    assert found.size == 8
    assert found.manifest["limit"] == "8"


def test_skipping_decodes_nothing(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(wraps=read_picture)
    monkeypatch.setattr(hub_dataset, "read_picture", read)
    assert shades(CollectionOptions(str(parquet)).open().part(0, 4)) == [4]
    assert read.call_args_list == [call(encoded(4))]


def test_paths_in_a_data_set_are_opened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    listed = tmp_path_factory.mktemp("listed")
    rows = [{"file": str(folder / "a.jpeg")}, {"file": str(folder / "lost.png")}]
    (listed / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = CollectionOptions(str(listed), column="file").open()
    assert shades(found.part(0)) == [20, None]
    with pytest.raises(UserError, match="Name the column"):
        CollectionOptions(str(listed)).open()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"column": "photo"}, "no column “photo”.*label, picture"),
        ({"split": "validation"}, "no part “validation”. It has: train"),
        ({"config": "small"}, "small"),
    ],
)
def test_what_a_data_set_does_not_have_is_trouble(parquet: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        CollectionOptions(str(parquet), **options).open()


def test_a_column_of_something_else_is_no_pictures(parquet: Path) -> None:
    piece = next(CollectionOptions(str(parquet), column="label").open().part(0))
    assert piece.picture is None
    assert "int" in piece.trouble


def test_a_data_set_that_breaks_on_the_way_is_trouble(parquet: Path, tmp_path: Path) -> None:
    for file in parquet.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    found = CollectionOptions(str(tmp_path)).open()
    (tmp_path / "train-00002-of-00003.parquet").unlink()
    assert shades(found.part(0)) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="a command goes on from where it was"):
        list(found.part(5))


def refused(kind: type[HfHubHTTPError]) -> Exception:
    response = httpx2.Response(403, request=httpx2.Request("GET", "https://huggingface.co/api/datasets/a/b"))
    return kind("no", response=response)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refused(GatedRepoError), "gated"),
        (refused(RepositoryNotFoundError), "no data set a/b"),
        (httpx2.ConnectError("no route"), "cannot be reached"),
        (OSError("odd"), "cannot be opened: odd"),
    ],
)
def test_what_the_hub_answers_is_a_sentence(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def dataset_info(self: object, *args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(HfApi, "dataset_info", dataset_info)
    with pytest.raises(UserError, match=said):
        CollectionOptions("a/b").open()


@pytest.mark.parametrize(
    ("said", "told"), [("cc-by-4.0", "cc-by-4.0"), (["mit", "cc0-1.0"], "mit, cc0-1.0"), (None, None), ([], None)]
)
def test_a_data_set_of_the_hub_is_opened_at_one_commit(
    parquet: Path, monkeypatch: pytest.MonkeyPatch, said: Any, told: str | None
) -> None:
    asked = []
    real = datasets.load_dataset

    def load_dataset(name: str, config: object, *, revision: str, streaming: bool) -> Any:
        asked.append((name, revision))
        return real(str(parquet), config, streaming=streaming)

    info = DatasetInfo(id="owner/pictures", sha="0123abc", cardData={"license": said})
    monkeypatch.setattr(HfApi, "dataset_info", lambda self, name, revision: info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = CollectionOptions("owner/pictures", revision="main").open()
    assert asked == [("owner/pictures", "0123abc")]
    assert found.manifest["revision"] == "0123abc"
    assert found.manifest.get("licence") == told
    assert shades(found.part(0)) == [0, 1, 2, 3, 4]


# ---- batches

sizes = st.lists(st.integers(0, 9), min_size=1, max_size=5)


def told(found: Any) -> list[tuple[Any, ...]]:
    return [(b.part, b.number, b.ids.tolist(), b.crops.tolist(), b.skipped, b.names, b.troubles) for b in found]


@given(parts=sizes, size=st.integers(1, 5))
def test_batches_hold_every_picture_once_and_never_of_two_parts(parts: list[int], size: int) -> None:
    collection = Shades(parts)
    found = list(batches(collection, crop, size, range(len(parts))))
    entries = [(n, place, e) for n in range(len(parts)) for place, e in enumerate(collection.entries(n))]
    assert [id_ for b in found for id_ in b.ids] == [(n << 32) + place for n, place, e in entries if e % 7 != 6]
    assert [c[0, 0, 0] for b in found for c in b.crops] == [e for _, _, e in entries if e % 7 != 6]
    assert [name for b in found for name in b.names] == [f"{n}/{place}" for n, place, e in entries if e % 7 != 6]
    bad = [(f"{n}/{place}", "It is damaged.") for n, place, e in entries if e % 7 == 6]
    assert [trouble for b in found for trouble in b.troubles] == bad
    assert sum(b.skipped for b in found) == len(bad)
    for b in found:
        assert b.labels == b.groups == (None,) * len(b.ids)
        assert all(id_ >> 32 == b.part and (id_ & 0xFFFFFFFF) // size == b.number for id_ in b.ids)
        assert b.crops.shape == (len(b.ids), 2, 2, 3)
        assert b.crops.dtype == np.uint8


@given(parts=sizes, size=st.integers(1, 5), world=st.integers(1, 3), workers=st.integers(0, 2), data=st.data())
def test_processes_and_stops_change_nothing(
    parts: list[int], size: int, world: int, workers: int, data: st.DataObject
) -> None:
    whole = told(batches(Shades(parts), crop, size, range(len(parts))))
    shared = [told(batches(Shades(parts), crop, size, share(len(parts), r, world))) for r in range(world)]
    assert sorted(itertools.chain(*shared)) == sorted(whole)
    if whole:
        stop = data.draw(st.integers(0, len(whole) - 1))
        collection = Shades(parts)
        rest = told(batches(collection, crop, size, range(len(parts)), whole[stop][:2], workers))
        assert rest == whole[stop + 1 :]
        assert collection.decoded == sum(len(b[2]) + b[4] for b in rest)  # nothing that was done is decoded again


def test_an_iterator_that_is_dropped_takes_its_threads_along() -> None:
    found = batches(Shades([200]), crop, 4, [0], workers=3)
    next(found)
    found.close()
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_a_part_that_cannot_be_read_ends_the_run_with_its_reason() -> None:
    class Broken(Shades):
        def entries(self, number: int, start: int = 0) -> Iterator[int]:
            yield from super().entries(number, start)
            raise UserError("The rest is lost.")

    for workers in (0, 2):
        with pytest.raises(UserError, match="lost"):
            list(batches(Broken([5]), crop, 2, [0], workers=workers))


def test_a_folder_is_read_in_batches(folder: Path) -> None:
    found = list(batches(CollectionOptions(str(folder)).open(), crop, 3, [0], workers=2))
    assert [b.crops[:, 0, 0, 0].tolist() for b in found] == [[20, 10, 0], [30]]
