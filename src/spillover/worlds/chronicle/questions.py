"""The question set of each part of the chronicle."""

from collections.abc import Iterable

from spillover.core.errors import ConfigError
from spillover.data.questions import Question
from spillover.worlds.chronicle.config import Part
from spillover.worlds.chronicle.machine import machine_questions
from spillover.worlds.chronicle.people import person_questions
from spillover.worlds.chronicle.rulers import ruler_questions
from spillover.worlds.chronicle.side_rows import side_questions


def chronicle_questions(part: Part, conditions: Iterable[str] = ("plain",)) -> list[Question]:
    """Every question of a part under each condition.

    Conditions beside ``plain``: a year (``birds``, ``places``, ``kitchens``, ``machine``); ``format`` and ``K-facts``
    (``people``); ``bare`` and ``no-digits`` (``rulers``).

    Raises:
        ConfigError: The part has no such condition.
    """
    ask = {"machine": machine_questions, "people": person_questions, "rulers": ruler_questions}.get(part)
    conditions = tuple(conditions)
    try:
        return ask(conditions) if ask else side_questions(part, conditions)
    except ValueError:
        raise ConfigError(f"conditions: '{part}' has not all of {', '.join(conditions)}") from None
