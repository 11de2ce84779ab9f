"""A process that makes stages, one after another. It stays alive, since importing the libraries takes seconds."""

import importlib
import os
import signal
import threading
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from spillover.core.errors import SpilloverError, StorageError
from spillover.runs.memory import keep_freed_memory
from spillover.runs.store import Store, write_json
from spillover.runs.versions import environment

PROGRESS_SECONDS = 0.2


def work(pipe: Connection, root: Path, core: int | None) -> None:
    """Take tasks from ``pipe`` until it closes.

    A task is a dict with key, kind, entry, config, inputs (name to key) and all_cores. Answers:
    ``("progress", done, total)``, ``("done",)``, ``("user-error", message)`` or ``("failed", message, traceback)``.

    Args:
        pipe: To the process that plans.
        root: Of the store.
        core: The core this worker is pinned to, where the system can.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides what an interrupt means
    warnings.filterwarnings("ignore", category=FutureWarning)  # other libraries' notes to their developers
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    keep_freed_memory()
    store = Store(root)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            _threads(core, bool(task["all_cores"]))
            _make(store, task, pipe)
            answer: tuple[Any, ...] = ("done",)
        except SpilloverError as error:
            answer = ("user-error", str(error))
        except OSError as error:
            if error.errno is None or (error.filename is None and error.errno not in (28, 30)):
                answer = ("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
            else:
                where = error.filename or store.partial(task["key"])
                answer = ("user-error", str(StorageError(f"{where}: cannot write there ({error.strerror})")))
        except Exception as error:
            answer = ("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
        pipe.send(answer)


def _make(store: Store, task: dict[str, Any], pipe: Connection) -> None:
    key = task["key"]
    with store.lock(key):
        if store.ready(key):  # another process made it meanwhile
            return
        out = store.partial(key)
        out.mkdir(parents=True, exist_ok=True)
        store.record(key, "started")
        write_json(out / "stage.json", _identity(task))
        started = time.monotonic()
        module, _, name = task["entry"].partition(":")
        function = getattr(importlib.import_module(module), name)
        function(task["config"], {name: store.folder(of) for name, of in task["inputs"].items()}, out, _reporter(pipe))
        write_json(out / "env.json", environment(time.monotonic() - started))
        store.commit(key)


def _identity(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in ("kind", "config", "inputs")}


def _reporter(pipe: Connection) -> Any:
    last = 0.0

    def report(done: float, total: float) -> None:
        nonlocal last
        if time.monotonic() - last > PROGRESS_SECONDS or done == total:
            last = time.monotonic()
            pipe.send(("progress", done, total))

    return report


def _threads(core: int | None, all_cores: bool) -> None:
    import torch

    if hasattr(os, "sched_setaffinity"):
        everything = set(_CORES)
        os.sched_setaffinity(0, everything if all_cores or core is None else {core})
    torch.set_num_threads(len(_CORES) if all_cores else 1)


_CORES = (
    tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))
)


def _die_with(parent: int) -> None:
    """Leave nothing behind when the planner is killed."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)
