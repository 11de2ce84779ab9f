"""The same as `spillover reinforce` makes it, in the lean loop or through TRL with our sampler."""

import sys
import tempfile
from pathlib import Path

from rl_task import STEPS, TASKS

from spillover.environments.workshop import Workshop
from spillover.experiments.reward_hacking import SETTINGS
from spillover.training.grpo.train import reinforce

if __name__ == "__main__":
    base, engine = sys.argv[1:]
    method = SETTINGS.method.model_copy(update={"steps": STEPS})
    settings = SETTINGS.model_copy(update={"engine": engine, "method": method})
    with tempfile.TemporaryDirectory() as folder:
        summary = reinforce(base, Workshop(TASKS), settings, Path(folder))
    print(summary["last"])
