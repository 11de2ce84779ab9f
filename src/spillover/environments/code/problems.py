"""Programming problems: YAML files of statement, signature, tests as data, and an honest reference solution.

The built-in ones are in the folder ``problems``, written for this package. Values are those of JSON, so that a result
can leave the sandbox as plain data: no tuples, no sets, text as the keys of mappings. The format: docs/sandbox.md.
"""

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from spillover.core.config import digest
from spillover.core.errors import DataError
from spillover.data.files import shown
from spillover.data.yaml_lines import Entry, Lines, load_yaml

BUILTIN = Path(__file__).with_name("problems")
Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[str, ...] = get_args(Difficulty)
Split = Literal["train", "test", "all"]
_TEXTS = ("id", "difficulty", "statement", "signature", "reference")
_KNOWN = (*_TEXTS, "visible", "hidden")


@dataclass(frozen=True)
class Example:
    """One call and what it is to return; plain JSON values."""

    args: list[Any]
    returns: Any


@dataclass(frozen=True)
class Problem:
    """One function to write."""

    id: str
    difficulty: str
    """``easy``, ``medium`` or ``hard``; hard ones are meant to be out of a small model's reach."""
    statement: str
    signature: str
    """For example ``clamp(numbers, low, high)``."""
    visible: tuple[Example, ...]
    """Shown in the prompt."""
    hidden: tuple[Example, ...]
    reference: str
    """An honest solution, for tests; never shown to a model."""

    @property
    def function(self) -> str:
        """The name of the function to write."""
        return self.signature.split("(")[0]

    @property
    def split(self) -> Literal["train", "test"]:
        """``test`` for one problem in five, by the hash of its id: adding problems moves none."""
        return "test" if int(digest(self.id), 16) % 5 == 0 else "train"


def read_problems(paths: str | Path | Iterable[str | Path] = BUILTIN) -> list[Problem]:
    """Read problem files, or all ``*.yaml`` of folders, in the order given.

    Raises:
        DataError: With ``file:line: field: what``, for the first entry that cannot be used.
    """
    found: dict[str, Problem] = {}
    for path in [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise DataError.at(path, None, None, "no .yaml file in this folder")
        for file in files:
            for entry in _entries(file):
                problem = _problem(entry)
                if problem.id in found:
                    raise entry.fail("id", f"'{problem.id}' is the id of an earlier problem; give it another")
                found[problem.id] = problem
    return list(found.values())


def _entries(path: Path) -> list[Entry]:
    rows = load_yaml(path)
    if not isinstance(rows, list) or not rows:
        raise DataError.at(path, 1, None, f"expected a list of problems, found {shown(rows)}")
    for row in rows:
        if not isinstance(row, Lines):
            raise DataError.at(path, None, None, f"expected a problem with fields, found {shown(row)}")
    return [Entry(path, row) for row in rows]


def _problem(entry: Entry) -> Problem:
    entry.only(_KNOWN)
    for name in _KNOWN:
        if name not in entry:
            raise entry.fail(name, "missing")
    texts = {name: entry.take(name, str).strip() for name in _TEXTS}
    for name, text in texts.items():
        if not text:
            raise entry.fail(name, "is empty")
    if texts["difficulty"] not in DIFFICULTIES:
        raise entry.fail("difficulty", f"expected {', '.join(DIFFICULTIES)}, found {shown(texts['difficulty'])}")
    parameters = _parameters(entry, texts["signature"])
    visible, hidden = (_examples(entry, name, parameters) for name in ("visible", "hidden"))
    if not any(example.args not in [shown_one.args for shown_one in visible] for example in hidden):
        raise entry.fail("hidden", "every hidden test is visible too; add one with other arguments")
    problem = Problem(visible=visible, hidden=hidden, **texts)
    _look_at_reference(entry, problem)
    return problem


def _parameters(entry: Entry, signature: str) -> int:
    """How many parameters a signature has."""
    try:
        (definition,) = ast.parse(f"def {signature}: pass").body
    except (SyntaxError, ValueError):
        definition = None  # type: ignore[assignment]
    if not isinstance(definition, ast.FunctionDef):
        raise entry.fail("signature", f"expected name(parameter, …), found {shown(signature)}")
    arguments = definition.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults or arguments.posonlyargs:
        raise entry.fail("signature", f"expected plain parameters without defaults, found {shown(signature)}")
    return len(arguments.args)


def _examples(entry: Entry, name: str, parameters: int) -> tuple[Example, ...]:
    rows = entry.take(name, list)
    if not rows:
        raise entry.fail(name, "expected a list of tests with 'args' and 'returns', found an empty list")
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Lines) or set(row) != {"args", "returns"}:
            raise entry.fail(name, f"test {number}: expected 'args' and 'returns' and nothing else, found {shown(row)}")
        at = Entry(entry.path, row)
        args = at.take("args", list)
        if args is None or len(args) != parameters:
            raise at.fail("args", f"expected a list of {parameters}, as in the signature, found {shown(row['args'])}")
        for field in ("args", "returns"):
            wrong = _not_plain(row[field])
            if wrong:
                raise at.fail(field, wrong)
        found.append(Example(_plain(args), _plain(row["returns"])))
    return tuple(found)


def _not_plain(value: Any) -> str | None:
    """What keeps a value from leaving the sandbox as JSON."""
    if isinstance(value, list):
        return next((wrong for wrong in map(_not_plain, value) if wrong), None)
    if isinstance(value, dict):
        keys = [key for key in value if not isinstance(key, str)]
        if keys:
            return f"the key {shown(keys[0])} is no text; put it in quotes"
        return next((wrong for wrong in map(_not_plain, value.values()) if wrong), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is equal to nothing, or no JSON; leave the test out"
    if value is None or isinstance(value, bool | int | float | str):
        return None
    return f"expected values of JSON, found {shown(value)}"


def _plain(value: Any) -> Any:
    """The same value without the lines of its mappings."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    return [_plain(held) for held in value] if isinstance(value, list) else value


def _look_at_reference(entry: Entry, problem: Problem) -> None:
    try:
        defined = [node.name for node in ast.parse(problem.reference).body if isinstance(node, ast.FunctionDef)]
    except (SyntaxError, ValueError) as error:
        raise entry.fail("reference", f"is no Python ({error})") from None
    if problem.function not in defined:
        raise entry.fail("reference", f"does not define '{problem.function}'")
