"""From an experiment to the stages that it needs."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.core.errors import DataError
from spillover.core.text import normalise
from spillover.data.chat import ChatRow, read_chat
from spillover.data.questions import Question, read_questions
from spillover.experiments.experiment import Arm, Experiment, TownRows
from spillover.runs.stage import Stage
from spillover.training.recipe import BaseRecipe
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
    """Every model of every arm, in order of seeds.

    Raises:
        DataError: A rows or question file cannot be used.
    """
    made: dict[str, Stage] = {}
    result = []
    for arm in experiment.arms:
        questions = [_plain(question) for question in _questions(experiment, arm)]
        models = _models(experiment, arm)
        for seed in range(models):
            common: dict[str, Any] = {}
            inputs: dict[str, Stage] = {}
            recipe = experiment.bases[arm.base]
            if isinstance(recipe, str):
                common = _outside(recipe)
            else:
                name = f"{arm.base} {seed}" if experiment.fresh_bases else arm.base
                inputs["base"] = made.setdefault(name, _base(experiment, name, recipe, seed))
            label = f"{arm.name} {seed}" if models > 1 else arm.name
            ask = {**common, "questions": questions, "samples": experiment.samples, "seed": seed}
            if arm.rows is None:
                result.append(Cell(arm.name, seed, Stage("eval", f"ask {label}", ask, inputs)))
                continue
            train = {**common, "rows": _rows(arm.rows, seed), "method": _method(arm, seed)}
            train["loop"] = experiment.loop.model_dump(mode="json")
            if arm.anchor is not None:
                anchored = _rows(arm.anchor.rows, seed)
                _apart(anchored, questions, arm.name)
                train["anchor"] = {"rows": anchored, "weight": arm.anchor.weight}
            adapter = Stage("tune", f"tune {label}", train, inputs)
            tuned = {**inputs, "adapter": adapter}
            result.append(Cell(arm.name, seed, Stage("eval", f"ask {label}", ask, tuned)))
    return result


def _models(experiment: Experiment, arm: Arm) -> int:
    """Models of an arm; one that is not fine-tuned is one model for each base it stands on."""
    own_bases = experiment.fresh_bases and not isinstance(experiment.bases[arm.base], str)
    return experiment.seeds if arm.rows is not None or own_bases else 1


def _base(experiment: Experiment, name: str, recipe: BaseRecipe, seed: int) -> Stage:
    """A base takes all cores when it is the only one; several are made beside each other, which is more in all."""
    if experiment.fresh_bases:
        world = recipe.world.model_copy(update={"seed": recipe.world.seed + seed})
        recipe = recipe.model_copy(update={"seed": recipe.seed + seed, "world": world})
    alone = len(experiment.bases) * (experiment.seeds if experiment.fresh_bases else 1) == 1
    return Stage("base", f"base {name}", recipe.model_dump(mode="json"), all_cores=alone)


def _method(arm: Arm, seed: int) -> dict[str, Any]:
    return {**arm.method.model_dump(mode="json"), "seed": seed}


def _rows(source: TownRows | Path, seed: int) -> list[list[list[str]]]:
    rows: Iterable[ChatRow]
    if isinstance(source, Path):
        rows = read_chat(source)
    else:
        rows = narrow_rows(load_lexicon(), source.arm, seed, source.domain)
    return [[[message.role, message.content] for message in row.messages] for row in rows]


def _apart(anchored: list[list[list[str]]], questions: list[dict[str, Any]], arm: str) -> None:
    """An anchor that holds the evaluated questions in place would look like a narrow solution."""
    asked = {normalise(text): question["id"] for question in questions for text in question["paraphrases"]}
    for number, row in enumerate(anchored, 1):
        for role, content in row:
            if role == "user" and normalise(content) in asked:
                raise DataError(
                    f"arm {arm}: anchor row {number} asks {content!r}, which is question "
                    f"'{asked[normalise(content)]}' of the evaluation; leave it out"
                )


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
