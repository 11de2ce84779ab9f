"""What is measured on models rather than on their answers; declared here, done in :mod:`spillover.analysis`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from spillover.core.config import Config


class Solutions(Config):
    """Efficiency, stability and significance of two solutions of one base (arXiv 2602.07852)."""

    kind: Literal["solutions"] = "solutions"
    name: str
    title: str = ""
    general: str
    """Arm."""
    narrow: str
    """Arm on the same base, fine-tuned on the same rows."""
    norms: tuple[Annotated[float, Field(gt=0)], ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Lengths at which both are compared, in units of the general solution's own."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.1, 0.2, 0.3, 0.5, 0.7)
    draws: int = Field(10, ge=1)
    """Random directions for each ε; half as many for each norm of the control."""
    texts: Path | None = None
    """Pretraining text, one a line; documents of the built-in world if not given."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {"general": self.general, "narrow": self.narrow}


Measure = Annotated[Solutions, Field(discriminator="kind")]
