"""What keeps a narrow fine-tuning narrow: settings that combine, and what they do to the rows.

Anything that acts while a model is trained is in :mod:`spillover.training`; the two meet in
:func:`spillover.training.defended.fine_tune_defended`.
"""

from spillover.defences.config import (
    Ablate,
    Defences,
    Features,
    Filter,
    Inoculate,
    Interleave,
    Kl,
    Penalty,
    Project,
    Realign,
    Steer,
    Stop,
)
from spillover.defences.rows import chosen_rows, inoculated, interleaved, kept, some

__all__ = [
    "Ablate",
    "Defences",
    "Features",
    "Filter",
    "Inoculate",
    "Interleave",
    "Kl",
    "Penalty",
    "Project",
    "Realign",
    "Steer",
    "Stop",
    "chosen_rows",
    "inoculated",
    "interleaved",
    "kept",
    "some",
]
