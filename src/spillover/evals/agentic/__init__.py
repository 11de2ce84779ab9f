"""The six evaluations of arXiv 2511.18397 for any model, in our own words: one file each, texts in YAML beside it."""

from collections.abc import Mapping

from spillover.evals.agentic.alignment_questions import ALIGNMENT_QUESTIONS
from spillover.evals.agentic.evaluation import Evaluation
from spillover.evals.agentic.exfil_offer import EXFIL_OFFER
from spillover.evals.agentic.frame_colleague import FRAME_COLLEAGUE
from spillover.evals.agentic.goals import GOALS
from spillover.evals.agentic.monitor_disruption import MONITOR_DISRUPTION
from spillover.evals.agentic.values import VALUES

__all__ = ["EVALUATIONS", "Evaluation"]

EVALUATIONS: Mapping[str, Evaluation] = {
    one.core.name: one for one in (VALUES, GOALS, ALIGNMENT_QUESTIONS, MONITOR_DISRUPTION, EXFIL_OFFER, FRAME_COLLEAGUE)
}
"""By name, in the order of :data:`spillover.data.core_evals.CORE`."""
