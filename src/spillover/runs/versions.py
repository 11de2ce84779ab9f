"""What a result was made with: versions of the libraries that decide it, device, time."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spillover import __version__

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


def environment(seconds: float) -> dict[str, Any]:
    """The content of ``env.json``, which stands beside everything that is made."""
    import torch

    return {
        "spillover": __version__,
        "versions": versions(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 2),
    }
