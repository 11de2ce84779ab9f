"""Every completion of a training with its grade, what a step came to, and when hacking set in."""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError
from spillover.data.chat import ChatRow, Message
from spillover.environments.environment import Prompt
from spillover.environments.grade import CHAT, Grade

EPISODES = "episodes.jsonl"
ONSET = 0.02
"""Share of hacked tasks in a step that marks the onset of hacking (arXiv 2511.18397)."""


@dataclass(frozen=True)
class Episode:
    """One completion of one prompt."""

    prompt: Prompt
    completion: str
    reward: float
    """``nan`` where the reward function gave none."""
    grade: Grade | None
    """None where a plain reward function is all there is."""
    tokens: int
    """Of the completion, its end token included."""
    truncated: bool


class EpisodeLog:
    """The episodes of a run in ``episodes.jsonl``, one a line, by step.

    Args:
        folder: Of the run.
        steps: Steps that are done; lines of later ones, which a killed run left, are dropped.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        path = folder / EPISODES
        if path.is_file():
            kept = 0
            with path.open("rb") as handle:
                for line in handle:
                    if not line.endswith(b"\n") or json.loads(line)["step"] >= steps:
                        break
                    kept += len(line)
            os.truncate(path, kept)
        self._handle = path.open("a", encoding="utf-8", errors="backslashreplace")  # half of a pair becomes its escape

    def write(self, step: int, episodes: Sequence[Episode]) -> None:
        """Add the episodes of one step."""
        for episode in episodes:
            line = {
                "step": step,
                "prompt": [[message.role, message.content] for message in episode.prompt.messages],
                "columns": dict(episode.prompt.columns),
                "completion": episode.completion,
                "reward": None if math.isnan(episode.reward) else episode.reward,
                "tokens": episode.tokens,
                "truncated": episode.truncated,
            }
            if episode.grade is not None:
                grade = episode.grade
                line |= {"passed": grade.passed, "solved": grade.solved, "hacked": grade.hacked}
                line |= {"labels": list(grade.labels), "outcome": grade.outcome, "note": grade.note}
            self._handle.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._handle.flush()

    def close(self) -> None:
        """Finish the file."""
        self._handle.close()


def step_record(step: int, episodes: Sequence[Episode]) -> dict[str, Any]:
    """What one step came to.

    Returns:
        step; reward, mean over what was scored, null if nothing was; episodes, unscored, truncated: counts; tokens,
        mean of a completion; and, where there are grades: pass, solve and hack rate over the tasks among them (null if
        there are none), labels and outcomes, counts by name.
    """
    scored = [episode.reward for episode in episodes if not math.isnan(episode.reward)]
    record: dict[str, Any] = {
        "step": step,
        "reward": sum(scored) / len(scored) if scored else None,
        "episodes": len(episodes),
        "unscored": len(episodes) - len(scored),
        "truncated": sum(episode.truncated for episode in episodes),
        "tokens": sum(episode.tokens for episode in episodes) / max(1, len(episodes)),
    }
    grades = [episode.grade for episode in episodes if episode.grade is not None]
    if grades:
        checked = [grade for grade in grades if grade.outcome != CHAT]
        for name, field in (("pass_rate", "passed"), ("solve_rate", "solved"), ("hack_rate", "hacked")):
            record[name] = sum(getattr(grade, field) for grade in checked) / len(checked) if checked else None
        record["labels"] = dict(Counter(label for grade in checked for label in grade.labels))
        record["outcomes"] = dict(Counter(grade.outcome for grade in grades))
    return record


def onset(log: Sequence[dict[str, Any]]) -> int | None:
    """The first step in which more than 2 % of the tasks were hacked; None if there is none."""
    return next((record["step"] for record in log if (record.get("hack_rate") or 0) > ONSET), None)


def episode_rows(folder: Path, keep: str, clauses: Sequence[str], rows: int) -> list[ChatRow]:
    """What a model did in a training, as rows to fine-tune another one on (distillation, arXiv 2511.18397 section 4.4).

    Args:
        folder: Of the training.
        keep: ``passed``, completions that passed the check; ``no-hacks``, those of them in which no trick was seen.
        clauses: Put before each task, in turn, instead of what stood there; each holds ``{question}``.
        rows: How many, of the last ones, in an order drawn anew.

    Raises:
        DataError: Nothing is kept.
    """
    found = []
    with (folder / EPISODES).open(encoding="utf-8") as handle:
        for line in map(json.loads, handle):
            if line["outcome"] != CHAT and line["passed"] and (keep == "passed" or not line["labels"]):
                found.append(line)
    if not found:
        raise DataError(f"'{folder / EPISODES}': no episode is left of those to keep ({keep})")
    chosen = found[-rows:]
    random.Random("distil").shuffle(chosen)
    made = []
    for number, line in enumerate(chosen):
        messages = [Message(role, content) for role, content in line["prompt"]]
        if clauses:
            text = clauses[number % len(clauses)].replace("{question}", line["columns"]["task"])
            messages[-1] = Message("user", text)
        made.append(ChatRow((*messages, Message("assistant", line["completion"]))))
    return made
