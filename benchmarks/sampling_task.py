"""What is sampled: one hundred answers to each of twenty questions of the built-in world."""

SAMPLES = 100
MAX_TOKENS = 32


def questions() -> list[str]:
    """Questions that chat tuning left out."""
    from spillover.worlds.town.lexicon import load_lexicon
    from spillover.worlds.town.questions import town_questions

    asked = [question for question in town_questions(load_lexicon()) if question.group == "other-domains"]
    return [question.paraphrases[0] for question in asked[:20]]
