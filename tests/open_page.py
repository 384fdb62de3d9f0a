"""A page that is open, without a browser: it joins the queue and reads its answers as the page's script does."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx


class Busy(Exception):
    """The server has no room now, and says so in a sentence."""


class Refused(Exception):
    """What was asked cannot be answered; the sentence says why."""


class OpenPage:
    """What stands on one page, and how to press there. All events of one page may be under way at once."""

    def __init__(self, address: str, config: Mapping[str, Any], local_address: str | None = None) -> None:
        """A page as the server sends it (`/config`), opened from an address of this machine."""
        # A connection is let go before the server does so: one that it closes while a request is under way is an error.
        limits = httpx.Limits(keepalive_expiry=2)
        transport = httpx.AsyncHTTPTransport(local_address=local_address, limits=limits)
        self.http = httpx.AsyncClient(base_url=f"{address}/gradio_api/", transport=transport, timeout=300)
        self.session = secrets.token_hex(6)
        self.values = {one["id"]: one["props"].get("value") for one in config["components"]}
        self._ids = {one["props"]["elem_id"]: one["id"] for one in config["components"] if one["props"].get("elem_id")}
        self._dependencies = config["dependencies"]
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None

    def id(self, name: str) -> int:
        """Of a part of the page, by its name in HTML."""
        return self._ids[name]

    def event(self, name: str, event: str) -> Mapping[str, Any]:
        """What the server is told of a part's event."""
        target = [self.id(name), event]
        return next(one for one in self._dependencies if target in one["targets"] and one["queue"])

    def following(self, event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What follows it."""
        return [one for one in self._dependencies if one["trigger_after"] == event["id"] and one["queue"]]

    async def join(self, event: Mapping[str, Any], told: object = None, **given: object) -> str:
        """Send an event, with what its script tells and with other values than those on the page; its id."""
        given_ids = {self.id(name.replace("_", "-")): value for name, value in given.items()}
        data = [given_ids.get(one, self.values.get(one)) for one in event["inputs"]]
        if "aria-selected" in str(event["js"]):  # it asks which tab is open
            data[-1] = json.dumps({"tab": "Evidence", "moment": asyncio.get_running_loop().time() * 1000})
        body = {
            "data": data, "event_data": told, "fn_index": event["id"], "session_hash": self.session,
            "trigger_id": event["targets"][0][0] if event["targets"] else None,
        }  # fmt: skip
        response = await self.http.post("queue/join", json=body)
        if response.status_code in (429, 503):
            raise Busy(response.json()["detail"])
        response.raise_for_status()
        return response.json()["event_id"]

    async def answer(self, event: Mapping[str, Any], told: object = None, **given: object) -> dict[int, Any]:
        """Send an event and wait for its last answer: what it shows, by the parts' ids."""
        joined = await self.join(event, told, **given)
        waiting = self._answers.setdefault(joined, asyncio.get_running_loop().create_future())
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        message = await waiting
        if not message["success"]:
            raise Refused(message["output"].get("error"))
        shown = dict(zip(event["outputs"], message["output"].get("data", ()), strict=False))
        for one, value in shown.items():
            if not isinstance(value, dict) or value.get("__type__") != "update":
                self.values[one] = value
            elif "value" in value:
                self.values[one] = value["value"]
        return shown

    async def press(self, name: str, event: str, told: object = None, **given: object) -> dict[int, Any]:
        """The same by the names of part and event."""
        return await self.answer(self.event(name, event), told, **given)

    async def upload(self, picture: bytes, name: str = "picture.png") -> dict[str, Any]:
        """A file, as an event may name it afterwards."""
        response = await self.http.post("upload", files={"files": (name, picture)})
        if response.status_code in (429, 503):
            raise Busy(response.text)
        response.raise_for_status()
        path = response.json()[0]
        return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}

    async def close(self) -> None:
        """Leave."""
        if self._reader is not None:
            self._reader.cancel()
        await self.http.aclose()

    async def _read(self) -> None:
        try:
            async with self.http.stream("GET", "queue/data", params={"session_hash": self.session}) as lines:
                async for line in lines.aiter_lines():
                    message = json.loads(line.removeprefix("data:")) if line else {}
                    if message.get("msg") == "process_completed":
                        answer = self._answers.setdefault(
                            message["event_id"], asyncio.get_running_loop().create_future()
                        )
                        if not answer.done():
                            answer.set_result(message)
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Refused(repr(error)))
            return
        if any(not answer.done() for answer in self._answers.values()):  # one was sent while the stream closed
            await self._read()
