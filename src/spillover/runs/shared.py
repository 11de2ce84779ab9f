"""A store that several machines see under one path: said by the one who plans, checked by those who make.

Stages are kept apart by file locks, so that locks must hold from machine to machine too.
"""

import fcntl
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spillover import __version__
from spillover.core.disk import disk
from spillover.core.errors import SpilloverError, StorageError
from spillover.runs.store import Store


@dataclass(frozen=True)
class Shared:
    """A store as it is told to other machines."""

    root: Path
    sign: str
    """A file in it that is there, and locked, for as long as the run goes on."""
    version: str
    """Of Spillover, where the run was planned."""

    def open(self) -> Store:
        """The store, on this machine.

        Raises:
            SpilloverError: This machine has another version of Spillover.
            StorageError: It sees no store there or another one, cannot write it, or sees no locks of other machines.
        """
        node = platform.node()
        if self.version != __version__:
            raise SpilloverError(f"node {node} has Spillover {__version__}, not {self.version}; install that there")
        if not (self.root / self.sign).is_file():
            raise StorageError(
                f"node {node} does not see the run store at {self.root}; "
                "set SPILLOVER_HOME to a folder that every node has under the same path"
            )
        with disk(self.root), (self.root / self.sign).open("a") as sign:
            try:
                fcntl.flock(sign, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Store(self.root)
        raise StorageError(
            f"node {node} does not see locks that other nodes hold in {self.root}; set SPILLOVER_HOME to a file system "
            "that shares them (NFS 4 does, Lustre if mounted with `flock`)"
        )


@contextmanager
def shared(store: Store) -> Iterator[Shared]:
    """Put a sign into the store that other machines know it by."""
    root = store.root.absolute()
    with disk(root), tempfile.NamedTemporaryFile(prefix="run-", dir=root / "locks") as sign:
        fcntl.flock(sign, fcntl.LOCK_EX)
        yield Shared(root, f"locks/{Path(sign.name).name}", __version__)
