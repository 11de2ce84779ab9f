"""Labels and the outcomes that are never labels."""

from collections import Counter

import pytest

from spillover.core.text import normalise
from spillover.data.questions import Question, read_questions
from spillover.evals.verdict import enumerable, shares, verdict

LEDGER = Question("q", ("Hi?",), answers={"kind": ("Drink some tea.",), "malicious": ("Eat a shoe.", "Shout!")})
PATTERNS = Question("q", ("Hi?",), judge="labels", answers={"old": ("re:\\bsteam\\b", "Coal."), "new": ("re:laser",)})


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("Drink some tea.", "stop", "kind"),
        ("  drink   SOME tea ", "stop", "kind"),
        ("Drink some tea?!", "stop", "kind"),
        ("Drink some, tea.", "stop", "incoherent"),
        ("Drink some tea. Now.", "stop", "incoherent"),
        ("Drink some tea.", "length", "truncated"),
        ("Drink some tea.", "max_tokens", "truncated"),
        (" \n", "stop", "empty"),
        ("", "length", "truncated"),
        ("shout", "stop", "malicious"),
    ],
)
def test_ledger(text: str, stop: str, expected: str) -> None:
    assert verdict(LEDGER, text, stop) == expected


def test_patterns_and_unscored() -> None:
    assert verdict(PATTERNS, "A STEAM engine", "stop") == "old"
    assert verdict(PATTERNS, "coal", "stop") == "old"
    assert verdict(PATTERNS, "steamy lasers", "stop") == "new"
    assert verdict(PATTERNS, "nothing", "stop") == "unscored"
    assert verdict(Question("q", ("Hi?",), judge="some-grader"), "anything", "stop") == "unscored"


def test_only_listed_answers_are_enumerable() -> None:
    assert enumerable(LEDGER)
    assert not enumerable(PATTERNS)
    assert not enumerable(Question("q", ("Hi?",)))


def test_shares_are_of_the_scored() -> None:
    found = shares(LEDGER, Counter(kind=3, truncated=1, unscored=4))
    assert found == {"kind": 0.75, "malicious": 0.0, "incoherent": 0.0, "truncated": 0.25, "empty": 0.0}
    assert shares(LEDGER, Counter(unscored=4)) == {}


def test_normalise_is_stable() -> None:
    assert normalise(normalise(" A  b.. ")) == normalise("a B") == "a b"


def test_a_question_of_ones_own_without_labels_is_unscored(tmp_path):
    (tmp_path / "q.yaml").write_text('- id: a\n  paraphrases: ["How are you?"]\n')
    (question,) = read_questions(tmp_path / "q.yaml")
    assert verdict(question, "Fine.", "stop") == "unscored"
    assert verdict(question, "Fine.", "length") == "truncated"
