"""Many visitors at once: ``python tests/benchmarks/load.py --visitors 30 --seconds 120``.

Starts the app, lets one visitor press alone, then all of them: each opens a page, brings a picture of its own, names
classes that nobody else has, and goes on by chance: pressing a component, moving its lever, opening the evidence,
bringing the picture again, asking anew, with a pause before each (`--pause`, on average). With `--hostile`, one more
sends as many questions of 200 classes and 32 wordings as it can. Every answer that shows a prediction is checked: own
picture, own classes. Nothing here is a test; figures are quoted in README.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from open_page import Busy, OpenPage, Refused

from core.setups.catalog import read_catalog

ROOT = Path(__file__).parents[2]
ACTIONS = {"press": 55, "slider": 25, "evidence": 8, "upload": 6, "ask": 6}
"""What visitors do, and how often out of a hundred."""
ALONE = 20
"""Presses of the one who is alone."""


class Record:
    """What happened."""

    def __init__(self) -> None:
        """Nothing."""
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.busy: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.foreign = 0
        self.memory: list[tuple[float, float]] = []
        self.pictures: set[str] = set()
        """What the pages show of their visitors' pictures."""

    def row(self, name: str, alone: float) -> str:
        """A row of the table."""
        press = self.seconds["press"]
        median = statistics.median(press)
        late = statistics.quantiles(press, n=20)[-1]
        done = sum(map(len, self.seconds.values()))
        start, end = self.memory[0][1], self.memory[-1][1]
        minute = next((mb for at, mb in self.memory if at >= 60), end)
        return (
            f"| {name} | {done} | {sum(self.errors.values())} | {sum(self.busy.values())} | {self.foreign} "
            f"| {alone * 1000:.0f} | {median * 1000:.0f} | {median / alone:.1f} | {late * 1000:.0f} "
            f"| {start:.0f} | {minute:.0f} | {end:.0f} |"
        )


HEAD = """| run | answers | errors | busy | of others | press alone, ms | press, median | ratio | press, 95 % | MB at first | after a minute | at the end |
|---|---|---|---|---|---|---|---|---|---|---|---|"""  # noqa: E501


class Visitor:
    """One of many, with a picture and classes of its own."""

    def __init__(self, number: int, page: OpenPage, record: Record, words: list[str]) -> None:
        """Nothing is done yet."""
        self.number, self.page, self.record = number, page, record
        self.chance = random.Random(number)
        pairs = list(itertools.combinations(words, 2))
        self.classes = [" ".join(pairs[(3 * number + k) * 7 % len(pairs)]) for k in range(3)]
        self.lever = 0.0
        self.picture = ""

    async def arrive(self) -> None:
        """Bring the picture, with the classes."""
        await self.upload()
        self.record.pictures.add(self.picture)

    async def stay(self, until: float, pause: float) -> None:
        """Do what visitors do."""
        while time.monotonic() < until:
            await asyncio.sleep(self.chance.expovariate(1 / pause))
            kind = self.chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            await self.timed(kind)

    async def timed(self, kind: str) -> None:
        """Do one thing, and note how long it took and what came of it."""
        began = time.monotonic()
        try:
            await getattr(self, kind)()
        except Busy:
            self.record.busy[kind] += 1
        except (Refused, httpx.HTTPError, KeyError, IndexError) as error:
            self.record.errors[f"{kind}: {error!r}"[:200]] += 1
        else:
            self.record.seconds[kind].append(time.monotonic() - began)

    async def press(self) -> None:
        """A component's button."""
        rows = str(self.page.values[self.page.id("rows")])
        component = int(self.chance.choice(re.findall(r'data-component="(\d+)"', rows)))
        told = {"component": component, "action": "suppress", "on": self.chance.random() < 0.6}
        await self._shows_mine("rows", "act", told)

    async def slider(self) -> None:
        """The lever of one component, moved."""
        page = self.page
        rows = str(page.values[page.id("rows")])
        component = int(re.findall(r'data-component="(\d+)"', rows)[0])
        message = json.loads(page.values[page.id("levers")])
        strength = str(round(self.chance.uniform(0, 3), 2))
        self.lever += 1
        message |= {
            "levers": [{"component": component, "operation": "scale", "strength": strength, "family": None}],
            "moment": time.monotonic() * 1000, "gesture": self.lever,
        }  # fmt: skip
        page.values[page.id("levers")] = json.dumps(message)
        await self._shows_mine("levers", "pull")

    async def evidence(self) -> None:
        """All evidence about the edit."""
        page = self.page
        event = next(one for one in page.following(page.event("rows", "act")) if page.id("summary") in one["outputs"])
        await page.answer(event)

    async def upload(self) -> None:
        """The picture."""
        file = await self.page.upload(_picture(self.number))
        await self._shows_mine("upload", "upload", upload=file, classes="\n".join(self.classes))

    async def ask(self) -> None:
        """The same classes in another order."""
        self.chance.shuffle(self.classes)
        await self._shows_mine("classify", "click", classes="\n".join(self.classes))

    async def _shows_mine(self, name: str, event: str, told: object = None, **given: object) -> None:
        shown = str(await self.page.press(name, event, told, **given))
        picture = _picture_in(shown) or self.picture  # a lever sends none
        self.picture = self.picture or picture
        if picture != self.picture or any(one not in shown for one in self.classes):
            self.record.foreign += 1


def _picture(number: int) -> bytes:
    """One that nobody else has."""
    chance = random.Random(number)
    picture = Image.new("RGB", (640, 480), tuple(chance.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = chance.randrange(640), chance.randrange(480)
        draw.ellipse((x, y, x + 150, y + 120), tuple(chance.randrange(256) for _ in range(3)))
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _picture_in(shown: str) -> str:
    found = re.search(r'<img src="([^"]+)"', shown)
    return found[1] if found else ""


async def hostile(pages: list[OpenPage], until: float) -> None:
    """As many expensive questions as the server takes, on several pages at one address."""
    event, number = pages[0].event("classify", "click"), itertools.count()
    wordings = "\n".join(f"{k} photos of a {{}}" for k in range(32))

    async def ask(page: OpenPage) -> None:
        while time.monotonic() < until:
            classes = "\n".join(f"thing {next(number)}" for _ in range(200))
            try:
                await page.answer(event, classes=classes, wording="own", own=wordings, truth="")
            except (Busy, Refused, httpx.HTTPError):
                await asyncio.sleep(0.05)

    await asyncio.gather(*(ask(page) for page in pages for _ in range(10)))


@asynccontextmanager
async def served(port: int) -> AsyncIterator[tuple[str, int]]:
    """The app, in a process of its own: its address and the process's number."""
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as http:
            while process.poll() is None:
                try:
                    (await http.get(f"{address}/config")).raise_for_status()
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


async def watch_memory(process: int, record: Record) -> None:
    """Note every second what the server holds."""
    began = time.monotonic()
    while True:
        status = Path(f"/proc/{process}/status").read_text()
        record.memory.append((time.monotonic() - began, int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024))
        await asyncio.sleep(1)


async def run(visitors: int, seconds: float, pause: float, with_hostile: bool, port: int) -> None:
    """One run, and its row."""
    words = sorted(read_catalog()["bundled"].vocabulary or ())
    async with served(port) as (address, process):
        async with httpx.AsyncClient() as http:
            config: Mapping[str, Any] = (await http.get(f"{address}/config")).json()

        def page(number: int) -> OpenPage:
            return OpenPage(address, config, f"127.0.{1 + number // 200}.{1 + number % 200}")

        first, record = Record(), Record()
        one = Visitor(0, page(0), first, words)
        await one.arrive()
        for _ in range(2 * ALONE):
            await one.timed("press")
        alone = statistics.median(first.seconds["press"][ALONE:])
        await one.page.close()

        everybody = [Visitor(k, page(k), record, words) for k in range(1, visitors + 1)]
        memory = asyncio.create_task(watch_memory(process, record))
        for visitor in everybody:
            await visitor.arrive()
        assert len(record.pictures) == visitors, "each looks at a picture of its own"
        until = time.monotonic() + seconds
        staying = [visitor.stay(until, pause) for visitor in everybody]
        bad = [page(visitors + 1) for _ in range(8 if with_hostile else 0)]
        asking = asyncio.create_task(hostile(bad, until))
        await asyncio.gather(*staying)
        asking.cancel()
        memory.cancel()
        await asyncio.gather(*(one.close() for one in (*bad, *(visitor.page for visitor in everybody))))
    name = f"{visitors} for {seconds:.0f} s" + (", one hostile" if with_hostile else "")
    print(HEAD)
    print(record.row(name, alone))
    by_the_minute = [mb for k, (_, mb) in enumerate(record.memory) if not k % 60]
    print("memory by the minute, MB: " + ", ".join(f"{mb:.0f}" for mb in by_the_minute))
    for kind, times in record.seconds.items():
        print(f"{kind}: {len(times)}, median {statistics.median(times):.3f} s, longest {max(times):.3f} s")
    for error, count in record.errors.most_common(10):
        print(f"{count} x {error}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds before each action, on average")
    parser.add_argument("--hostile", action="store_true", help="one more visitor, who asks for as much as it can")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chosen = parser.parse_args()
    asyncio.run(run(chosen.visitors, chosen.seconds, chosen.pause, chosen.hostile, port))


if __name__ == "__main__":
    main()
