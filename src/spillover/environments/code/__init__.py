"""Programming problems graded in a sandbox: a weak grader that hacks fool, a hardened one that they do not."""

from spillover.environments.code.detectors import LABELS
from spillover.environments.code.environment import CodeEnvironment, CodeSettings
from spillover.environments.code.problems import Problem, read_problems
from spillover.environments.code.sandbox import Job, Limits, Run, Sandbox, SandboxError

__all__ = [
    "LABELS",
    "CodeEnvironment",
    "CodeSettings",
    "Job",
    "Limits",
    "Problem",
    "Run",
    "Sandbox",
    "SandboxError",
    "read_problems",
]
