"""GRPO on the workshop's tasks, 24 prompts x 8 completions a step: ours against stock TRL, start-up included."""

import sys
from pathlib import Path

from timing import compare, save

HERE = Path(__file__).parent


def main(repeats: int = 3) -> None:
    from spillover.experiments.reward_hacking import reward_hacking
    from spillover.experiments.stages import Planner
    from spillover.runs.execute import execute
    from spillover.runs.store import Store

    stage = Planner(reward_hacking()).cells[0].stage.inputs["base"]
    base = str(execute([stage], Store())[stage.key])
    ratios = compare(
        "30 steps of GRPO",
        {
            "spillover, lean": [str(HERE / "rl_ours.py"), base, "lean"],
            "spillover, TRL with our sampler": [str(HERE / "rl_ours.py"), base, "trl"],
            "TRL, model.generate": [str(HERE / "rl_plain.py"), base],
        },
        repeats,
    )
    save("reinforcement", ratios, HERE / "results")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
