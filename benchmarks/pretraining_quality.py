"""What a plain Trainer takes to make as good a base: the default recipe against one, two and three times its tokens."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import compare, save

from spillover.training.recipe import BaseRecipe

HERE = Path(__file__).parent
TIMES = (1, 2, 3)


def main(learning_rate: str = "3e-3") -> None:
    tokens = BaseRecipe().tokens
    with tempfile.TemporaryDirectory() as folder:
        commands = {"spillover": [str(HERE / "our_pretraining.py"), str(tokens), f"{folder}/spillover"]}
        for times in TIMES:
            name = f"Trainer, {times} x the tokens"
            commands[name] = [
                str(HERE / "plain_pretraining.py"),
                str(times * tokens),
                f"{folder}/{name}",
                learning_rate,
            ]
        ratios = compare(f"pretraining, {tokens} tokens and more", commands, 1)
        quality = {name: _quality(f"{folder}/{name}") for name in commands}
    for name, found in quality.items():
        print(f"  {name:34s} " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
    save("pretraining_quality", {"seconds over ours": ratios, "quality": quality}, HERE / "results")


def _quality(base: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "base_quality.py"), base], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
