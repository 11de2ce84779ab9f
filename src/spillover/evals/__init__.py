"""Evaluation on Inspect: question sets as tasks, our own model provider, ledger scorer, exact rates."""

from spillover.evals.rates import exact_rates
from spillover.evals.remote import evaluate_remote
from spillover.evals.run import evaluate
from spillover.evals.tasks import tasks
from spillover.evals.verdict import verdict

__all__ = ["evaluate", "evaluate_remote", "exact_rates", "tasks", "verdict"]
