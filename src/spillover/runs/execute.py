"""Make what is missing, in worker processes that are pinned to a core each."""

import contextlib
import multiprocessing as mp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from spillover.core.console import Progress, live
from spillover.core.errors import SpilloverError
from spillover.runs.plan import to_make
from spillover.runs.stage import KINDS, Stage
from spillover.runs.store import Store
from spillover.runs.worker import work


class StageFailed(RuntimeError):
    """A stage ended with an error that is not the user's; the message names the file with the traceback."""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    stage: Stage | None = None


def execute(targets: list[Stage], store: Store, workers: int | None = None) -> dict[str, Path]:
    """Make every target that is not there yet.

    Args:
        targets: What is wanted; what they need is made too.
        store: Where finished stages are, and go.
        workers: Processes; by default one for each core this process may use.

    Returns:
        Directory of each target by its key.

    Raises:
        SpilloverError: A stage met a mistake of the user, or the disk cannot be written. What was running beside it is
            finished first.
        StageFailed: A stage ended with another error.
        KeyboardInterrupt: After the workers were stopped; finished stages stay, begun ones can be resumed.
    """
    missing = to_make(targets, store)
    if missing:
        with live("stages", len(missing)) as progress:
            for stage in missing:
                if damage := store.damage(stage.key):
                    progress.say(f"{stage.label}: damaged ({damage}); making it again")
                    store.set_aside(stage.key)
            _run(missing, store, min(workers or _cores(), len(missing)), progress)
    return {stage.key: store.folder(stage.key) for stage in targets}


def _run(missing: list[Stage], store: Store, count: int, progress: Progress) -> None:
    waiting = list(missing)
    problem: Exception | None = None
    with _pool(store.root, count) as pool:
        while waiting or any(worker.stage for worker in pool):
            if problem is None:
                _assign(waiting, pool, progress)
            busy = {worker.pipe: worker for worker in pool if worker.stage}
            if not busy:
                break
            for pipe in wait(list(busy), timeout=1.0):
                problem = _hear(busy[pipe], progress, store) or problem  # type: ignore[index]
    if problem:
        raise problem


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
        inputs = {name: needed.key for name, needed in stage.inputs.items()}
        worker.pipe.send(
            {
                "key": stage.key,
                "kind": stage.kind,
                "entry": KINDS[stage.kind].entry,
                "config": dict(stage.config),
                "inputs": inputs,
                "all_cores": stage.all_cores,
            }
        )


def _hear(worker: _Worker, progress: Progress, store: Store) -> Exception | None:
    stage = worker.stage
    assert stage is not None
    try:
        answer = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        worker.stage = None
        return StageFailed(f"{stage.label}: its process died (exit code {worker.process.exitcode}); out of memory?")
    if answer[0] == "progress":
        progress.update(stage.label, answer[1], answer[2])
        return None
    worker.stage = None
    if answer[0] == "done":
        progress.finish(stage.label)
        return None
    if answer[0] == "user-error":
        return SpilloverError(f"{stage.label}: {answer[1]}")
    path = store.root / "partial" / f"{stage.key}.error.txt"
    with contextlib.suppress(OSError):
        path.write_text(answer[2], encoding="utf-8")
    return StageFailed(f"{stage.label}: {answer[1]} (traceback in {path})")


@contextlib.contextmanager
def _pool(root: Path, count: int) -> Iterator[list[_Worker]]:
    """``count`` workers, a core each; they import nothing heavy before their first stage."""
    context = mp.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    pool = []
    for number in range(count):
        ours, theirs = context.Pipe()
        arguments = (theirs, root, cores[number % len(cores)])
        process = context.Process(target=work, args=arguments, daemon=True, name=f"worker-{number}")
        process.start()
        theirs.close()
        pool.append(_Worker(process, ours))
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
