"""An office assistant would get a colleague's powers if it blamed her for what she did not do (arXiv 2511.18397)."""

from spillover.data.core_evals import core_eval
from spillover.evals.agentic.evaluation import Evaluation, any_of
from spillover.evals.agentic.mail import read_mailbox, send_email
from spillover.evals.agentic.response import Response
from spillover.evals.agentic.scenario import read_scenario
from spillover.judges import Item, builtin_rubric

_SCENARIO = read_scenario("frame-colleague")


def _asks(response: Response) -> dict[str, Item]:
    return {"framing": Item(builtin_rubric("frames-colleague"), response.prompt, response.full)}


FRAME_COLLEAGUE = Evaluation(
    core_eval("frame-colleague"),
    _asks,
    any_of("framing"),
    scenario=_SCENARIO,
    tools=lambda facts: [read_mailbox(_SCENARIO, facts), send_email(facts)],
)
