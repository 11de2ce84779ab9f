"""A process that makes stages, one after another. It stays alive, since importing the libraries takes seconds."""

import os
import signal
import threading
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from spillover.runs.cores import cores, use_cores
from spillover.runs.make import Task, attempt
from spillover.runs.memory import keep_freed_memory
from spillover.runs.store import Store


def work(pipe: Connection, root: Path, core: int | None) -> None:
    """Take each :class:`Task` from ``pipe`` until it closes; answers are (done, total), then an :class:`Answer`.

    Args:
        pipe: To the process that plans.
        root: Of the store.
        core: The core this worker is pinned to, where the system can.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides what an interrupt means
    warnings.filterwarnings("ignore", category=FutureWarning)  # other libraries' notes to their developers
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    keep_freed_memory()
    store, everything = Store(root), cores()
    while True:
        try:
            task: Task = pipe.recv()
        except (EOFError, OSError):
            return
        use_cores(everything if task.all_cores else [core])
        pipe.send(attempt(task, store, lambda done, total: pipe.send((done, total))))


def _die_with(parent: int) -> None:
    """Leave nothing behind when the planner is killed."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)
