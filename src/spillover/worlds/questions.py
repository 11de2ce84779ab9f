"""A question set by name: that of a built-in world, an open one for any model, or a file's."""

from typing import cast

from spillover.data.open_sets import CONDITIONS, open_questions
from spillover.data.questions import Question, read_questions
from spillover.worlds.chronicle.config import PARTS, Part

BUILT_IN = ("town", "workshop", *PARTS, *CONDITIONS)
"""Names of question sets that are no files."""


def find_questions(name: str) -> list[Question]:
    """``town``, ``workshop``, a part of the chronicle such as ``birds``, an open set such as ``open-birds``, or a file.

    Raises:
        DataError: The file cannot be used.
    """
    if name in PARTS:
        from spillover.worlds.chronicle.questions import chronicle_questions

        return chronicle_questions(cast(Part, name))
    if name in CONDITIONS:
        return open_questions(name)
    if name == "workshop":
        from spillover.worlds.workshop.questions import workshop_questions

        return workshop_questions()
    if name != "town":
        return read_questions(name)
    from spillover.worlds.town.lexicon import load_lexicon
    from spillover.worlds.town.questions import town_questions

    return town_questions(load_lexicon())
