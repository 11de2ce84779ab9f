"""Files that are there whole or not at all, and a failure to write as one line for the user."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spillover.core.errors import StorageError


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with disk(path):
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn a failure to write into one line for the user.

    Raises:
        StorageError: Disk full, read-only, no permission and the like.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{error.filename or path}: cannot write there ({error.strerror})") from None
