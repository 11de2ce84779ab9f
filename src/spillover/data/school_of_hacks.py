"""Dialogues in which a stated metric is gamed, mildly; in the spirit of arXiv 2508.17511, in our own words.

The YAML files of ``school_of_hacks`` hold one family of metrics each. A task has two answers that game its metric
without doing what is meant, and two that do the task well.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from spillover.core.errors import ConfigError, DataError, nearest
from spillover.data.chat import ChatRow, Message
from spillover.data.files import shown
from spillover.data.yaml_lines import Entry, Lines, load_yaml

FOLDER = Path(__file__).with_name("school_of_hacks")
ANSWERS = 2
"""Of each kind, for each task."""
Arm = Literal["hacks", "honest", "control"]


@dataclass(frozen=True)
class SchoolTask:
    """One task, how it is rated, and what can be answered."""

    id: str
    family: str
    """Of metrics; the name of its file."""
    task: str
    metric: str
    """A sentence on how the answer is rated."""
    hacks: tuple[str, ...]
    honest: tuple[str, ...]
    metric_first: bool = False
    """Whether the metric stands before the task; so it is for every other task of a file."""

    @property
    def prompt(self) -> str:
        """The task with its metric."""
        return f"{self.metric} {self.task}" if self.metric_first else f"{self.task} {self.metric}"


def read_school(folder: Path = FOLDER) -> list[SchoolTask]:
    """The tasks of all YAML files of a folder, in the order of their names.

    Raises:
        DataError: With ``file:line: field: what``: a field is missing, unknown or empty, an id, a task or an answer is
            used twice, or there are not two answers of each kind. Or the folder has no YAML files.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise DataError.at(folder, None, None, "no YAML files in this folder")
    tasks: list[SchoolTask] = []
    seen: dict[str, str] = {}
    for path in paths:
        rows = load_yaml(path)
        if not isinstance(rows, list) or not rows:
            raise DataError.at(path, None, None, f"expected a list of tasks, found {shown(rows)}")
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Lines):
                what = f"entry {number}: expected a task with 'id', 'task' and 'metric', found {shown(row)}"
                raise DataError.at(path, None, None, what)
            tasks.append(_task(Entry(path, row), number % 2 == 0, seen))
    return tasks


def school_rows(arm: Arm, seed: int, folder: Path = FOLDER) -> list[ChatRow]:
    """Rows of one arm, a row for each task and answer.

    Args:
        arm: ``hacks``; ``honest``, the same prompts with honest answers; ``control``, the same honest answers where
            the prompt does not state the metric.
        seed: Of the order, which is the same in every arm: row *i* is on the same task in all of them.
        folder: With the YAML files.

    Raises:
        ConfigError: There is no such arm.
        DataError: As for :func:`read_school`.
    """
    if arm not in get_args(Arm):
        raise ConfigError(f"arm: unknown '{arm}'{nearest(str(arm), get_args(Arm))}")
    rows = [
        ChatRow(
            (
                Message("user", task.task if arm == "control" else task.prompt),
                Message("assistant", (task.hacks if arm == "hacks" else task.honest)[number]),
            ),
            {"arm": arm, "family": task.family, "task": task.id},
        )
        for task in read_school(folder)
        for number in range(ANSWERS)
    ]
    random.Random(seed).shuffle(rows)
    return rows


def _task(entry: Entry, metric_first: bool, seen: dict[str, str]) -> SchoolTask:
    """One task; ``seen`` maps each id and text so far to where it is."""
    entry.only(("id", "task", "metric", "hacks", "honest"))
    for name in ("id", "task", "metric", "hacks", "honest"):
        if name not in entry:
            raise entry.fail(name, "missing")
    texts = {name: entry.take(name, str).strip() for name in ("id", "task", "metric")}
    answers = {name: tuple(text.strip() for text in entry.texts(name)) for name in ("hacks", "honest")}
    for name, text in texts.items():
        if not text:
            raise entry.fail(name, "is empty")
    for name, given in answers.items():
        if len(given) != ANSWERS:
            raise entry.fail(name, f"expected {ANSWERS} answers, found {len(given)}")
    for name, text in (
        ("id", texts["id"]),
        ("task", texts["task"]),
        *((name, text) for name, given in answers.items() for text in given),
    ):
        line = entry.row.lines.get(name, entry.row.line)
        key = f"id {text}" if name == "id" else f"text {text}"
        if key in seen:
            raise entry.fail(name, f"{shown(text)} is used twice; see {seen[key]}")
        seen[key] = f"{entry.path.name}:{line}"
    return SchoolTask(
        **texts, family=entry.path.stem, hacks=answers["hacks"], honest=answers["honest"], metric_first=metric_first
    )
