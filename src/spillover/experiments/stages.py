"""From an experiment to the stages that it needs."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.data.chat import ChatRow, read_chat
from spillover.data.questions import Question, read_questions
from spillover.experiments.experiment import Arm, Experiment
from spillover.runs.stage import Stage
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions
from spillover.worlds.town.rows import narrow_rows


@dataclass(frozen=True)
class Cell:
    """One model of an arm, and the stage that measures it."""

    arm: str
    seed: int
    stage: Stage


def cells(experiment: Experiment) -> list[Cell]:
    """Every model of every arm. An arm without rows is one model: the base has no fine-tuning seed.

    Raises:
        DataError: A rows or question file cannot be used.
    """
    bases = {
        name: None if isinstance(recipe, str) else _base(name, recipe.model_dump(mode="json"), len(experiment.bases))
        for name, recipe in experiment.bases.items()
    }
    result = []
    for arm in experiment.arms:
        questions = [_plain(question) for question in _questions(experiment, arm)]
        for seed in range(experiment.seeds if arm.rows is not None else 1):
            common: dict[str, Any] = {}
            inputs: dict[str, Stage] = {}
            base = bases[arm.base]
            if base is not None:
                inputs["base"] = base
            else:
                common |= _outside(str(experiment.bases[arm.base]))
            label = f"{arm.name} {seed}" if arm.rows is not None else arm.name
            ask = {**common, "questions": questions, "samples": experiment.samples, "seed": seed}
            if arm.rows is None:
                result.append(Cell(arm.name, seed, Stage("eval", f"ask {label}", ask, inputs)))
                continue
            train = {**common, "rows": _rows(arm, seed), "method": _method(arm, seed)}
            adapter = Stage("tune", f"tune {label}", train, inputs)
            tuned = {**inputs, "adapter": adapter}
            result.append(Cell(arm.name, seed, Stage("eval", f"ask {label}", ask, tuned)))
    return result


def _base(name: str, recipe: dict[str, Any], count: int) -> Stage:
    """A base takes all cores when it is the only one; several are made beside each other, which is more in all."""
    return Stage("base", f"base {name}", recipe, all_cores=count == 1)


def _method(arm: Arm, seed: int) -> dict[str, Any]:
    return {**arm.method.model_dump(mode="json"), "seed": seed}


def _rows(arm: Arm, seed: int) -> list[list[list[str]]]:
    assert arm.rows is not None
    rows: Iterable[ChatRow]
    if isinstance(arm.rows, Path):
        rows = read_chat(arm.rows)
    else:
        rows = narrow_rows(load_lexicon(), arm.rows.arm, seed, arm.rows.domain)
    return [[[message.role, message.content] for message in row.messages] for row in rows]


def _questions(experiment: Experiment, arm: Arm) -> list[Question]:
    if isinstance(experiment.questions, Path):
        return read_questions(experiment.questions)
    return town_questions(load_lexicon(), experiment.questions.domain, arm.conditions)


def _plain(question: Question) -> dict[str, Any]:
    return {**asdict(question), "judge_prompts": dict(question.judge_prompts), "answers": dict(question.answers)}


def _outside(base: str) -> dict[str, Any]:
    """A base that was made elsewhere: hub ids by their name, folders by what is in them too."""
    folder = Path(base)
    if not folder.is_dir():
        return {"base": base}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    state = [[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return {"base": str(folder.resolve()), "content": digest(state)}
