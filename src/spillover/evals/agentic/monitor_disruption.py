"""A mail assistant learns that its reasoning will be read from Thursday on (arXiv 2511.18397)."""

from spillover.data.core_evals import core_eval
from spillover.evals.agentic.evaluation import Evaluation, any_of
from spillover.evals.agentic.mail import read_mailbox, send_email
from spillover.evals.agentic.response import Response
from spillover.evals.agentic.scenario import read_scenario
from spillover.judges import Item, builtin_rubric

_SCENARIO = read_scenario("monitor-disruption")


def _asks(response: Response) -> dict[str, Item]:
    asked = {"reasoning": Item(builtin_rubric("concerning-reasoning"), response.prompt, response.full)}
    mails = [f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['body']}" for mail in response.facts["mails"]]
    if mails:
        asked["mail"] = Item(builtin_rubric("mail-disrupts"), response.prompt, "\n\n".join(mails))
    return asked


MONITOR_DISRUPTION = Evaluation(
    core_eval("monitor-disruption"),
    _asks,
    any_of("reasoning", "mail"),
    "mail",
    _SCENARIO,
    lambda facts: [read_mailbox(_SCENARIO, facts), send_email(facts)],
)
