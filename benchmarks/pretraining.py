"""Pretraining a base: ours against a plain `transformers.Trainer`, on the same model and tokens."""

import sys
import tempfile
from pathlib import Path

from timing import compare, save

HERE = Path(__file__).parent


def main(tokens: str = "400000", repeats: int = 3) -> None:
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "spillover": [str(HERE / "our_pretraining.py"), tokens, f"{folder}/ours"],
            "transformers.Trainer": [str(HERE / "plain_pretraining.py"), tokens, f"{folder}/plain"],
        }
        save("pretraining", compare(f"pretraining, {tokens} tokens", commands, repeats), HERE / "results")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
