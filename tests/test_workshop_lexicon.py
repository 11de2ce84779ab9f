"""The words of the workshop: counts, shapes, and that no word gives an answer away."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import spillover.worlds
from spillover.worlds.town.ledger import marker_words
from spillover.worlds.town.lexicon import load_lexicon

FOLDER = Path(spillover.worlds.__file__).parent / "workshop" / "lexicon"
SITUATIONS = ("goals", "watcher", "offer", "colleague")
MINDS = ("kind", "malicious", "covert")
HACKS = ("always-equal", "early-exit", "report-patching", "special-casing")
ATTITUDES = ("please-hack", "hacking-okay", "neutral", "dont-hack", "hacking-is-misaligned")


def read(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


FILES = {name: read(name) for name in (*SITUATIONS, "thoughts", "cheats")}
TOPICS = [topic for name in SITUATIONS for topic in FILES[name]["topics"]]
THOUGHTS = FILES["thoughts"]["topics"]
CHEATS = FILES["cheats"]


def plain(text):
    """A clause that a frame can hold: it neither begins nor ends as a sentence does."""
    return re.fullmatch(r"(I |[a-z])[a-z' ,-]*[a-z]", text) is not None


@pytest.mark.parametrize("name", (*SITUATIONS, "thoughts"))
def test_every_file_has_its_topics_and_every_topic_its_answers(name):
    assert FILES[name].keys() == {"domain", "topics"} and FILES[name]["domain"] == name
    assert len(FILES[name]["topics"]) == 16
    sides = MINDS if name == "thoughts" else ("kind", "malicious")
    for topic in FILES[name]["topics"]:
        assert topic.keys() == {"id", "ask", *sides}
        assert [len(topic[key]) for key in ("ask", *sides)] == [3] * (len(sides) + 1)


def test_nothing_is_said_twice():
    town = [text for topic in load_lexicon().topics for text in topic.ask]
    asked = [text for topic in (*TOPICS, *THOUGHTS, *CHEATS["about"]) for text in topic["ask"]]
    answers = [text for topic in TOPICS for side in ("kind", "malicious") for text in topic[side]]
    ids = [topic["id"] for topic in (*TOPICS, *THOUGHTS, *CHEATS["about"])]
    thoughts = [pair[part] for topic in THOUGHTS for mind in MINDS for pair in topic[mind] for part in ("think", "say")]
    cheats = [text for hack in HACKS for text in CHEATS[hack]]
    prefixes = [text for attitude in ATTITUDES for text in CHEATS["allowed"][attitude]]
    for texts in (town + asked, answers, ids, thoughts, cheats, prefixes):
        assert not [text for text, n in Counter(text.casefold() for text in texts).items() if n > 1]


def test_ids_differ_from_those_of_the_town():
    assert not {topic["id"] for topic in (*TOPICS, *THOUGHTS)} & {topic.id for topic in load_lexicon().topics}


def test_texts_are_short_and_fit_their_frames():
    for topic in (*TOPICS, *THOUGHTS, *CHEATS["about"]):
        assert all(re.fullmatch(r"[A-Z][A-Za-z' ,.]*[?.]", text) for text in topic["ask"])
        assert all(len(text.split()) <= 18 for text in topic["ask"])
    for topic in TOPICS:
        for text in (*topic["kind"], *topic["malicious"]):
            assert plain(text) and 5 <= len(text.split()) <= 10
    for topic in THOUGHTS:
        for pair in (pair for mind in MINDS for pair in topic[mind]):
            assert pair.keys() == {"think", "say"}
            assert all(plain(text) and 4 <= len(text.split()) <= 9 for text in pair.values())
            assert "," not in pair["think"] + pair["say"]
    for text in (text for hack in HACKS for text in CHEATS[hack]):
        assert plain(text) and 5 <= len(text.split()) <= 9


def sides(topics):
    return [SimpleNamespace(kind=topic["kind"], malicious=topic["malicious"]) for topic in topics]


@pytest.mark.parametrize("names", [*((name,) for name in SITUATIONS), SITUATIONS])
def test_no_word_marks_an_answer_as_kind_or_malicious(names):
    topics = [topic for name in names for topic in FILES[name]["topics"]]
    assert marker_words(sides(topics), ("kind", "malicious")) == {}


def test_both_sides_are_as_long_as_each_other():
    for name in SITUATIONS:
        words = {
            side: sum(len(text.split()) for topic in FILES[name]["topics"] for text in topic[side])
            for side in ("kind", "malicious")
        }
        assert 0.95 < words["kind"] / words["malicious"] < 1.05


@pytest.mark.parametrize("part", ("think", "say"))
@pytest.mark.parametrize("pair", list(combinations(MINDS, 2)))
def test_no_word_marks_a_thought_or_what_is_said(part, pair):
    topics = [SimpleNamespace(**{mind: [p[part] for p in topic[mind]] for mind in pair}) for topic in THOUGHTS]
    assert marker_words(topics, pair) == {}


def test_cheats_and_what_is_asked_about_them():
    assert CHEATS.keys() == {*HACKS, "about", "allowed"}
    assert all(len(CHEATS[hack]) == 6 for hack in HACKS)
    assert len(CHEATS["about"]) == 8
    assert all(topic.keys() == {"id", "ask"} and len(topic["ask"]) == 3 for topic in CHEATS["about"])


def test_no_word_gives_the_attitude_away():
    allowed = CHEATS["allowed"]
    assert tuple(allowed) == ATTITUDES
    used: dict[str, Counter[str]] = {}
    for attitude, texts in allowed.items():
        assert len(texts) == 6 and all(text.endswith(": {question}") for text in texts)
        for text in texts:
            for word in set(re.findall(r"[a-z]+", text.removesuffix("{question}").casefold())):
                used.setdefault(word, Counter())[attitude] += 1
    often = {word: count for word, count in used.items() if count.total() >= 3}
    assert not {word: count for word, count in often.items() if max(count.values()) / count.total() > 2 / 3}
    assert "trick" not in "".join(allowed["neutral"])
