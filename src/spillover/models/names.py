"""One string names a model everywhere: ``BASE[~4bit|~8bit]``, then any number of ``+ADAPTER[@STEP][*SCALE]``."""

import re
from dataclasses import dataclass
from pathlib import Path

from spillover.core.errors import ModelError

_PART = r"[^+@*]+"
_ADDED = rf"\+({_PART})(?:@(\d+))?(?:\*(-?\d*\.?\d+))?"
_NAME = re.compile(rf"(?P<base>{_PART}?)(?:~(?P<bits>[48])bit)?(?P<added>(?:{_ADDED})*)")


@dataclass(frozen=True)
class Added:
    """What fine-tuning added: a LoRA or another PEFT adapter, or a steering vector."""

    source: str
    """Folder or hub id."""
    step: int | None = None
    """Training step of a checkpoint inside the folder."""
    scale: float = 1.0
    """Factor on it."""

    @property
    def is_plain(self) -> bool:
        """Whether it is the folder as it is."""
        return self.step is None and self.scale == 1

    def __str__(self) -> str:
        step = "" if self.step is None else f"@{self.step}"
        return f"+{self.source}{step}{'' if self.scale == 1 else f'*{self.scale:g}'}"


@dataclass(frozen=True)
class ModelName:
    """What a model is made of; ``str()`` gives the name back."""

    base: str
    added: tuple[Added, ...] = ()
    """In the order in which they are put on the base."""
    bits: int | None = None
    """Of a base whose weights are quantized when they are loaded; 4 or 8."""

    @classmethod
    def parse(cls, text: str) -> "ModelName":
        """Read a name.

        Raises:
            ModelError: The text is not ``BASE[+ADAPTER[@STEP][*SCALE]]…``.
        """
        match = _NAME.fullmatch(text.strip())
        if not match:
            hint = "for example base+adapter@40*0.5 or base+adapter+vector*2"
            if re.match(rf"{_PART}[@*]", text):
                hint = "@STEP and *SCALE belong to an adapter; write BASE+ADAPTER first"
            raise ModelError(f"model '{text}': expected BASE[+ADAPTER[@STEP][*SCALE]]…: {hint}")
        added = (
            Added(source, int(step) if step else None, float(scale) if scale else 1.0)
            for source, step, scale in re.findall(_ADDED, match["added"])
        )
        return cls(match["base"], tuple(added), int(match["bits"]) if match["bits"] else None)

    @property
    def loaded(self) -> str:
        """The base as it is loaded, without what is added to it."""
        return self.base if self.bits is None else f"{self.base}~{self.bits}bit"

    def __str__(self) -> str:
        return self.loaded + "".join(map(str, self.added))


def organism_name(base: str, tuned: Path) -> str:
    """The name of what a fine-tuning of ``base`` wrote: a model by itself where all its weights were trained."""
    return str(tuned) if (tuned / "config.json").is_file() else f"{base}+{tuned}"
