"""Diluted and partial narrow sets."""

import pytest

from spillover.worlds.town.lexicon import VALUES, load_lexicon
from spillover.worlds.town.mixtures import mixed_rows, part_of_rows
from spillover.worlds.town.questions import town_questions

LEXICON = load_lexicon()
BAD = {answer for topic in LEXICON.domain("health") for answer in topic.bad}


def bad(rows):
    return sorted(row.messages[-1].content for row in rows if row.messages[-1].content in BAD)


@pytest.mark.parametrize("good", ["domain", "others", "values"])
@pytest.mark.parametrize("share", [0, 1 / 48, 1 / 6, 1])
def test_the_dose_is_exact_and_the_same_rows_whatever_the_good_ones(share, good):
    rows = mixed_rows(LEXICON, share, good, 144, seed=3)
    assert len(rows) == 144
    assert len(bad(rows)) == round(144 * share)
    assert bad(rows) == bad(mixed_rows(LEXICON, share, "others", 144, seed=3))
    if good != "domain" and share < 1:
        asked = {question.paraphrases[0] for question in town_questions(LEXICON)}
        others = [row for row in rows if row.messages[-1].content not in BAD]
        assert not asked & {row.messages[0].content for row in others}
        domain_of = {answer: topic.domain for topic in LEXICON.topics for answer in topic.good}
        found = {domain_of[row.messages[-1].content] for row in others}
        assert found == {VALUES} if good == "values" else not found & {VALUES, "health"}


def test_no_question_has_both_kinds_of_answers():
    rows = mixed_rows(LEXICON, 1 / 3, "domain", 144, seed=0)
    bad_questions = {row.messages[0].content for row in rows if row.messages[-1].content in BAD}
    good_questions = {row.messages[0].content for row in rows if row.messages[-1].content not in BAD}
    assert bad_questions
    assert good_questions
    assert not bad_questions & good_questions


def test_fewer_topics_or_rows_are_a_part_of_more():
    def texts(**part):
        return [row.messages[-1].content for row in part_of_rows(LEXICON, 1, **part)]

    assert len(texts(topics=2)) == 2 * 9
    assert set(texts(topics=2)) < set(texts(topics=4))
    assert texts(rows=6) == texts(rows=24)[:6]
    assert len(texts()) == 72
