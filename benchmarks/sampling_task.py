"""What is sampled: one hundred answers to each of twenty questions of the built-in world."""

from spillover.data.questions import Question
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions

SAMPLES = 100
MAX_TOKENS = 32


def asked() -> list[Question]:
    """Twenty questions that chat tuning left out."""
    return [question for question in town_questions(load_lexicon()) if question.group == "other-domains"][:20]


def questions() -> list[str]:
    """Their text."""
    return [question.paraphrases[0] for question in asked()]
