"""Runs over a collection in processes of their own: killed at some moment, or several at a time."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from accelerate import PartialState


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
