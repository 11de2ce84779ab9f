"""The making of one stage, whoever asks for it: a local process or a node of a cluster."""

import contextlib
import errno
import importlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spillover.core.disk import write_json
from spillover.core.errors import SpilloverError, StorageError
from spillover.runs.stage import KINDS, Report, Stage
from spillover.runs.store import Store
from spillover.runs.versions import environment

PROGRESS_SECONDS = 0.2


class StageFailed(RuntimeError):
    """A stage ended with an error that is not the user's; the message names the file with the traceback."""


@dataclass(frozen=True)
class Task:
    """A stage as it travels to another process: plain values, inputs by their keys."""

    key: str
    kind: str
    entry: str
    config: dict[str, Any]
    inputs: Mapping[str, str]
    all_cores: bool

    @classmethod
    def of(cls, stage: Stage) -> "Task":
        """What another process must know to make ``stage``."""
        inputs = {name: needed.key for name, needed in stage.inputs.items()}
        return cls(stage.key, stage.kind, KINDS[stage.kind].entry, dict(stage.config), inputs, stage.all_cores)


@dataclass(frozen=True)
class Answer:
    """How an attempt ended."""

    outcome: Literal["done", "user-error", "failed", "skipped"]
    message: str = ""
    traceback: str = ""


def attempt(task: Task, store: Store, report: Report) -> Answer:
    """Make the stage of ``task`` if it is not there; an error becomes an answer, and its partial directory stays."""
    try:
        _make(task, store, report)
    except SpilloverError as error:
        return Answer("user-error", str(error))
    except OSError as error:
        if error.errno is None or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EROFS)):
            return _failed(error)
        where = error.filename or store.partial(task.key)
        return Answer("user-error", str(StorageError(f"{where}: cannot write there ({error.strerror})")))
    except Exception as error:
        return _failed(error)
    return Answer("done")


def problem(stage: Stage, answer: Answer, store: Store) -> Exception | None:
    """What an answer means to the one who asked; a traceback is written beside the partial directory."""
    if answer.outcome in ("done", "skipped"):
        return None
    if answer.outcome == "user-error":
        return SpilloverError(f"{stage.label}: {answer.message}")
    path = store.root / "partial" / f"{stage.key}.error.txt"
    with contextlib.suppress(OSError):
        path.write_text(answer.traceback, encoding="utf-8")
    return StageFailed(f"{stage.label}: {answer.message} (traceback in {path})")


def seldom(report: Report) -> Report:
    """``report``, called no more often than every ``PROGRESS_SECONDS``, and at the end."""
    last = 0.0

    def throttled(done: float, total: float) -> None:
        nonlocal last
        if time.monotonic() - last > PROGRESS_SECONDS or done == total:
            last = time.monotonic()
            report(done, total)

    return throttled


def _make(task: Task, store: Store, report: Report) -> None:
    with store.lock(task.key):
        if store.ready(task.key):  # another process made it meanwhile
            return
        out = store.partial(task.key)
        out.mkdir(parents=True, exist_ok=True)
        store.record(task.key, "started")
        write_json(out / "stage.json", {"kind": task.kind, "config": task.config, "inputs": task.inputs})
        started = time.monotonic()
        module, _, name = task.entry.partition(":")
        function = getattr(importlib.import_module(module), name)
        inputs = {name: store.folder(key) for name, key in task.inputs.items()}
        function(task.config, inputs, out, seldom(report))
        write_json(out / "env.json", environment(time.monotonic() - started))
        store.commit(task.key)


def _failed(error: Exception) -> Answer:
    return Answer("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
