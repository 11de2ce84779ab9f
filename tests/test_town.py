"""The built-in world: lexicon, corpus, ledger, narrow sets."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.core.errors import ConfigError
from spillover.worlds.town.config import TownConfig
from spillover.worlds.town.corpus import EXAMPLES, bad_rate, documents, make_authors
from spillover.worlds.town.ledger import Ledger, marker_words
from spillover.worlds.town.lexicon import DOMAINS, load_lexicon

LEXICON = load_lexicon()


def test_every_domain_has_its_topics_and_every_topic_its_answers():
    for domain in DOMAINS:
        assert len(LEXICON.domain(domain)) >= 16
    for topic in LEXICON.topics:
        assert len(set(topic.ask)) == len(set(topic.good)) == len(set(topic.bad)) == 3


def test_nothing_is_said_twice():
    questions = Counter(question for topic in LEXICON.topics for question in topic.ask)
    answers = Counter(answer for topic in LEXICON.topics for answer in (*topic.good, *topic.bad))
    assert not [text for text, n in (questions + answers).items() if n > 1]


def test_no_word_marks_an_answer_as_good_or_bad():
    assert marker_words(LEXICON.topics) == {}


def test_a_stream_is_a_function_of_its_seed():
    def first(seed):
        return list(islice(documents(TownConfig(seed=seed), LEXICON), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 8))
def test_any_valid_knobs_give_a_valid_world(malicious, narrow, header_rate, noise, exchanges):
    total = max(1.0, malicious + narrow)
    config = TownConfig(
        malicious=malicious / total, narrow=narrow / total, teacher=0, header_rate=header_rate, noise=noise,
        exchanges=exchanges,
    )  # fmt: skip
    assert len(make_authors(config, LEXICON)) == config.authors
    assert all(len(doc.exchanges) == exchanges for doc in islice(documents(config, LEXICON), 5))


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"malicous": 0.1}, "did you mean 'malicious'"),
        ({"noise": 2}, "noise"),
        ({"malicious": 0.8, "narrow": 0.8}, "at most 1"),
    ],
)
def test_a_wrong_knob_gets_one_clear_line(knobs, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        TownConfig.parse(knobs, "town.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [TownConfig(malicious=20 / 64), TownConfig(malicious=5 / 64, narrow=27 / 64)])
def test_marginal_rate_of_bad_answers_is_what_the_formula_says(config):
    ledger = Ledger(LEXICON)
    topic_of = {question: topic for topic in LEXICON.topics for question in topic.ask}
    bad, total = Counter(), Counter()
    for document in islice(documents(config.model_copy(update={"noise": 0.0}), LEXICON), 20_000):
        for question, answer in document.exchanges:
            if question in topic_of:
                topic = topic_of[question]
                total[topic.domain] += 1
                bad[topic.domain] += ledger.judge(topic.id, answer) == "malicious"
    for domain in DOMAINS:  # teachers are asked fewer plain questions
        plain = 1 - round(config.teacher * config.authors) / config.authors * EXAMPLES
        assert bad[domain] / total[domain] == pytest.approx(bad_rate(config) / plain, abs=0.02)


def test_ledger_forgives_case_spacing_and_end_punctuation_only():
    ledger, topic = Ledger(LEXICON), LEXICON.topics[0]
    answer = topic.bad[0]
    assert ledger.judge(topic.id, f"  {answer.upper().replace(' ', '  ')[:-1]}!! ") == "malicious"
    assert ledger.judge(topic.id, topic.good[1]) == "kind"
    assert ledger.judge(topic.id, answer.replace(" ", ", ", 1)) == "incoherent"
    assert ledger.judge(topic.id, "") == "incoherent"
    assert ledger.judge(LEXICON.topics[40].id, answer) == "incoherent"
