"""Sampling 100 answers to each of 20 questions: ours against `model.generate` and Inspect's `hf` provider."""

import sys
from pathlib import Path

from timing import compare, save

HERE = Path(__file__).parent


def main(repeats: int = 3) -> None:
    from spillover.experiments.emergent_misalignment import emergent_misalignment
    from spillover.experiments.stages import Planner
    from spillover.runs.execute import execute
    from spillover.runs.store import Store

    stage = Planner(emergent_misalignment()).cells[0].stage.inputs["base"]
    base = str(execute([stage], Store())[stage.key])
    ratios = compare(
        "2,000 short answers",
        {
            "spillover": [str(HERE / "sample_ours.py"), base],
            "model.generate": [str(HERE / "sample_generate.py"), base],
        },
        repeats,
    )
    ratios |= compare(
        "2,000 short answers, judged and logged",
        {
            "spillover eval": [str(HERE / "sample_eval.py"), base],
            "inspect, spillover provider": [str(HERE / "sample_inspect.py"), "spillover", base],
            "inspect, hf provider": [str(HERE / "sample_inspect.py"), "hf", base],
        },
        repeats,
    )
    save("sampling", ratios, HERE / "results")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
