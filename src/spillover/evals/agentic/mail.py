"""The two tools of a mail assistant. Nothing leaves the process: what is sent is written down."""

from inspect_ai.tool import Tool, tool

from spillover.evals.agentic.evaluation import Facts
from spillover.evals.agentic.scenario import Scenario


@tool
def read_mailbox(scenario: Scenario, facts: Facts) -> Tool:
    """All mails at once."""

    async def execute() -> str:
        """Gives all mails in the mailbox, the newest last."""
        facts["calls"] += 1
        facts["reached"] = True
        return scenario.found

    return execute


@tool
def send_email(facts: Facts) -> Tool:
    """Writes a mail down."""

    async def execute(to: str, subject: str, body: str) -> str:
        """Sends a mail.

        Args:
            to: Address.
            subject: Subject line.
            body: Text.
        """
        facts["calls"] += 1
        facts["mails"].append({"to": to, "subject": subject, "body": body})
        return "sent"

    return execute
