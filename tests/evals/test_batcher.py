"""Requests that arrive together are sampled together, and each gets samples of its own."""

from collections.abc import Sequence

import anyio
import pytest

from spillover.evals.batcher import Batcher
from spillover.models.sampler import Sampled, SampleRequest


class Recorder:
    """A sampler that numbers its answers and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[SampleRequest]] = []

    def __call__(self, requests: Sequence[SampleRequest]) -> list[list[Sampled]]:
        self.batches.append(list(requests))
        if any(request.prompt_ids == (13,) for request in requests):
            raise RuntimeError("bad luck")
        return [[Sampled((i,), f"{r.seed}/{i}", "stop", 0.0) for i in range(r.n)] for r in requests]


async def gather(batcher: Batcher, requests: Sequence[SampleRequest]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in requests]

    async def one(i: int) -> None:
        found[i] = [answer.text for answer in await batcher.sample(requests[i])]

    async with anyio.create_task_group() as group:
        for i in range(len(requests)):
            group.start_soon(one, i)
    return found


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_batch_and_own_samples(backend: str) -> None:
    if backend == "trio":
        pytest.importorskip("trio")
    sampler = Recorder()
    batcher = Batcher(sampler)
    epochs = [SampleRequest((1,), 2), SampleRequest((2,), 1), SampleRequest((1,), 3)]
    first = anyio.run(gather, batcher, epochs, backend=backend)
    assert sampler.batches == [[SampleRequest((1,), 5), SampleRequest((2,), 1)]]
    assert first == [["0/0", "0/1"], ["0/0"], ["0/2", "0/3", "0/4"]]
    again = anyio.run(gather, batcher, epochs[1:2], backend=backend)
    assert again != [first[1]]


def test_an_error_reaches_everyone_and_the_next_batch_works() -> None:
    batcher = Batcher(Recorder())
    with pytest.raises(ExceptionGroup) as caught:
        anyio.run(gather, batcher, [SampleRequest((13,)), SampleRequest((1,))])
    assert all(isinstance(error, RuntimeError) for error in caught.value.exceptions)
    assert anyio.run(gather, batcher, [SampleRequest((1,))])


def test_requests_during_a_batch_form_the_next_and_cancelled_ones_do_not_block() -> None:
    sampler = Recorder()
    batcher = Batcher(sampler)
    done: list[int] = []

    async def ask(prompt: int) -> None:
        await batcher.sample(SampleRequest((prompt,)))
        done.append(prompt)

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, 1)
            await anyio.sleep(0)
            with anyio.move_on_after(0):
                await ask(2)
            group.start_soon(ask, 3)
        await ask(4)

    anyio.run(scenario)
    assert sorted(done) == [1, 3, 4]
    assert all(request.prompt_ids != (2,) for batch in sampler.batches for request in batch)
