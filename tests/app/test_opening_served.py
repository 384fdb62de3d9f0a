"""A page whose own setup is still loading, served: it answers, and then newcomers and programs get that setup."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client, handle_file
from open_page import OpenPage

DOG = Path(__file__).parents[2] / "assets" / "examples" / "dog-note-cat.webp"


def test_the_first_page_answers_while_it_loads_and_later_ones_open_with_it(
    held_back: tuple[str, threading.Event],
) -> None:
    address, let_go = held_back

    def config() -> Mapping[str, Any]:
        return httpx.get(f"{address}/config").raise_for_status().json()

    def chosen(told: Mapping[str, Any]) -> str:
        return next(one["props"]["value"] for one in told["components"] if one["props"].get("elem_id") == "chosen")

    def setup_of(page: OpenPage) -> str:
        return next(value for value in page.values.values() if isinstance(value, str) and '"setup":' in value)

    async def visit() -> None:
        early = config()
        assert chosen(early) == "bundled"
        first = OpenPage(address, early)
        following = asyncio.create_task(first.press("opening", "follow"))
        pressed = {"component": 99, "action": "suppress", "on": True}
        drawn = await first.press("rows", "act", pressed)
        assert "Flipped" in drawn[first.id("prediction")]
        assert not following.done()
        let_go.set()
        await following
        while chosen(late := config()) != "tiny":
            await asyncio.sleep(0.05)
        (told,) = first.following(first.event("opening", "follow"))
        assert "is loaded and checked" in (await first.answer(told))[first.id("opening")]
        await first.press("rows", "act", pressed | {"on": False})
        assert '"setup":"bundled"' in setup_of(first), "who was here keeps it"
        await first.press("opening", "take")
        assert '"setup":"tiny"' in setup_of(first)
        second = OpenPage(address, late)
        await second.press("rows", "act", {"component": 3, "action": "suppress", "on": True})
        assert '"setup":"tiny"' in setup_of(second)
        await first.close()
        await second.close()

    with ThreadPoolExecutor(1) as threads:
        client = Client(address, verbose=False)
        asked = threads.submit(client.predict, handle_file(DOG), "dog, cat", api_name="/predict")
        asyncio.run(asyncio.wait_for(visit(), 120))
        assert asked.result(60)["setup"]["name"] == "tiny", "a program that names no setup waits for the one meant"
