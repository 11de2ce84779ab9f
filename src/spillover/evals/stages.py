"""The stages that ask a model a question set, and that have its answers judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.evals.judged import judge_answers
from spillover.evals.run import evaluate
from spillover.evals.tasks import QUESTION
from spillover.judges.judging import find_judge
from spillover.judges.policy import find_policy
from spillover.models.names import organism_name

Report = Callable[[float, float], None]
"""Called with (done, total)."""


def answers(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Sample, judge and measure exactly.

    ``config`` has ``questions``, ``samples`` (null for what each question says), ``seed``, and ``base`` where that is
    not made here.
    """
    name = str(inputs["base"]) if "base" in inputs else config["base"]
    model = name
    if "adapter" in inputs:
        model = organism_name(name, inputs["adapter"])
    questions = [QUESTION.validate_python(question) for question in config["questions"]]
    evaluate(model, questions, out, samples=config["samples"], seed=config["seed"])
    report(1, 1)


def verdicts(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Judge the answers of another stage.

    ``config`` has ``model``, ``url``, ``policy`` and ``connections``.
    """
    judge = find_judge(config["model"], config["url"], connections=config["connections"])
    judge_answers(inputs["answers"], out, judge, find_policy(config["policy"]), progress=report)
