"""Settings of the app, from the environment and the command line, and the pool of setups that follows from them."""

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, echo, first_line
from ..model.devices import best_device, prefix_precision
from ..pictures.options import CollectionOptions
from ..setups.catalog import SetupSpec, find
from ..setups.loading import Setup, load
from ..setups.options import known_setups, own_setup, place_named
from ..setups.pool import SetupPool
from ..workbench import Workbench
from .command_line import app_arguments
from .index_builder import IndexBuilder
from .zero_gpu import Answer, Answers, Call, Far, seconds

GIGABYTE = 1_000_000_000
INDEX_PICTURES = 2_000
"""Pictures of an index that is made in the background, where nothing else is said."""
MOST_INDEX_PICTURES = 100_000
"""More of them are for a command that one waits for."""
INDEX_OPTIONS = ("split", "column", "config", "revision", "limit")
"""What may be said of them besides their name."""
INDEX_WORKERS = 1
"""Threads that read them ahead, while the CLIP looks at the ones before."""

_DATA_SET = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")

Ask = Callable[[Call], Any]
"""Answers a call, or yields answers on the way."""


@dataclass(frozen=True)
class Settings:
    """How this page runs."""

    setup: str
    """The setup it opens with. CLIP_LEVERS_SETUP; by default a published one on a Space, and elsewhere the bundled."""
    hosted: bool
    """Whether it is a public Space: then only setups of the catalog are loaded."""
    memory: int
    """Bytes that all loaded setups may take, weights and concept indexes. CLIP_LEVERS_MEMORY_GB; by default 6."""
    prefix: torch.dtype
    """The precision of the layers up to L. CLIP_LEVERS_PREFIX; by default float32."""
    device: str
    """Where the models are."""
    anyway: bool = False
    """Whether a setup is opened although its dictionary does not fit its CLIP."""
    index_from: CollectionOptions | None = None
    """What a setup without a concept index is given one from, in the background. CLIP_LEVERS_INDEX_FROM."""
    local: bool = False
    """Whether this machine alone reaches the page: its folders, and the Hub with its key, may then be named there."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read them. Raises UserError for a value that cannot be used."""
        hosted = "SPACE_ID" in environment
        device = best_device()
        prefix = prefix_precision(environment.get("CLIP_LEVERS_PREFIX", "float32"))
        if device == "cpu" and prefix != torch.float32:
            raise UserError("CLIP_LEVERS_PREFIX is for a GPU: on a CPU a lower precision is slower. Leave it out here.")
        return cls(
            setup=environment.get("CLIP_LEVERS_SETUP") or ("clip-scope-20" if hosted else "bundled"),
            hosted=hosted,
            memory=_gigabytes(environment.get("CLIP_LEVERS_MEMORY_GB", "6")),
            prefix=prefix,
            device=device,
            index_from=_index_from(environment.get("CLIP_LEVERS_INDEX_FROM", "")),
            local=not hosted and is_local(environment),
        )


def is_local(environment: Mapping[str, str]) -> bool:
    """Whether Gradio will serve this machine alone: at a loopback address, without a share link, behind no proxy."""
    host = environment.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    elsewhere = (environment.get(name) for name in ("GRADIO_SHARE", "GRADIO_ROOT_PATH"))
    return host in ("127.0.0.1", "localhost", "::1", "[::1]") and not any(elsewhere)


def chosen_setups(settings: Settings, words: Sequence[str]) -> tuple[Settings, Mapping[str, SetupSpec]]:
    """The settings and the setups on offer, after what was typed behind `python app.py`.

    A setup of one's own is for local runs: raises UserError where one is named on a Space, or not wholly.
    """
    arguments = app_arguments(words)
    named = bool(arguments.clip or arguments.dictionary)
    chosen = arguments.setup or ("own" if named else settings.setup)
    if settings.hosted and (named or arguments.index or arguments.catalog):
        raise UserError("A public Space loads the setups of its catalog only. Run the app yourself for your own.")
    cards = known_setups(arguments)
    if settings.hosted:
        # Folders of the visitor's own machine mean nothing there.
        cards = {name: card for name, card in cards.items() if card.dictionary.repo or name == "bundled"}
    if named:
        cards["own"] = own_setup(arguments)
    if arguments.index:
        cards[chosen] = replace(find(cards, chosen), index=place_named(arguments.index, "."))
    return replace(settings, setup=chosen, anyway=arguments.anyway), cards


def make_pool(
    settings: Settings,
    cards: Mapping[str, SetupSpec],
    gpu: Callable[..., Callable[[Ask], Ask]] | None = None,
    far_device: str = "cuda",
    loader: Callable[..., Setup] | None = None,
    rest: Callable[[], None] = lambda: None,
) -> SetupPool[Workbench]:
    """The setups of these cards, each loaded when it is first asked for.

    `gpu` marks functions that run where there is a GPU for a while (`spaces.GPU`): what is long is asked there, on
    `far_device`. `rest` is called by what nobody asked for, between two steps: it lets others go first.
    """
    make: Callable[[Setup], Workbench] = Workbench
    if gpu is not None:
        answers = Answers(lambda name: pool.peek(name), far_device)

        @gpu(duration=seconds)
        def ask(call: Call) -> Answer:
            return answers.answer(call)

        @gpu(duration=seconds)
        def ask_in_steps(call: Call) -> Iterator[Answer]:
            yield from answers.answer_in_steps(call)

        make = partial(Far, ask=ask, ask_in_steps=ask_in_steps)
    if settings.index_from is not None:
        make = _with_index(make, IndexBuilder(settings.index_from, rest, lambda name: pool.make_room(name)))
    loader = loader or partial(load, device=settings.device, prefix=settings.prefix, anyway=settings.anyway)
    pool = SetupPool(
        cards, make, pinned={"bundled"}, limit_bytes=settings.memory, loader=loader, grown=lambda bench: bench.grown
    )
    return pool


def _with_index(make: Callable[[Setup], Workbench], builder: IndexBuilder) -> Callable[[Setup], Workbench]:
    """What makes a workbench, and has the index made that its setup lacks."""

    def made(setup: Setup) -> Workbench:
        bench = make(setup)
        builder.begin(bench)
        return bench

    return made


def _index_from(text: str) -> CollectionOptions | None:
    """CLIP_LEVERS_INDEX_FROM: a data set of the Hub, or a folder, and options: `owner/name split=validation`."""
    try:
        name, *options = shlex.split(text) or ("",)
    except ValueError as error:
        raise UserError(f"CLIP_LEVERS_INDEX_FROM is “{echo(text)}”: {first_line(error)}. Correct it.") from error
    if not name:
        return None
    given = dict(option.partition("=")[::2] for option in options)
    unknown = [option for option in given if option not in INDEX_OPTIONS]
    if unknown or not all(given.values()):
        raise UserError(
            f"CLIP_LEVERS_INDEX_FROM is “{echo(text)}”. Write a data set or a folder, and behind it what is needed of: "
            f"{', '.join(f'{option}=...' for option in INDEX_OPTIONS)}."
        )
    if not _is_folder(name) and not _DATA_SET.fullmatch(name):
        raise UserError(
            f"CLIP_LEVERS_INDEX_FROM names “{echo(name)}”, which is neither a folder here nor a data set of the Hub. "
            "Write that as owner/name."
        )
    limit = given.pop("limit", str(INDEX_PICTURES))
    if not limit.isdecimal() or not 1 <= int(limit) <= MOST_INDEX_PICTURES:
        raise UserError(
            f"CLIP_LEVERS_INDEX_FROM has the limit “{echo(limit)}”. Give it a number of pictures from 1 to "
            f"{MOST_INDEX_PICTURES:,}."
        )
    column, config, revision = (given.get(option) for option in ("column", "config", "revision"))
    return CollectionOptions(name, int(limit), given.get("split"), column, config, revision, INDEX_WORKERS)


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError):  # a name that no system takes, or of nobody's home
        return False


def _gigabytes(text: str) -> int:
    try:
        size = float(text)
    except ValueError as error:
        raise UserError(f"CLIP_LEVERS_MEMORY_GB is “{text}”. Give it a number of gigabytes, such as 6.") from error
    if not 0.1 <= size <= 10_000:
        raise UserError(f"CLIP_LEVERS_MEMORY_GB is {size:g}. Give it between 0.1 and 10,000 gigabytes.")
    return int(size * GIGABYTE)
