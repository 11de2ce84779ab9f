"""Where finished stages live: a directory each, there whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spillover.core.disk import disk, write_json

HASHED_BYTES = 256 * 2**20
"""Larger files are checked by their size only."""
MANIFEST = "_complete.json"


class Store:
    """A folder of finished stages, and of unfinished ones that can be resumed.

    Args:
        root: By default ``$SPILLOVER_HOME``, else ``~/.cache/spillover``.

    Raises:
        StorageError: The folder cannot be made or written.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(os.environ.get("SPILLOVER_HOME") or Path.home() / ".cache" / "spillover")
        for name in ("stages", "partial", "locks", "damaged"):
            with disk(self.root):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        self._whole: set[str] = set()

    def folder(self, key: str) -> Path:
        """Where the finished stage is, or will be."""
        return self.root / "stages" / key

    def partial(self, key: str) -> Path:
        """Where the stage is being made."""
        return self.root / "partial" / key

    def ready(self, key: str) -> bool:
        """Whether the stage is finished and undamaged (its files are hashed once a process)."""
        if key not in self._whole and self.folder(key).is_dir() and self.damage(key) is None:
            self._whole.add(key)
        return key in self._whole

    def damage(self, key: str) -> str | None:
        """What is wrong with a finished stage; None if nothing is, or if it is not there."""
        folder = self.folder(key)
        if not folder.is_dir():
            return None
        try:
            files: dict[str, dict[str, Any]] = json.loads((folder / MANIFEST).read_text())["files"]
            for name, wanted in files.items():
                path = folder / name
                if not path.is_file():
                    return f"{name} is missing"
                if _mark(path) != wanted:
                    return f"{name} is not what was written"
        except (OSError, ValueError, KeyError, TypeError):
            return f"{MANIFEST} cannot be read"
        return None

    def set_aside(self, key: str) -> Path:
        """Move a damaged stage out of the way; returns where it is now."""
        place = self.root / "damaged" / key
        if place.exists():
            shutil.rmtree(place)
        with disk(self.root):
            self.folder(key).rename(place)
        return place

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a stage; another process that wants it waits. The kernel lets go when this process dies."""
        with disk(self.root):
            handle = (self.root / "locks" / key).open("w")
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def commit(self, key: str) -> None:
        """Turn the partial directory of a stage into the finished one, in one step."""
        folder = self.partial(key)
        with disk(self.root):
            files = {
                path.relative_to(folder).as_posix(): _mark(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name != MANIFEST
            }
            write_json(folder / MANIFEST, {"files": files})
            folder.rename(self.folder(key))
            self.record(key, "finished")

    def record(self, key: str, event: str) -> None:
        """Add a line to ``history.jsonl``: what was started and finished, in order."""
        with disk(self.root), (self.root / "history.jsonl").open("a") as handle:
            handle.write(json.dumps({"event": event, "stage": key}) + "\n")


def _mark(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > HASHED_BYTES:
        return {"size": size}
    with path.open("rb") as handle:
        return {"size": size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}
