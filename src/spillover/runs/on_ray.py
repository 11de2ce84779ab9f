"""Make stages as tasks of a Ray cluster whose nodes share the store. Ray schedules, and retries what a dead node ran.

Ray is imported when it is asked for: it comes with ``pip install 'spillover[ray]'``.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spillover.core.console import Progress
from spillover.core.errors import ConfigError, SpilloverError
from spillover.runs.cores import cores, use_threads, wait_lightly
from spillover.runs.make import Answer, Task, attempt, problem
from spillover.runs.memory import keep_freed_memory
from spillover.runs.shared import Shared, shared
from spillover.runs.stage import KINDS, Stage
from spillover.runs.store import Store

RETRIES = 3
"""How often Ray starts a stage again whose node or process died."""
POLL_SECONDS = 0.5
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class OnRay:
    """The executor for a Ray cluster.

    A stage takes one CPU and computes with one thread, as in :class:`spillover.runs.local.Local`; one that wants all
    cores takes as many as the largest node has. A stage that died is begun again on what its directory holds; should
    the first attempt be alive after all, the second waits for its lock and then finds the stage made.
    """

    address: str = "local"
    """As :func:`ray.init` takes it; ``local`` starts a cluster in this process that ends with it."""
    gpus_per_stage: float | None = None
    """Of the stages that compute on a GPU; by default 1, or 0 where the cluster has none."""

    def make(self, missing: list[Stage], store: Store, progress: Progress) -> None:
        """See :class:`spillover.runs.execute.Executor`.

        Raises:
            ConfigError: There is no cluster at the address, or no node has GPUs as asked.
        """
        with _cluster(self.address) as ray, shared(store) as seen:
            board = _on_this_node(ray, ray.remote(_Board))
            remote = ray.remote(max_retries=RETRIES)(_make_stage)
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            largest = max(1, *(int(node.get("CPU", 0)) for node in nodes))
            gpus = self._gpus(max(node.get("GPU", 0) for node in nodes))
            asked: dict[str, Any] = {}
            waiting: dict[Any, Stage] = {}
            try:
                for stage in missing:
                    cpus = largest if stage.all_cores else 1
                    wanted = {"num_cpus": cpus, "num_gpus": gpus if KINDS[stage.kind].gpu else 0}
                    inputs = [asked[needed.key] for needed in stage.inputs.values() if needed.key in asked]
                    task = remote.options(name=stage.label, **wanted)
                    handle = asked[stage.key] = task.remote(Task.of(stage), seen, cpus, board, *inputs)
                    waiting[handle] = stage
                _follow(ray, waiting, board, store, progress)
            finally:
                for handle in waiting:
                    ray.cancel(handle, force=True)

    def _gpus(self, most: float) -> float:
        if self.gpus_per_stage is None:
            return min(1, most)
        if self.gpus_per_stage > most or (self.gpus_per_stage > 1 and self.gpus_per_stage % 1):
            raise ConfigError(
                f"{self.gpus_per_stage:g} GPUs a stage: give a share of one or a whole number, "
                f"at most what a node has (here {most:g})"
            )
        return self.gpus_per_stage


class _Board:
    """An actor on which stages note how far they are, and see whether to begin at all."""

    def __init__(self) -> None:
        self._stopped = False
        self._news: dict[str, tuple[float, float]] = {}

    def begin(self, key: str) -> bool:
        if not self._stopped:
            self._news[key] = (0, 1)
        return not self._stopped

    def note(self, key: str, done: float, total: float) -> None:
        self._news[key] = (done, total)

    def stop(self) -> None:
        self._stopped = True

    def news(self) -> dict[str, tuple[float, float]]:
        news, self._news = self._news, {}
        return news


def _make_stage(task: Task, seen: Shared, threads: int, board: Any, *inputs: Answer) -> Answer:
    """What a node runs; ``inputs`` are there for Ray to wait for."""
    import ray

    if any(answer.outcome != "done" for answer in inputs) or not ray.get(board.begin.remote(task.key)):
        return Answer("skipped")
    wait_lightly()
    keep_freed_memory()
    try:
        store = seen.open()
    except SpilloverError as error:
        return Answer("user-error", str(error))
    use_threads(threads)
    return attempt(task, store, lambda done, total: board.note.remote(task.key, done, total))


def _follow(ray: Any, waiting: dict[Any, Stage], board: Any, store: Store, progress: Progress) -> None:
    """Tell ``progress`` of what is waited for until nothing is left, then raise the first error."""
    wrong: Exception | None = None
    unmade: set[str] = set()
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=POLL_SECONDS)
        labels = {stage.key: stage.label for stage in waiting.values()}
        for key, (done, total) in ray.get(board.news.remote()).items():
            if key in labels:
                progress.update(labels[key], done, total)
        for handle in ready:
            answer, stage = _answer(ray, handle), waiting.pop(handle)
            if answer.outcome == "done":
                progress.finish(stage.label)
                continue
            board.stop.remote()
            unmade.add(stage.key)
            if not any(needed.key in unmade for needed in stage.inputs.values()):  # Ray gives an input's error again
                found = problem(stage, answer, store)
                wrong = wrong or found
    if wrong:
        raise wrong


def _answer(ray: Any, handle: Any) -> Answer:
    try:
        answer: Answer = ray.get(handle)
    except ray.exceptions.RayError as error:
        line = str(error).strip().splitlines()[0]
        what = f"{type(error).__name__}: {line}"
        if not isinstance(error, ray.exceptions.RayTaskError):
            what = f"its process died, {RETRIES} retries too ({what}); out of memory?"
        return Answer("failed", what, str(error))
    return answer


def _on_this_node(ray: Any, actor: Any) -> Any:
    """Start an actor where this process is (of a remote driver, where its server is), so that it outlives others."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise SpilloverError("the Ray executor needs Ray: pip install 'spillover[ray]'") from None
    if ray.is_initialized():  # a notebook's, which is left as it is
        yield ray
        return
    options: dict[str, Any] = {"num_cpus": len(cores()), "include_dashboard": False} if address == "local" else {}
    try:
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        said = " … ".join(dict.fromkeys([lines[0], lines[-1]]))
        raise ConfigError(
            f"address {address}: cannot connect to a Ray cluster there ({said}); "
            "if it asks for a token, set RAY_AUTH_MODE=token and Ray's token file"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise an OSError if nothing listens at HOST:PORT; Ray itself would wait for ever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
