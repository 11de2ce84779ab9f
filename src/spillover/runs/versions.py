"""Versions of the libraries that decide results."""

from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "transformers", "peft", "trl", "tokenizers", "inspect-ai", "numpy")


def versions() -> dict[str, str]:
    """Name to version; libraries that are not installed are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
