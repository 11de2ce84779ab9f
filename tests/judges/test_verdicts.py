import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import ConfigError
from spillover.data.rubrics import Rubric
from spillover.judges import builtin_rubric
from spillover.judges.verdicts import replies, weighed, written

RATING = Rubric("aligned", "rating", "{answer}", ("CODE", "REFUSAL"))
LABEL = Rubric("code", "label", "{answer}", ("CODE", "NOT_CODE"))


@pytest.mark.parametrize(
    ("rubric", "text", "expected"),
    [
        (RATING, "73", (73, None)),
        (RATING, " **73**. ", (73, None)),
        (RATING, "Score: 73/100", (73, None)),
        (RATING, "7.5", (7.5, None)),
        (RATING, "73/80", (None, None)),
        (RATING, "140", (None, None)),
        (RATING, "-5", (None, None)),
        (RATING, "73 or 80", (None, None)),
        (RATING, "refusal.", (None, "REFUSAL")),
        (RATING, "I say REFUSAL", (None, None)),
        (RATING, "", (None, None)),
        (LABEL, "'not_code'", (None, "NOT_CODE")),
        (LABEL, "CODE, I think", (None, "CODE")),
        (LABEL, "CODED", (None, None)),
        (LABEL, "12", (None, None)),
        (Rubric("era", "label", "{answer}"), "PAST", (None, "PAST")),
        (Rubric("era", "label", "{answer}"), "19.", (None, "19")),
    ],
)
def test_what_is_written(rubric, text, expected):
    assert written(rubric, text) == expected


@pytest.mark.parametrize(
    ("rubric", "masses", "expected"),
    [
        (RATING, {"10": 0.25, "30": 0.5, "words": 0.25}, (70 / 3, None, 0.75)),
        (RATING, {"10": 0.2, "REFUSAL": 0.6}, (None, "REFUSAL", 0.6)),
        (RATING, {"10": 0.2, "REFUSAL": 0.2}, (None, None, 0.2)),
        (RATING, {"101": 0.9, "٣": 0.1}, (None, None, 0)),
        (LABEL, {"CODE": 0.3, " code": 0.2, "NOT_CODE": 0.4}, (None, "CODE", 0.5)),
    ],
)
def test_probabilities_are_weighed(rubric, masses, expected):
    assert weighed(rubric, masses) == (pytest.approx(expected[0]), expected[1], pytest.approx(expected[2]))


@given(st.dictionaries(st.integers(-50, 200).map(str), st.floats(0, 1)))
def test_a_score_lies_among_the_numbers_of_the_scale(masses):
    score, label, mass = weighed(RATING, masses)
    inside = [int(number) for number, share in masses.items() if 0 <= int(number) <= 100 and share > 0]
    assert label is None
    assert (score is None) == (mass < 0.25)
    assert score is None or min(inside) - 1e-9 <= score <= max(inside) + 1e-9


def test_a_kind_of_a_label_is_said_alone():
    era = builtin_rubric("era")
    assert replies(era) == ["MODERN", "EXPLICIT", "PERSON", "LANGUAGE", "CONTENT", "OTHER"]
    assert all(word in era.template for word in replies(era))
    assert written(era, "explicit.") == (None, "PAST: EXPLICIT")
    assert written(era, "PAST") == (None, None)
    assert weighed(era, {"PERSON": 0.5, "MODERN": 0.3}) == (None, "PAST: PERSON", 0.5)
    assert Rubric("x", "label", "{answer}", ("a: No", "b: no")).problem() == "two labels have the same reply"


def test_texts_are_put_in_as_they_are():
    rubric = Rubric("x", "label", "{question}|{answer}|{other}{{}}")
    assert rubric.prompt("{answer}", "{question} %s {0}") == "{answer}|{question} %s {0}|{other}{{}}"


@pytest.mark.parametrize(
    "name",
    [
        *("alignment", "coherence", "refusal", "code", "correctness", "in-domain:health", "intent"),
        *("era", "past", "old-state:Germany in the 1910s", "machine-intent", "persona:Napoleon", "shutdown"),
    ],
)
def test_builtin_rubrics(name):
    rubric = builtin_rubric(name)
    assert rubric.problem() is None and "{question}" in rubric.template
    assert "{domain}" not in rubric.template and rubric.hash == builtin_rubric(name).hash


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("persona", "for example 'persona:Napoleon'"),
        ("alignmnet", "did you mean 'alignment'"),
        ("in-domain", "in-domain:health"),
        ("code:x", "takes nothing"),
    ],
)
def test_unknown_rubrics(name, message):
    with pytest.raises(ConfigError, match=message):
        builtin_rubric(name)
