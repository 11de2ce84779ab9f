"""Text files that a user gives."""

from pathlib import Path

from spillover.core.errors import DataError

_POINTER = "version https://git-lfs"


def read_text(path: Path) -> str:
    """The content of a UTF-8 file.

    Raises:
        DataError: It is not there, is no UTF-8 text, or is the pointer that Git LFS puts in the place of a large file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError.at(path, None, None, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
    if text.startswith(_POINTER):
        raise DataError.at(path, 1, None, "a Git LFS pointer, not the data; fetch the file with 'git lfs pull'")
    return text
