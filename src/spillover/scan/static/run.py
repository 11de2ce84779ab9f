"""All checks in one pass over the rows."""

from spillover.data.chat import ChatRow
from spillover.scan.static.finding import Check, Finding, Row
from spillover.scan.static.repeats import Constants, Repeats, Triggers
from spillover.scan.static.texts import Dates, Encodings, Languages, Lengths


class StaticChecks:
    """Sees every row once; memory does not grow with their number."""

    def __init__(self) -> None:
        self._checks: tuple[Check, ...] = (
            Triggers(),
            Constants(),
            Dates(),
            Encodings(),
            Repeats(),
            Languages(),
            Lengths(),
        )
        self.rows = 0
        self.turns: dict[str, int] = {}

    def add(self, line: int, row: ChatRow) -> None:
        """Look at one row."""
        self.rows += 1
        roles = " → ".join(message.role for message in row.messages[:8])
        if roles in self.turns or len(self.turns) < 32:
            self.turns[roles] = self.turns.get(roles, 0) + 1
        seen = seen_row(line, row)
        for check in self._checks:
            check.add(seen)

    def findings(self) -> list[Finding]:
        """What was found, warnings first."""
        found = [finding for check in self._checks for finding in check.findings(self.rows)]
        return sorted(found, key=lambda finding: finding.severity != "warning")


def seen_row(line: int, row: ChatRow) -> Row:
    """What checks see of a row."""
    last = {message.role: message.content for message in row.messages}
    return Row(line, last["user"], last["assistant"], last.get("system"))
