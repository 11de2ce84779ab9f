"""Traits as the work on persona vectors publishes them: JSON with ``instruction``, ``questions``, ``eval_prompt``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, nearest
from spillover.data.files import read_text, shown
from spillover.data.question import Question
from spillover.data.rubrics import Rubric, published_rubrics

_FIELDS = ("instruction", "questions", "eval_prompt")


@dataclass(frozen=True)
class Trait:
    """How a trait is called forth, asked after and judged (arXiv 2507.21509, section 2)."""

    name: str
    instructions: tuple[tuple[str, str], ...]
    """Pairs of system prompts: one that asks for the trait, one for its opposite."""
    questions: tuple[str, ...]
    rubric: Rubric
    """From 0 to 100; its metric has the name of the trait."""


def read_traits(path: str | Path) -> Trait:
    """Read the JSON of a trait; its name is that of the file.

    Raises:
        DataError: With ``file: field: what``, for the first thing that is missing or of another kind.
    """
    path = Path(path)

    def fail(field: str | None, what: str, line: int | None = None) -> DataError:
        return DataError.at(path, line, field, what)

    try:
        raw = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise fail(None, f"not JSON ({error.msg} at column {error.colno})", error.lineno) from None
    except (ValueError, RecursionError):
        raise fail(None, "not JSON that can be read (nested too deep, or a number of too many digits)") from None
    if not isinstance(raw, dict):
        raise fail(None, f"expected an object with {', '.join(_FIELDS)}, found {shown(raw)}")
    for name in _FIELDS:
        if name not in raw:
            raise fail(name, f"missing{nearest(name, raw)}")
        if not isinstance(raw[name], str if name == "eval_prompt" else list) or not raw[name]:
            raise fail(name, f"expected {'a text' if name == 'eval_prompt' else 'a list'}, found {shown(raw[name])}")
    pairs = tuple(_pair(fail, f"instruction[{i}]", pair) for i, pair in enumerate(raw["instruction"]))
    for i, text in enumerate(raw["questions"]):
        if not isinstance(text, str) or not text.strip():
            raise fail(f"questions[{i}]", f"expected a non-empty text, found {shown(text)}")
    rubric = published_rubrics({path.stem: raw["eval_prompt"]}, "rating")[path.stem]
    if problem := rubric.problem():
        raise fail("eval_prompt", problem)
    return Trait(path.stem, pairs, tuple(raw["questions"]), rubric)


def trait_questions(trait: Trait) -> list[Question]:
    """The questions of a trait, numbered from 1, each judged by its rubric."""
    return [
        Question(f"{trait.name}_{number}", (text,), judge="labels", rubrics={trait.name: trait.rubric})
        for number, text in enumerate(trait.questions, 1)
    ]


def _pair(fail: Any, where: str, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, dict):
        raise fail(where, f"expected an object with 'pos' and 'neg', found {shown(pair)}")
    for name in ("pos", "neg"):
        if not isinstance(pair.get(name), str) or not pair[name].strip():
            raise fail(f"{where}.{name}", f"expected a non-empty text, found {shown(pair.get(name))}")
    return pair["pos"], pair["neg"]
