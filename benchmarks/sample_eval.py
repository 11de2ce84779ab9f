"""2,000 short answers as `spillover eval` makes them: sampled, judged, with exact rates and Inspect logs."""

import sys
import tempfile
from pathlib import Path

from sampling_task import SAMPLES, asked

from spillover.evals import evaluate

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        evaluate(sys.argv[1], asked(), Path(folder), samples=SAMPLES)
        assert len(Path(folder, "answers.jsonl").read_text().splitlines()) == len(asked())
