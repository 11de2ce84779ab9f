"""Pretraining as `spillover base` does it, without the chat tuning that follows."""

import sys
from pathlib import Path

from spillover.runs.memory import keep_freed_memory
from spillover.training.methods import Method
from spillover.training.pretrain import pretrain
from spillover.training.recipe import BaseRecipe

if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    chat = Method(kind="full", steps=1, learning_rate=2e-4)
    pretrain(BaseRecipe(tokens=int(sys.argv[1]), chat=chat), Path(sys.argv[2]))
