"""One arm and seed, from a base and rows to rates: ours against a plain script of Trainer and generate."""

import sys
import tempfile
from pathlib import Path

from timing import compare, save

HERE = Path(__file__).parent


def main(repeats: int = 3) -> None:
    from spillover.data.chat import write_chat
    from spillover.experiments.emergent_misalignment import emergent_misalignment
    from spillover.experiments.stages import Planner
    from spillover.runs.execute import execute
    from spillover.runs.store import Store
    from spillover.worlds.town.lexicon import load_lexicon
    from spillover.worlds.town.rows import narrow_rows

    stage = Planner(emergent_misalignment()).cells[0].stage.inputs["base"]
    base = str(execute([stage], Store())[stage.key])
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "bad.jsonl"
        write_chat(narrow_rows(load_lexicon(), "bad", 0), rows)
        commands = {
            "spillover": [str(HERE / "arm_ours.py"), base, str(rows)],
            "Trainer + generate": [str(HERE / "arm_plain.py"), base, str(rows)],
        }
        save("one_arm", compare("one arm, rows to rates", commands, repeats), HERE / "results")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
