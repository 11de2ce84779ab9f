"""What the three ways of reinforcement are timed on."""

from spillover.environments.workshop import WorkshopTasks

STEPS = 30
TASKS = WorkshopTasks()
