"""A stage: a function of a resolved config and input directories that writes one output directory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from spillover.core.config import digest

Report = Callable[[float, float], None]
"""Called with (done, total)."""
StageFunction = Callable[[dict[str, Any], dict[str, Path], Path, Report], None]
"""Called with (config, input directories, output directory, progress).

The output directory may hold what an earlier call left when it was killed; the function goes on from there or starts
anew, and gives the same result either way.
"""


@dataclass(frozen=True)
class Kind:
    """A sort of stage."""

    entry: str
    """``module:function``; imported in the worker that runs it."""
    version: int
    """Raised when the function's results change; older results are then not used any more."""
    gpu: bool = False
    """Whether the function computes on a GPU where there is one."""


KINDS = {
    "base": Kind("spillover.training.stages:base", 3, gpu=True),
    "tune": Kind("spillover.training.stages:tune", 2, gpu=True),
    "project": Kind("spillover.training.stages:projection", 1),
    "direction": Kind("spillover.analysis.persona:direction", 1, gpu=True),
    "reinforce": Kind("spillover.training.stages:reinforcement", 1, gpu=True),
    "eval": Kind("spillover.evals.stages:answers", 1, gpu=True),
    "exact": Kind("spillover.evals.stages:exact", 1, gpu=True),
    "row-losses": Kind("spillover.evals.stages:losses", 1, gpu=True),
    "judge": Kind("spillover.evals.stages:verdicts", 2, gpu=True),
    "choose": Kind("spillover.analysis.stages:choice", 1),
    "transfer": Kind("spillover.analysis.stages:transfer", 5),
    "solutions": Kind("spillover.analysis.stages:solutions", 1),
    "dynamics": Kind("spillover.analysis.dynamics:dynamics", 1, gpu=True),
    "conditional": Kind("spillover.analysis.conditional_matrix:conditional", 5),
    "defences": Kind("spillover.analysis.defence_table:defences", 1),
    "checkpoints": Kind("spillover.analysis.checkpoints:checkpoints", 1, gpu=True),
    "trajectories": Kind("spillover.analysis.dynamics:trajectories", 1),
    "sae": Kind("spillover.analysis.dictionary:train", 1, gpu=True),
    "features": Kind("spillover.analysis.stages:features", 3, gpu=True),
    "references": Kind("spillover.scan.stages:references", 1, gpu=True),
    "scan": Kind("spillover.scan.stages:scan", 1, gpu=True),
    "forecast": Kind("spillover.scan.stages:forecast", 1),
    "readout": Kind("spillover.analysis.stages:readout", 1, gpu=True),
    "own": Kind("spillover.audit.stages:own", 1, gpu=True),
    "audit-reference": Kind("spillover.audit.stages:reference", 1, gpu=True),
    "audit": Kind("spillover.audit.stages:audits", 1, gpu=True),
    "organism": Kind("spillover.audit.stages:organism", 1, gpu=True),
    "auditing-game": Kind("spillover.audit.stages:game", 1),
}


@dataclass(frozen=True)
class Stage:
    """One thing to make. Equal kind, version, config and inputs give an equal :attr:`key`, and are made once."""

    kind: str
    label: str
    """For people; not part of the identity."""
    config: Mapping[str, Any]
    """Everything the result depends on, as plain JSON values."""
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)
    all_cores: bool = False
    """Run alone with every core rather than beside others with one; not part of the identity."""

    @cached_property
    def key(self) -> str:
        """``kind-hash``: the name of the directory."""
        content = {
            "version": KINDS[self.kind].version,
            "config": dict(self.config),
            "inputs": {name: stage.key for name, stage in self.inputs.items()},
        }
        return f"{self.kind}-{digest(content)}"


def in_order(targets: list[Stage]) -> list[Stage]:
    """Targets and everything they need, each once, inputs before what uses them."""
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in ordered:
            for needed in stage.inputs.values():
                visit(needed)
            ordered[stage.key] = stage

    for target in targets:
        visit(target)
    return list(ordered.values())
