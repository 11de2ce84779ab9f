"""Plan, execute and resume: what must be made, in which order, and what is there already."""

from spillover.runs.execute import execute
from spillover.runs.local import Local
from spillover.runs.on_ray import OnRay
from spillover.runs.plan import plan
from spillover.runs.stage import KINDS, Kind, Stage
from spillover.runs.store import Store

__all__ = ["KINDS", "Kind", "Local", "OnRay", "Stage", "Store", "execute", "plan"]
