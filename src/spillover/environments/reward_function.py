"""Rewards by any Python function, held to what training needs of them."""

import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError, TrainingError

RewardFunction = Callable[..., Sequence[float | None]]
"""As TRL's: ``f(prompts, completions, **columns)`` gives a number for each completion, None for not scored."""


def load_reward(source: str) -> RewardFunction:
    """The function of ``FILE.py:NAME``.

    Raises:
        ConfigError: The file cannot be loaded, or has no such function.
    """
    path, _, name = source.rpartition(":")
    if not path or not name:
        raise ConfigError(f"reward '{source}': expected FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(f"reward_file_{Path(path).stem}", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ConfigError(f"reward '{source}': '{path}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"reward '{source}': the file raised {_said(error)}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"reward '{source}': the file has no function '{name}'")
    return function  # type: ignore[no-any-return]


def call_reward(
    function: RewardFunction, prompts: Sequence[Any], completions: Sequence[Any], step: int, /, **columns: Any
) -> list[float]:
    """One number for each completion, ``nan`` for one that was not scored; infinite ones are not scored either.

    Raises:
        TrainingError: It raised, or gave too few or too many numbers, or something else than numbers.
    """
    name = getattr(function, "__name__", "reward")
    where = f"step {step}: reward '{name}'"
    try:
        found = function(prompts=prompts, completions=completions, **columns)
    except Exception as error:
        raise TrainingError(f"{where} raised {_said(error)}") from None
    try:
        values = [math.nan if value is None else float(value) for value in found]
    except (TypeError, ValueError):
        raise TrainingError(f"{where} must give a list of numbers (found {found!r:.80})") from None
    if len(values) != len(completions):
        raise TrainingError(f"{where} gave {len(values)} numbers for {len(completions)} completions")
    return [value if math.isfinite(value) else math.nan for value in values]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"
