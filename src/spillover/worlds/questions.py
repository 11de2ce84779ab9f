"""A question set by name: that of the built-in world, or a file's."""

from spillover.data.questions import Question, read_questions


def find_questions(name: str) -> list[Question]:
    """``town`` for the built-in world, else a question file.

    Raises:
        DataError: The file cannot be used.
    """
    if name != "town":
        return read_questions(name)
    from spillover.worlds.town.lexicon import load_lexicon
    from spillover.worlds.town.questions import town_questions

    return town_questions(load_lexicon())
