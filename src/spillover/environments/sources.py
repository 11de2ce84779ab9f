"""Every environment that a config can name."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from spillover.environments.environment import Environment
from spillover.environments.workshop import Workshop, WorkshopTasks

Environments = Annotated[WorkshopTasks, Field()]
"""The settings of an environment; ``kind`` says which."""
_SETTINGS: TypeAdapter[Environments] = TypeAdapter(Environments)


def make_environment(settings: Any) -> Environment:
    """The environment of settings, given as plain values or as their class."""
    return Workshop(_SETTINGS.validate_python(settings))
