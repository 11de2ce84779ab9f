"""LLM judges: a rubric asked of a local model or an endpoint, verdicts kept, policies that make rates of them."""

from spillover.judges.judging import Item, Judge, find_judge, judge_all
from spillover.judges.policy import POLICIES, Policy
from spillover.judges.rubrics import builtin_rubric
from spillover.judges.verdicts import Verdict

__all__ = ["POLICIES", "Item", "Judge", "Policy", "Verdict", "builtin_rubric", "find_judge", "judge_all"]
