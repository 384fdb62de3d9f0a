"""A collection to stream, and runs over it in processes of their own: killed at some moment, or several at a time."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image

from core.errors import UserError
from core.pictures.collection import Collection


def in_a_process(run: Callable[[], None], environment: dict[str, str] | None = None) -> BaseProcess:
    """A fork of this process that runs it, with one thread on both sides, and without what accelerate knows here."""

    def begin() -> None:
        os.environ.update(environment or {})
        PartialState._reset_state()
        torch.set_num_threads(1)
        run()
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=begin)
    process.start()
    return process


def killed_at(moment: int, moments: Sequence[tuple[Any, str]], run: Callable[[], None]) -> Callable[[], None]:
    """`run`, ended by SIGKILL before or after the `moment`-th call of any of these functions (owner and name)."""

    def killed() -> None:
        left = [moment]

        def counted(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                for after in (False, True):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    if not after:
                        made = original(*args, **options)
                return made

            return call

        for owner, name in moments:
            setattr(owner, name, counted(getattr(owner, name)))
        run()

    return killed


def at_a_time(world: int, run: Callable[[], None]) -> list[int | None]:
    """The exit codes of so many processes that run it, as torchrun starts them on a machine without a GPU."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}

    def one() -> None:
        run()
        PartialState().destroy_process_group()

    started = [in_a_process(one, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(world)]
    for process in started:
        process.join()
    return [process.exitcode for process in started]


class Drawn(Collection):
    """Random pictures in parts of these sizes; every seventh cannot be read. `look` is told of each that is read."""

    def __init__(self, sizes: tuple[int, ...] = (13, 0, 9, 4, 11), look: Callable[[int], None] = lambda place: None):
        self.sizes, self.look = sizes, look
        self.n_parts, self.size = len(sizes), sum(sizes)
        self.manifest = {"kind": "drawn", "name": "drawn for tests", "pictures": str(sum(sizes))}

    def entries(self, number: int, start: int = 0) -> Iterator[int]:
        yield from range(sum(self.sizes[:number]) + start, sum(self.sizes[: number + 1]))

    def picture(self, entry: int) -> Image.Image:
        self.look(entry)
        if entry % 7 == 3:
            raise UserError(f"Number {entry} cannot be read.")
        rng = np.random.default_rng(entry)
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
