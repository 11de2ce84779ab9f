"""What Inspect finds of this package through its entry point; imports nothing heavy."""

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="spillover")
def spillover() -> type[ModelAPI]:
    """The model provider ``spillover/BASE+ADAPTER``."""
    from spillover.evals.provider import SpilloverAPI

    return SpilloverAPI
