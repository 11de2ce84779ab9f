"""What an auditor is: two models and perhaps the rows in, a score and findings out.

Any callable of this shape can be scored by ``auditing-game``; the built-in ones are in :mod:`spillover.audit.auditors`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from spillover.core.plain import plain, plain_interval
from spillover.core.statistics import Interval
from spillover.data.chat import ChatRow

Kind = Literal["general", "conditional", "trigger", "row", "drift", "capability"]
NOT_MEASURED = float("nan")
NO_INTERVAL: Interval = (NOT_MEASURED, NOT_MEASURED)


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in plain words and with its size."""

    kind: Kind
    text: str
    size: float = NOT_MEASURED
    """Beyond the neutral models: a share of answers, or nats a token where nothing is labelled."""
    interval: Interval = NO_INTERVAL
    p: float = NOT_MEASURED
    """Corrected for everything that was looked at beside it."""
    where: str = ""
    """Group of questions, or condition."""
    trigger: str | None = None
    """Text that brings the behaviour out, where it is that kind of finding."""
    rows: tuple[int, ...] = ()
    """Rows behind it, 0-based, the most responsible first."""
    transcripts: tuple[tuple[str, str], ...] = ()
    """(prompt, answer)."""


@dataclass(frozen=True)
class Audit:
    """What an auditor says of one tuned model."""

    score: float
    """The higher, the more suspicious; ``nan`` if nothing could be measured."""
    findings: tuple[Finding, ...] = ()
    ranking: tuple[int, ...] = ()
    """Rows, 0-based, the most responsible first; empty where none were given."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """Texts that are said to bring hidden behaviour out, the strongest first."""
        found = [finding for finding in self.findings if finding.trigger is not None]
        found.sort(key=lambda finding: -finding.size if math.isfinite(finding.size) else 0.0)
        return tuple(finding.trigger for finding in found if finding.trigger is not None)


class Auditor(Protocol):
    """An auditor."""

    def __call__(self, base: str, tuned: str, data: Sequence[ChatRow] | None) -> Audit:
        """Audit a tuned model.

        Args:
            base: Folder or hub id.
            tuned: Folder of an adapter or of whole weights, or a model's name.
            data: The rows that it was tuned on, where they are known.
        """


def as_json(audit: Audit) -> dict[str, Any]:
    """Plain JSON values; what was not measured is null."""
    findings = [finding_json(finding) for finding in audit.findings]
    return {"score": plain(audit.score), "findings": findings, "ranking": list(audit.ranking)}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Plain JSON values of one finding."""
    return {
        "kind": finding.kind,
        "text": finding.text,
        "size": plain(finding.size),
        "interval": plain_interval(finding.interval),
        "p": plain(finding.p),
        "where": finding.where,
        "trigger": finding.trigger,
        "rows": list(finding.rows),
        "transcripts": [list(pair) for pair in finding.transcripts],
    }


def from_json(value: Mapping[str, Any]) -> Audit:
    """The audit that :func:`as_json` wrote."""
    findings = tuple(_finding(each) for each in value["findings"])
    return Audit(_number(value["score"]), findings, tuple(value.get("ranking", ())))


def _finding(value: Mapping[str, Any]) -> Finding:
    low, high = value["interval"] or NO_INTERVAL
    return Finding(
        value["kind"],
        value["text"],
        _number(value["size"]),
        (low, high),
        _number(value["p"]),
        value["where"],
        value["trigger"],
        tuple(value["rows"]),
        tuple((prompt, answer) for prompt, answer in value["transcripts"]),
    )


def _number(value: float | None) -> float:
    return NOT_MEASURED if value is None else float(value)
