"""One string names a model everywhere: ``BASE[+ADAPTER][@STEP][*SCALE]``."""

import re
from dataclasses import dataclass
from pathlib import Path

from spillover.core.errors import ModelError

_PATTERN = re.compile(r"(?P<base>[^+@*]+)(\+(?P<adapter>[^+@*]+))?(@(?P<step>\d+))?(\*(?P<scale>-?\d*\.?\d+))?")


@dataclass(frozen=True)
class ModelName:
    """What a model is made of; ``str()`` gives the name back."""

    base: str
    adapter: str | None = None
    """Folder or id of what fine-tuning added, in PEFT format."""
    step: int | None = None
    """Training step of a checkpoint inside the adapter's folder."""
    scale: float | None = None
    """Factor on the adapter; 1 when not given."""

    @classmethod
    def parse(cls, text: str) -> "ModelName":
        """Read a name.

        Raises:
            ModelError: The text is not ``BASE[+ADAPTER][@STEP][*SCALE]``.
        """
        match = _PATTERN.fullmatch(text.strip())
        if not match:
            raise ModelError(f"model '{text}': expected BASE[+ADAPTER][@STEP][*SCALE], for example base+adapter@40*0.5")
        step, scale = match["step"], match["scale"]
        if (step or scale) and not match["adapter"]:
            raise ModelError(f"model '{text}': @STEP and *SCALE belong to an adapter; write BASE+ADAPTER first")
        return cls(match["base"], match["adapter"], int(step) if step else None, float(scale) if scale else None)

    def __str__(self) -> str:
        parts = [self.base]
        if self.adapter:
            parts.append(f"+{self.adapter}")
        if self.step is not None:
            parts.append(f"@{self.step}")
        if self.scale is not None:
            parts.append(f"*{self.scale:g}")
        return "".join(parts)


def organism_name(base: str, tuned: Path) -> str:
    """The name of what a fine-tuning of ``base`` wrote: a model by itself where all its weights were trained."""
    return str(tuned) if (tuned / "config.json").is_file() else f"{base}+{tuned}"
