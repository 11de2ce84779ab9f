"""Puts sampling requests that arrive together into one batch."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio.to_thread import run_sync

from spillover.models.sampler import Sampled, SampleRequest

SampleMany = Callable[[Sequence[SampleRequest]], list[list[Sampled]]]

_NEXT_SEED = 1_000_003


@dataclass
class _Ticket:
    request: SampleRequest
    woken: anyio.Event = field(default_factory=anyio.Event)
    answers: list[Sampled] | None = None
    error: BaseException | None = None


class Batcher:
    """The first request of a batch waits ``window`` seconds for others, then samples for all; nobody polls.

    Requests that arrive while a batch is sampled form the next one. Equal requests become one request for the sum of
    their samples, so that each gets samples of its own; a request that comes again later gets new samples too.

    Args:
        sample_many: The sampler; it runs in a thread, one batch at a time.
        window: Seconds.
    """

    def __init__(self, sample_many: SampleMany, window: float = 0.01) -> None:
        self._sample_many = sample_many
        self._window = window
        self._waiting: list[_Ticket] = []
        self._busy = False
        self._served: Counter[SampleRequest] = Counter()

    async def sample(self, request: SampleRequest) -> list[Sampled]:
        """Answers to one request, sampled together with others that arrive about now."""
        ticket = _Ticket(request)
        self._waiting.append(ticket)
        if self._busy:
            await self._wait(ticket)
        if ticket.answers is None and ticket.error is None:
            self._busy = True
            with anyio.CancelScope(shield=True):  # others wait for this batch, even if its first request is given up
                await self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.answers or []

    async def _wait(self, ticket: _Ticket) -> None:
        try:
            await ticket.woken.wait()
        except BaseException:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                if ticket.woken.is_set():
                    self._pass_on()
            raise

    async def _lead(self) -> None:
        await anyio.sleep(self._window)
        batch, self._waiting = self._waiting, []
        try:
            await run_sync(self._serve, batch)
        except BaseException as error:
            for ticket in batch:
                ticket.error = error
        for ticket in batch:
            ticket.woken.set()
        self._pass_on()

    def _pass_on(self) -> None:
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].woken.set()

    def _serve(self, batch: list[_Ticket]) -> None:
        groups: dict[SampleRequest, list[_Ticket]] = {}
        for ticket in batch:
            groups.setdefault(replace(ticket.request, n=0), []).append(ticket)
        requests = []
        for key, tickets in groups.items():
            seed = key.seed + self._served[key] * _NEXT_SEED
            requests.append(replace(key, n=sum(ticket.request.n for ticket in tickets), seed=seed))
            self._served[key] += 1
        for tickets, answers in zip(groups.values(), self._sample_many(requests), strict=True):
            start = 0
            for ticket in tickets:
                ticket.answers = answers[start : start + ticket.request.n]
                start += ticket.request.n
