"""Make stages in processes on this machine that are pinned to a core each."""

import contextlib
import multiprocessing as mp
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from spillover.core.console import Progress
from spillover.runs.cores import cores
from spillover.runs.make import Answer, StageFailed, Task, problem
from spillover.runs.stage import Stage
from spillover.runs.store import Store
from spillover.runs.worker import work


@dataclass(frozen=True)
class Local:
    """The executor that needs nothing else."""

    workers: int | None = None
    """Processes; by default one for each core this process may use."""

    def make(self, missing: list[Stage], store: Store, progress: Progress) -> None:
        """See :class:`spillover.runs.execute.Executor`."""
        waiting = list(missing)
        wrong: Exception | None = None
        with _pool(store.root, min(self.workers or len(cores()), len(missing))) as pool:
            while waiting or any(worker.stage for worker in pool):
                if wrong is None:
                    _assign(waiting, pool, progress)
                busy = {worker.pipe: worker for worker in pool if worker.stage}
                if not busy:
                    break
                for pipe in wait(list(busy), timeout=1.0):
                    wrong = _hear(busy[pipe], progress, store) or wrong  # type: ignore[index]
        if wrong:
            raise wrong


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    stage: Stage | None = None


def _assign(waiting: list[Stage], pool: list[_Worker], progress: Progress) -> None:
    """Give free workers what can be made now; a stage that wants all cores waits until it is alone."""
    unmade = {stage.key for stage in waiting} | {worker.stage.key for worker in pool if worker.stage}
    running = [worker.stage for worker in pool if worker.stage]
    for stage in list(waiting):
        free = [worker for worker in pool if worker.stage is None]
        if not free or any(other.all_cores for other in running):
            return
        if any(needed.key in unmade for needed in stage.inputs.values()):
            continue
        if stage.all_cores and running:
            return
        worker = free[0]
        worker.stage = stage
        running.append(stage)
        waiting.remove(stage)
        progress.update(stage.label, 0, 1)
        worker.pipe.send(Task.of(stage))


def _hear(worker: _Worker, progress: Progress, store: Store) -> Exception | None:
    stage = worker.stage
    assert stage is not None
    try:
        heard = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        worker.stage = None
        return StageFailed(f"{stage.label}: its process died (exit code {worker.process.exitcode}); out of memory?")
    if not isinstance(heard, Answer):
        progress.update(stage.label, *heard)
        return None
    worker.stage = None
    if heard.outcome == "done":
        progress.finish(stage.label)
    return problem(stage, heard, store)


@contextlib.contextmanager
def _pool(root: Path, count: int) -> Iterator[list[_Worker]]:
    """``count`` workers, a core each; they import nothing heavy before their first stage."""
    context = mp.get_context("spawn")
    ours = cores()
    pool = []
    for number in range(count):
        near, far = context.Pipe()
        arguments = (far, root, ours[number % len(ours)])
        process = context.Process(target=work, args=arguments, daemon=True, name=f"worker-{number}")
        process.start()
        far.close()
        pool.append(_Worker(process, near))
    try:
        yield pool
        for worker in pool:
            worker.pipe.close()
        for worker in pool:
            worker.process.join(5)
    finally:
        for worker in pool:
            if worker.process.is_alive():
                worker.process.kill()
