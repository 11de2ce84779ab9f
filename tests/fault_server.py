"""A server that speaks OpenAI's protocol, answers by a rule, and fails in every way that servers fail."""

import asyncio
import hashlib
import json
import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

FAULTS = ("429", "500", "hang", "garbage", "html", "close", "half", "no-choices")
KEY = "sk-right-1234567890"
MODEL = "judge"


def rating(prompt: str) -> str:
    """What this judge replies: a number for most prompts, and each of the other things that judges say."""
    number = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
    rare = {0: "CODE", 1: "REFUSAL", 2: "I would rather not say.", 3: "", 4: "140"}
    return rare.get(number % 50, str(number // 50 % 101))


class FaultServer:
    """Listens on a free port of this machine.

    Args:
        reply: From the last message to the answer.
        faults: Share of the requests that fail.
        kinds: How.
        logprobs: ``given``, ``ignored``, ``refused`` (the whole request, with status 400) or ``digits`` (each a token).
        hang: Seconds that a hanging request takes.
    """

    def __init__(
        self,
        reply: Callable[[str], str] = rating,
        faults: float = 0.0,
        kinds: tuple[str, ...] = FAULTS,
        logprobs: str = "given",
        hang: float = 5.0,
        seed: int = 0,
    ) -> None:
        self.reply, self.faults, self.kinds, self.logprobs, self.hang = reply, faults, kinds, logprobs, hang
        self.well_until = 0
        """Requests that are answered before the first may fail."""
        self.random = random.Random(seed)
        self.asked: Counter[str] = Counter()
        """Requests by what was done with them."""
        self.answered: Counter[str] = Counter()
        """Requests that were answered well, by their last message."""
        self.bodies: list[dict[str, Any]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                if not await self._answer(writer, fields, body):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, fields: dict[str, str], body: dict[str, Any]) -> bool:
        self.bodies.append(body)
        if fields.get("authorization") != f"bearer {KEY}":
            return await self._send(writer, 401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
        if body["model"] != MODEL:
            return await self._send(writer, 404, {"error": {"message": f"no model '{body['model']}' here"}})
        if body.get("logprobs") and self.logprobs == "refused":
            self.asked["refused"] += 1
            return await self._send(writer, 400, {"error": {"message": "logprobs are not supported"}})
        fails = self.asked.total() >= self.well_until and self.random.random() < self.faults
        kind = self.random.choice(self.kinds) if fails else "well"
        self.asked[kind] += 1
        if kind == "429":
            return await self._send(writer, 429, {"error": {"message": "slow down"}}, "retry-after: 0\r\n")
        if kind == "500":
            return await self._send(writer, 500, {"error": {"message": "oops"}})
        if kind == "hang":
            await asyncio.sleep(self.hang)
            return False
        if kind == "garbage":
            return await self._send(writer, 200, '{"choices": [{"message": {"cont')
        if kind == "html":
            return await self._send(writer, 200, "<html>gateway</html>")
        if kind == "close":
            return False
        if kind == "half":
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"id":')
            await writer.drain()
            return False
        if kind == "no-choices":
            return await self._send(writer, 200, self._completion(body, []))
        prompt = body["messages"][-1]["content"]
        self.answered[prompt] += 1
        return await self._send(writer, 200, self._completion(body, [self._choice(body, self.reply(prompt))]))

    def _choice(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs") and self.logprobs in ("given", "digits") and text:
            choice["logprobs"] = {"content": [self._first(text)]}
        return choice

    def _first(self, text: str) -> dict[str, Any]:
        """Most of the probability on the text's first token, a tenth on each neighbour of a number."""
        token = text.split()[0]
        if self.logprobs == "digits" and token.isdecimal():
            token = token[0]
        masses = {token: 0.75}
        if token.isdecimal() and self.logprobs == "given":
            masses |= {str(int(token) + step): 0.1 for step in (-10, 10)}
        top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in masses.items()]
        return {**top[0], "top_logprobs": top}

    def _completion(self, body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": choices,
            "usage": usage,
        }

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: Any, more: str = "") -> bool:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n{more}\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return True


@contextmanager
def serving(server: FaultServer):
    """Run a server in a thread of its own."""
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def begin() -> None:
        listening = await asyncio.start_server(server._serve, "127.0.0.1", 0, backlog=512)
        server.port = listening.sockets[0].getsockname()[1]
        started.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


async def _end() -> None:
    """Let every connection close itself."""
    open_ones = asyncio.all_tasks() - {asyncio.current_task()}
    for task in open_ones:
        task.cancel()
    await asyncio.gather(*open_ones, return_exceptions=True)
