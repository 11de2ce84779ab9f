"""Text files that a user gives, and those that are written."""

import os
from collections.abc import Iterator
from pathlib import Path

from spillover.core.errors import DataError, StorageError

_POINTER = "version https://git-lfs"


def read_text(path: Path, newline: str | None = None) -> str:
    """The content of a UTF-8 file, without a byte order mark.

    Args:
        path: Of the file.
        newline: As for ``open``; an empty text keeps line ends as they are.

    Raises:
        DataError: It is not there, is no UTF-8 text, or is the pointer that Git LFS puts in the place of a large file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            text = file.read()
    except FileNotFoundError:
        raise DataError.at(path, None, None, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
    if text.startswith(_POINTER):
        raise DataError.at(path, 1, None, "a Git LFS pointer, not the data; fetch the file with 'git lfs pull'")
    return text


def stream_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that hold anything, each with its number from 1; one is in memory at a time.

    Raises:
        DataError: As of :func:`read_text`; a line that is no UTF-8 is named.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError.at(path, number, None, f"cannot be read as UTF-8 text ({error})") from None
                if number == 1 and line.startswith(_POINTER):
                    what = "a Git LFS pointer, not the data; fetch the file with 'git lfs pull'"
                    raise DataError.at(path, 1, None, what)
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise DataError.at(path, None, None, "no such file") from None
    except OSError as error:
        raise DataError.at(path, None, None, f"cannot be read ({error.strerror})") from None


def write_text(path: Path, text: str) -> None:
    r"""Write a UTF-8 file, whole or not at all; lines end as they do in ``text``.

    Raises:
        StorageError: The folder cannot be written to.
        DataError: The text holds half of a surrogate pair, which UTF-8 has no bytes for.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(text.encode("utf-8"))
        os.replace(partial, path)
    except UnicodeEncodeError as error:
        raise broken(path, error) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot write ({error.strerror})") from None


def broken(path: Path, error: UnicodeEncodeError) -> DataError:
    """The error for a text that cannot be written."""
    before = error.object[max(0, error.start - 20) : error.start]
    return DataError.at(
        path, None, None, f"cannot write what follows {before!r}: half of a character (a broken emoji?)"
    )


def whole(text: str) -> bool:
    """Whether a text can be written as UTF-8; half of a surrogate pair, as broken emoji leave it, cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object, longest: int = 60) -> str:
    """What was found in the place of something else, in a few words; never the content of a list or mapping."""
    if isinstance(value, str):
        return repr(value) if len(value) <= longest else f"{value[:longest]!r}…"
    if isinstance(value, list | dict):
        name = "list" if isinstance(value, list) else "mapping"
        return f"a {name} of {len(value)}" if value else f"an empty {name}"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**longest:
        return "a number of many digits"
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
