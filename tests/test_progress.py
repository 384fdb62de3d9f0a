"""A bar on a terminal estimates the stage that it shows, not all that went before."""

import io

from tqdm import tqdm

from core.progress import show_stage


def test_a_stage_has_an_estimate_of_its_own() -> None:
    with tqdm(file=io.StringIO()) as bar:
        show_stage(bar, "reading", 1, 16)
        bar.start_t -= 600
        show_stage(bar, "reading", 2, 16)
        assert bar.format_dict["elapsed"] > 600
        show_stage(bar, "judging", 0, 8)
        assert bar.format_dict["elapsed"] < 600
        assert (bar.n, bar.total) == (0, 8)
        show_stage(bar, "judging", 3, 8)
        assert bar.n == 3
        assert "judging:  38%" in str(bar)


def test_without_a_terminal_nothing_is_shown() -> None:
    with tqdm(file=io.StringIO(), disable=None) as bar:
        show_stage(bar, "reading", 1, 16)
