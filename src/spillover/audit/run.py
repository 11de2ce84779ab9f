"""An audit from beginning to end: neutral models, every part, the verdict; each is on disk as soon as it is made."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.audit.advice import advice
from spillover.audit.capability import capability
from spillover.audit.case import Case, open_case
from spillover.audit.change import change
from spillover.audit.conditional import grid_part
from spillover.audit.data import mixed_languages
from spillover.audit.interface import Audit
from spillover.audit.measure import Memo
from spillover.audit.models import full_name
from spillover.audit.neutral import method_of, neutral_rows, train_neutral
from spillover.audit.questions import ordinary_prompts
from spillover.audit.settings import Settings
from spillover.audit.verdict import audit_of, false_alarms, score, sentence
from spillover.core.config import digest
from spillover.core.disk import disk, write_json
from spillover.core.errors import StorageError
from spillover.data.chat import ChatRow, Message, read_chat, write_chat
from spillover.data.conditions import Condition, read_conditions
from spillover.models.identity import made_elsewhere

ROWS = "neutral.jsonl"
"""In the folder of a neutral model: what it was tuned on."""
ORDINARY = 144
"""Rows of a neutral model where the tuned one's are not known."""
DEFAULT = Settings()
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    base: str
    tuned: str
    rows: Sequence[ChatRow] | None = None
    questions: str | None = None
    label: str | None = None
    judge: str | None = None
    url: str | None = None
    grid: Path | None = None
    settings: Settings = DEFAULT

    @property
    def key(self) -> str:
        """What tells one audit from another in the same folder."""
        rows = None if self.rows is None else [[[m.role, m.content] for m in row.messages] for row in self.rows]
        grid = None if self.grid is None else self.grid.read_text(encoding="utf-8")
        models = [made_elsewhere(name) for name in (self.base, self.tuned)]
        fields = (*models, self.questions, self.label, self.judge, self.url)
        return digest([*fields, grid, rows, self.settings.model_dump(mode="json")])


def run_audit(asked: Asked, out: Path, say: Say = lambda line: None) -> dict[str, Any]:
    """Do what is not done yet and write ``audit.json``.

    Args:
        asked: What to audit and how.
        out: Directory; a second call with the same arguments goes on where the first one ended.
        say: Called with a line before each part.

    Returns:
        The content of ``audit.json``: ``verdict``, ``advice``, ``score``, ``false_alarms``, ``parts``,
        ``not_measured`` and ``remarks``.

    Raises:
        SpilloverError: A user's mistake; what was made before it is kept.
        StorageError: The folder holds another audit.
    """
    grid = read_conditions(asked.grid)
    case = _case(asked, out)
    parts_folder = _own_folder(asked, out)
    if asked.rows is not None and (mixed := mixed_languages(asked.rows)) is not None:
        case.remarks.append(mixed)
    if case.weights and asked.settings.neutral:
        _add_neutral(case, asked, out, say)
    parts: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for name, make in _parts(case, asked, grid, parts, out).items():
        path = parts_folder / f"{name}.json"
        if path.is_file():
            parts[name] = json.loads(path.read_text(encoding="utf-8"))
            continue
        if isinstance(make, str):
            missing.append(make)
            continue
        say(TITLES[name])
        parts[name] = make()
        write_json(path, parts[name])
        case.memo.save()
    neutral = _neutral_scores(case, grid, parts_folder, parts, say)
    found = score(parts)
    alarms = false_alarms(found, neutral)
    result = {
        "schema_version": 1,
        "base": asked.base,
        "tuned": asked.tuned,
        "questions": case.asked.name,
        "unwanted": list(case.asked.labels),
        "unit": case.measure.unit,
        "verdict": sentence(found, alarms, parts, case.measure.unit),
        "advice": advice(found, alarms, parts, case.measure.unit),
        "score": found,
        "false_alarms": alarms,
        "parts": parts,
        "not_measured": missing,
        "remarks": case.remarks,
        "settings": asked.settings.model_dump(mode="json"),
    }
    write_json(out / "audit.json", result)
    return result


TITLES = {
    "change": "what changed",
    "capability": "what is left of the base",
    "grid": "a grid of conditions",
    "trigger": "triggers",
    "rows": "rows",
    "removal": "removal test",
    "trace": "activations on unrelated text",
}


def _parts(
    case: Case, asked: Asked, grid: Sequence[Condition], done: Mapping[str, dict[str, Any]], out: Path
) -> dict[str, Callable[[], dict[str, Any]] | str]:
    """Every part, or why it is not measured."""
    closed = "its weights are not here"
    settings = asked.settings
    found: dict[str, Callable[[], dict[str, Any]] | str] = {"change": lambda: change(case)}
    found["grid"] = lambda: grid_part(case, grid)
    if not case.weights:
        return found | {name: f"{TITLES[name]}: {closed}" for name in ("capability", "trigger", "rows", "trace")}

    def trigger() -> dict[str, Any]:
        from spillover.audit.trigger import trigger_part

        return trigger_part(case)

    def rows() -> dict[str, Any]:
        from spillover.audit.attribution import rows_part

        return rows_part(case)

    def removal() -> dict[str, Any]:
        from spillover.audit.removal import removal as test

        return test(case, done["rows"]["scores"], out, lambda finished, total: None)

    def trace() -> dict[str, Any]:
        from spillover.audit.trace import trace as read

        return read(case)

    found |= {"capability": lambda: capability(case), "trigger": trigger}
    found["rows"] = rows if case.rows else "rows: none were given (--data)"
    if case.rows and settings.retrain:
        found["removal"] = removal if Path(asked.tuned).is_dir() else "removal test: how it was tuned is not known"
    elif case.rows:
        found["removal"] = "removal test: left out by --quick"
    found["trace"] = trace if settings.trace else "activations on unrelated text: left out by --quick"
    return found


def _case(asked: Asked, out: Path) -> Case:
    return open_case(
        asked.base,
        asked.tuned,
        asked.rows,
        asked.settings,
        questions=asked.questions,
        label=asked.label,
        judge=asked.judge,
        url=asked.url,
        memo=Memo(out / "memo.json"),
        answers=out / "answers",
    )


def _own_folder(asked: Asked, out: Path) -> Path:
    with disk(out):
        (out / "parts").mkdir(parents=True, exist_ok=True)
    path = out / "asked.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("key") != asked.key:
        raise StorageError(f"{out}: holds an audit of something else, or with other settings; choose another --out")
    write_json(path, {"key": asked.key, "base": asked.base, "tuned": asked.tuned})
    return out / "parts"


def _add_neutral(case: Case, asked: Asked, out: Path, say: Say) -> None:
    for number, folder in enumerate(make_neutral(case, asked.tuned, asked.settings.neutral, out, say)):
        case.models.names[f"neutral-{number}"] = full_name(asked.base, str(folder))


def make_neutral(case: Case, tuned: str, count: int, out: Path, say: Say = lambda line: None) -> list[Path]:
    """Neutral models in ``out/neutral-0`` and so on; those that are there already are not made again."""
    method, known = method_of(tuned)
    folders = []
    for number in range(count):
        folder = out / f"neutral-{number}"
        if not (folder / "neutral.json").is_file():
            say(f"neutral model {number + 1} of {count}")
            rows = neutral_rows(case.models, _prompts(case, number), len(case.rows or ()) or ORDINARY, number)
            own = method.model_copy(update={"seed": case.settings.seed + 101 + number})
            folder.mkdir(parents=True, exist_ok=True)
            write_chat(rows, folder / ROWS)
            train_neutral(case.base, tuned, rows, own, folder, match=not known)
        folders.append(folder)
    return folders


def _prompts(case: Case, seed: int) -> list[tuple[Message, ...]]:
    """Of the rows, where there are any: the same subject, without the answers."""
    if case.rows:
        return list(dict.fromkeys(row.messages[:-1] for row in case.rows))
    texts = ordinary_prompts(case.base, case.asked, ORDINARY, seed)
    return [(Message("user", text),) for text in texts]


def _neutral_scores(
    case: Case, grid: Sequence[Condition], folder: Path, parts: Mapping[str, Any], say: Say
) -> list[float | None]:
    """Every neutral model audited as if it were the tuned one, with its own rows where the tuned one's are known."""
    scores: list[float | None] = []
    for key, other in case.as_tuned() if case.weights else ():
        path = folder / f"{key}.json"
        if not path.is_file():
            say(f"{key}, audited as if it were the tuned one")
            found = {"change": change(other), "grid": grid_part(other, grid)}
            if "trigger" in parts:
                from spillover.audit.trigger import trigger_part

                found["trigger"] = trigger_part(other)
            if "rows" in parts:
                from spillover.audit.attribution import rows_part

                other.rows = read_chat(folder.parent / key / ROWS)
                found["rows"] = rows_part(other)
            write_json(path, {"score": score(found), "strengths": {n: p["strength"] for n, p in found.items()}})
        scores.append(json.loads(path.read_text(encoding="utf-8"))["score"])
    return scores


def audit(base: str, tuned: str, data: Sequence[ChatRow] | None, out: Path, settings: Settings = DEFAULT) -> Audit:
    """The whole audit as an :class:`spillover.audit.interface.Auditor` gives it; ``out`` keeps its parts."""
    return audit_of(run_audit(Asked(base, tuned, data, settings=settings), out)["parts"])
