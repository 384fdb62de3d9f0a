"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from core.files import replacing


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_at_once(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "settings.json"
    path.write_text("old")
    with replacing(path, shared=shared) as beside:
        beside.write_text("new, in part")
        assert beside.parent == tmp_path
        assert path.read_text() == "old"
        beside.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_writing_fails_the_old_file_stays(tmp_path: Path) -> None:
    def interrupted(beside: Path) -> None:
        beside.write_text("new, in part")
        raise KeyboardInterrupt

    path = tmp_path / "settings.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        interrupted(beside)
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_several_may_write_a_shared_file_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "main"
    with replacing(path, shared=True) as one, replacing(path, shared=True) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
