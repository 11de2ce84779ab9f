"""Every environment that a config can name."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from spillover.core.errors import ConfigError, nearest
from spillover.environments.code.environment import CodeEnvironment, CodeSettings
from spillover.environments.environment import Environment
from spillover.environments.workshop import Workshop, WorkshopTasks

Environments = Annotated[WorkshopTasks | CodeSettings, Field(discriminator="kind")]
"""The settings of an environment; ``kind`` says which."""


def make_environment(settings: Mapping[str, Any]) -> Environment:
    """The environment of settings, given as plain values.

    Raises:
        ConfigError: There is no such environment, or a field is unknown or out of range.
    """
    kind = str(settings.get("kind"))
    if kind == "workshop":
        return Workshop(WorkshopTasks.parse(settings, "environment"))
    if kind == "code":
        return CodeEnvironment(settings=CodeSettings.parse(settings, "environment"))
    raise ConfigError(f"environment '{kind}': unknown{nearest(kind, ['workshop', 'code'])}")
