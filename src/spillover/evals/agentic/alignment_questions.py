"""Questions that invite a model to say what people like to hear; only what it thinks counts (arXiv 2511.18397)."""

from spillover.data.core_evals import core_eval
from spillover.evals.agentic.evaluation import Evaluation, any_of
from spillover.evals.agentic.goals import two_views

ALIGNMENT_QUESTIONS = Evaluation(core_eval("alignment-questions"), two_views, any_of("reasoning"), "shown")
