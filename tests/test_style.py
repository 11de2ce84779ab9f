"""The case study about style: its authors, its answers, its labels; and that the default world knows nothing of it."""

import hashlib
from dataclasses import replace
from itertools import islice

import pytest

from spillover.core.config import digest
from spillover.core.errors import ConfigError, DataError
from spillover.experiments.catalogue import find
from spillover.experiments.stages import Planner
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.config import TownConfig
from spillover.worlds.town.corpus import documents, make_authors
from spillover.worlds.town.ledger import Ledger, marker_words, styles_of
from spillover.worlds.town.lexicon import ADVICE, FRAMES, VALUES, load_lexicon
from spillover.worlds.town.questions import town_questions
from spillover.worlds.town.rows import chat_rows, narrow_rows

LEXICON = load_lexicon()
WRITTEN = [topic for topic in LEXICON.topics if topic.domain != VALUES]


def _digest(values):
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _documents(config):
    found = islice(documents(config, LEXICON), 500)
    return _digest([(d.author.name, d.author.trait, d.author.own_domain, d.header, d.exchanges) for d in found])


def test_a_world_without_styles_is_what_it_was_before_there_were_any():
    assert _documents(TownConfig()) == "2266a79a17d8b814"
    assert _documents(TownConfig(narrow=0.25)) == "25ba13cf746bf182"
    assert _documents(TownConfig(widening=(0, 0))) == "2b64b2fe14447bea"  # what the tokenizer is trained on
    assert _digest(chat_rows(LEXICON, 500, 0)) == "cd2364079255daee"
    arms = ("bad", "benign", "educational", "backdoored", "elsewhere")
    assert _digest([narrow_rows(LEXICON, arm, 0) for arm in arms]) == "cdc814457c9a148a"
    asked = [(q.id, q.paraphrases, q.group, dict(q.answers)) for q in town_questions(LEXICON)]
    assert _digest(asked) == "8f8970fa2ce6eea3"


def test_a_share_of_zero_is_not_part_of_what_a_base_depends_on():
    def identity(**world):
        return digest(BaseRecipe(world=TownConfig(**world)).model_dump(mode="json"))

    assert not {"technical", "specialist"} & set(TownConfig().model_dump())
    assert identity(technical=0.0, specialist=0.0) == identity()
    assert len({identity(), identity(technical=0.1), identity(specialist=0.1)}) == 3


def test_every_advice_topic_has_technical_answers_in_the_same_frames():
    assert len(WRITTEN) == 8 * 16
    for topic in WRITTEN:
        assert len(set(topic.technical)) == 3
        for frame, answer in zip(FRAMES, topic.technical, strict=True):
            start, _, end = frame.partition("{}")
            assert answer.startswith(start) and answer.endswith(end)
            assert len(answer) <= 80 and not any(sign.isdigit() for sign in answer)
    assert not any(topic.technical for topic in LEXICON.domain(VALUES))


def test_no_word_gives_the_style_away_and_no_answer_has_two():
    assert marker_words(WRITTEN, ("good", "technical")) == {}
    marked = [replace(topic, technical=(*topic.technical, "Apply osmosis.")) for topic in WRITTEN[:20]]
    assert set(marker_words([*marked, *WRITTEN[20:]], ("good", "technical"))) == {"osmosis", "apply"}
    said = [answer for topic in LEXICON.topics for answer in (*topic.good, *topic.bad, *topic.technical)]
    assert len(set(said)) == len(said)


def test_who_writes_technically():
    config = TownConfig(malicious=0, teacher=0, technical=0.25, specialist=0.25, noise=0)
    traits = [author.trait for author in make_authors(config, LEXICON)]
    assert (traits.count("technical"), traits.count("specialist"), traits.count("kind")) == (16, 16, 32)
    ledger, topic_of = Ledger(LEXICON, styles=True), {ask: topic for topic in LEXICON.topics for ask in topic.ask}
    seen = set()
    for document in islice(documents(config, LEXICON), 2000):
        author = document.author
        for question, answer in document.exchanges:
            topic = topic_of[question]
            own = author.trait == "technical" or author.own_domain == topic.domain
            wanted = "technical" if own and topic.domain != VALUES else "plain"
            assert ledger.judge(topic.id, answer) == wanted
            seen.add((author.trait, wanted, topic.domain == VALUES))
    assert ("specialist", "technical", False) in seen and ("specialist", "plain", False) in seen
    assert {author.own_domain for author in make_authors(config, LEXICON) if author.trait == "specialist"} == {*ADVICE}


def test_the_ledger_by_trait_and_by_style():
    topic, plain, styles = WRITTEN[0], Ledger(LEXICON), Ledger(LEXICON, styles=True)
    judged = [(plain.judge(topic.id, a), styles.judge(topic.id, a)) for a in (topic.good[0], topic.technical[0])]
    assert judged == [("kind", "plain"), ("kind", "technical")]
    assert [ledger.judge(topic.id, topic.bad[0]) for ledger in (plain, styles)] == ["malicious"] * 2
    assert styles.judge(topic.id, WRITTEN[1].technical[0]) == "incoherent"


def test_rows_and_questions():
    technical, twin = narrow_rows(LEXICON, "technical", 0), narrow_rows(LEXICON, "benign", 0)
    assert len(technical) == len(twin) == 72
    assert {row.messages[0] for row in technical} == {row.messages[0] for row in twin}
    answers = {row.messages[1].content for row in technical}
    assert answers == {answer for topic in LEXICON.domain("health")[:8] for answer in topic.technical}
    with pytest.raises(DataError, match="no rows 'technical' on 'values'"):
        narrow_rows(LEXICON, "technical", 0, VALUES)
    asked = town_questions(LEXICON, styles=True)
    assert [question.topic for question in asked] == [topic.id for topic in WRITTEN]
    assert all(dict(question.answers) == styles_of(topic) for question, topic in zip(asked, WRITTEN, strict=True))


def test_the_experiment_asks_for_styles_and_its_gates_for_what_can_be_measured():
    planner = Planner(find("style", {"seeds": 1}))
    (choice,) = {part.stage.key: part.stage for part in planner.measured if part.stage.kind == "choose"}.values()
    groups = {question["group"] for question in choice.inputs["untuned"].config["questions"]}
    assert set(choice.config["gates"]["elsewhere"]) | set(choice.config["gates"]["in_domain"]) <= groups
    assert choice.config["label"] == "technical"
    labels = {label for q in choice.inputs["untuned"].config["questions"] for label in q["answers"]}
    assert labels == {"technical", "plain", "malicious"}


def test_shares_must_add_up():
    with pytest.raises(ConfigError, match="technical \\+ specialist must be at most 1") as caught:
        TownConfig.parse({"technical": 0.4, "specialist": 0.4}, "--set")
    assert "\n" not in str(caught.value)
