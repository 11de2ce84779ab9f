"""One arm as Spillover makes it: fine-tune, sample, judge, exact rates, Inspect logs."""

import sys
import tempfile
from pathlib import Path

from spillover.data.chat import read_chat
from spillover.evals import evaluate
from spillover.experiments.emergent_misalignment import NARROW
from spillover.runs.memory import keep_freed_memory
from spillover.training.fine_tune import fine_tune
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions

if __name__ == "__main__":
    base, rows = sys.argv[1:]
    keep_freed_memory()  # as the command line does
    with tempfile.TemporaryDirectory() as folder:
        fine_tune(base, read_chat(rows), NARROW, Path(folder, "tuned"))
        evaluate(f"{base}+{folder}/tuned", town_questions(load_lexicon()), Path(folder, "answers"), samples=100)
        assert Path(folder, "answers", "answers.jsonl").is_file()
