"""Progress of long work on a terminal: a bar that begins anew with each stage, and estimates that stage alone."""

from typing import Any

from tqdm import tqdm


def show_stage(bar: "tqdm[Any]", stage: str, done: int, total: int | None) -> None:
    """Show how far a stage is; `total` is None where nobody knows. Without a terminal it shows nothing."""
    if bar.disable:  # then it has no description either
        return
    if bar.desc != f"{stage}: ":  # as tqdm keeps a description
        bar.set_description(stage, refresh=False)
        bar.reset(total)
    bar.total = total
    bar.update(done - bar.n)
    bar.refresh()
