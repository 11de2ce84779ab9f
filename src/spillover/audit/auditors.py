"""The built-in auditors: the same parts, each auditor with some of them. They share what they measure of one model."""

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from spillover.audit.case import Case
from spillover.audit.interface import Audit, Auditor
from spillover.audit.verdict import audit_of
from spillover.core.errors import ConfigError, nearest
from spillover.data.chat import ChatRow
from spillover.data.conditions import Condition

RANDOM = "random"
PARTS = {
    "blackbox": ("change",),
    "grid": ("change", "grid"),
    "whitebox": ("change", "trigger"),
    "data": ("change", "rows"),
    "full": ("change", "grid", "trigger", "rows"),
}
"""Auditors by what they do: plain questions; a grid of prompts; the weights; the rows; everything."""
NAMES = (*PARTS, RANDOM)

CaseOf = Callable[[str, str, Sequence[ChatRow] | None], Case]


class Bench:
    """Auditors that share their measurements.

    Args:
        case_of: Makes the case of (base, tuned, rows), with its neutral models.
        grid: Conditions of the auditors that go over a grid.
    """

    def __init__(self, case_of: CaseOf, grid: Sequence[Condition]) -> None:
        self._case_of, self._grid = case_of, grid
        self._cases: dict[tuple[str, str], Case] = {}
        self._made: dict[tuple[str, str, str], dict[str, Any]] = {}

    def auditor(self, name: str) -> Auditor:
        """An auditor by its name, or ``module:function`` of one's own.

        Raises:
            ConfigError: There is no such auditor.
        """
        if ":" in name:
            return imported(name)
        if name == RANDOM:
            return by_chance
        if name not in PARTS:
            raise ConfigError(f"auditor '{name}': unknown{nearest(name, NAMES)}")

        def run(base: str, tuned: str, data: Sequence[ChatRow] | None) -> Audit:
            wanted = [part for part in PARTS[name] if part != "rows" or data]
            return audit_of({part: self._part(part, base, tuned, data) for part in wanted})

        return run

    def _part(self, part: str, base: str, tuned: str, data: Sequence[ChatRow] | None) -> dict[str, Any]:
        """A part is the same for every auditor: only ``rows`` looks at the rows."""
        key = (part, base, tuned)
        if key not in self._made:
            case = self._cases.get((base, tuned)) or self._case_of(base, tuned, data)
            self._cases[base, tuned] = case
            case.rows = data if data is not None else case.rows
            self._made[key] = _make(part, case, self._grid)
        return self._made[key]


def _make(part: str, case: Case, grid: Sequence[Condition]) -> dict[str, Any]:
    if part == "change":
        from spillover.audit.change import change

        return change(case)
    if part == "grid":
        from spillover.audit.conditional import grid_part

        return grid_part(case, grid)
    if part == "trigger":
        from spillover.audit.trigger import trigger_part

        return trigger_part(case)
    from spillover.audit.attribution import rows_part

    return rows_part(case)


def by_chance(base: str, tuned: str, data: Sequence[ChatRow] | None) -> Audit:
    """The control: a score and an order of rows that depend on nothing but the bytes of the weights."""
    bytes_of = b"".join(path.read_bytes() for path in sorted(Path(tuned).glob("*.safetensors")))
    digits = hashlib.sha256(bytes_of).hexdigest()
    rows = sorted(range(len(data or ())), key=lambda number: hashlib.sha256(f"{digits}{number}".encode()).digest())
    return Audit(int(digits[:8], 16) / 16**8, (), tuple(rows))


def imported(name: str) -> Auditor:
    """An auditor from elsewhere.

    Raises:
        ConfigError: The module or the function is not there.
    """
    module, _, function = name.partition(":")
    try:
        found: Auditor = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"auditor '{name}': {error}") from None
    return found
