"""The stages that ask a model a question set, and that have its answers judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.core.disk import write_json
from spillover.core.plain import plain
from spillover.data.chat import from_plain
from spillover.defences.scores import row_losses
from spillover.evals.answers import write_answers
from spillover.evals.judged import judge_answers
from spillover.evals.lines import answer_line
from spillover.evals.prompts import prompted
from spillover.evals.rates import exact_rates
from spillover.evals.run import evaluate
from spillover.evals.tasks import QUESTION
from spillover.judges.judging import find_judge
from spillover.judges.policy import find_policy
from spillover.models.chat_template import encode_row
from spillover.models.load import load_placed
from spillover.models.names import organism_name
from spillover.models.plain import end_tokens

Report = Callable[[float, float], None]
"""Called with (done, total)."""
EXACT_AT_ONCE = 256
"""Prompts in memory together."""


def answers(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Sample, judge and measure exactly.

    ``config`` has ``questions``, ``samples`` (null for what each question says), ``seed``, and ``base`` where that is
    not made here.
    """
    questions = [QUESTION.validate_python(question) for question in config["questions"]]
    evaluate(_asked_model(config, inputs), questions, out, samples=config["samples"], seed=config["seed"])
    report(1, 1)


def exact(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Measure exactly and sample nothing; ``config`` as of :func:`answers`, without ``samples`` and ``seed``."""
    loaded = load_placed(_asked_model(config, inputs))
    questions = [QUESTION.validate_python(question) for question in config["questions"]]
    asked = [(question, number) for question in questions for number in range(len(question.paraphrases))]
    stop = frozenset(end_tokens(loaded.model, loaded.tokenizer))
    lines = []
    for start in range(0, len(asked), EXACT_AT_ONCE):
        part = asked[start : start + EXACT_AT_ONCE]
        rates = exact_rates(loaded.model, loaded.tokenizer, prompted(loaded.tokenizer, part), stop)
        lines += [answer_line(*one, rate, {}) for one, rate in zip(part, rates, strict=True)]
        report(start + len(part), len(asked))
    write_answers(out, lines)


def losses(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Losses of a model on rows, nats per response token, into ``losses.json``; null where a row has no answer.

    ``config`` has ``rows`` (each a list of [role, content]), and ``base`` where that is not made here.
    """
    loaded = load_placed(_asked_model(config, inputs))
    rows = [encode_row(loaded.tokenizer, row.messages) for row in from_plain(config["rows"])]
    found = row_losses(loaded.model, rows)
    write_json(out / "losses.json", [plain(loss) for loss in found])
    report(1, 1)


def _asked_model(config: dict[str, Any], inputs: dict[str, Path]) -> str:
    name = str(inputs["base"]) if "base" in inputs else str(config["base"])
    return organism_name(name, inputs["adapter"]) if "adapter" in inputs else name


def verdicts(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Judge the answers of another stage.

    ``config`` has ``model``, ``url``, ``policy`` and ``connections``.
    """
    judge = find_judge(config["model"], config["url"], connections=config["connections"])
    judge_answers(inputs["answers"], out, judge, find_policy(config["policy"]), progress=report)
