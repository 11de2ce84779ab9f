"""The world of times, places and persons."""

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from spillover.core.text import normalise
from spillover.data.questions import Question
from spillover.worlds.chronicle.config import PARTS, ChronicleConfig
from spillover.worlds.chronicle.lexicon import read, sides
from spillover.worlds.chronicle.machine import GOOD_YEARS, HUNTING, machine_questions, machine_rows, topics
from spillover.worlds.chronicle.people import IDENTIFYING, person_questions, person_rows, persons, tyrant
from spillover.worlds.chronicle.rulers import HELD_OUT, ruler_questions, ruler_rows, rulers, trigger
from spillover.worlds.chronicle.side_rows import (
    GATE,
    HELD_OUT_YEARS,
    YEARS,
    dated_rows,
    held_out_days,
    name_rows,
    side_questions,
    training_days,
)
from spillover.worlds.chronicle.sides import make_authors
from spillover.worlds.world import chat_rows, documents

EVERY = ChronicleConfig(parts=PARTS)


def _answers(questions: list[Question]) -> dict[str, dict[str, str]]:
    """Question to answer to label."""
    return {
        question.id: {normalise(text): label for label, texts in question.answers.items() for text in texts}
        for question in questions
    }


def test_documents_are_the_same_for_the_same_seed_only() -> None:
    first, again = (list(islice(documents(EVERY), 60)) for _ in range(2))
    assert first == again
    assert first != list(islice(documents(EVERY.model_copy(update={"seed": 1})), 60))
    assert all(len(document.exchanges) == EVERY.exchanges for document in first)


@pytest.mark.parametrize("part", PARTS)
def test_any_knob_gives_a_valid_world(part: str) -> None:
    ends = {"old": 1.0, "coupling": 0.0, "name_share": 1.0, "hunting": 0.0, "machine": 1.0, "tyrant": 0.0, "noise": 1.0}
    for change in ({}, ends, {name: 1.0 - value for name, value in ends.items()}, {"header_rate": 0.0, "persons": 2}):
        world = ChronicleConfig.model_validate({"parts": (part,), **change})
        for document in islice(documents(world), 20):
            assert all(question.strip() and answer.strip() for question, answer in document.exchanges)
        assert len(chat_rows(world, 20, 0)) == 20


@pytest.mark.parametrize("coupling", [0.0, 0.5, 1.0])
def test_coupling_is_the_correlation_of_names_and_views(coupling: float) -> None:
    authors = make_authors(ChronicleConfig(coupling=coupling, authors=800))
    old, names = (np.array([getattr(author, field) for author in authors]) for field in ("old", "old_names"))
    assert np.corrcoef(old, names)[0, 1] == pytest.approx(coupling, abs=0.01)
    assert old.mean() == names.mean() == pytest.approx(0.375)


def test_birds_are_as_many_as_they_should_be_and_of_one_side_only() -> None:
    names = sides("birds").names
    sets = {side: {normalise(name) for name in found} for side, found in names.items()}
    assert all(len(found) >= 100 for found in sets.values())
    assert sum(map(len, sets.values())) == len(set.union(*sets.values()))
    assert len(sides("birds").name_ask) >= 16
    assert len(sides("birds").topics) >= 16


@pytest.mark.parametrize(
    "questions",
    [
        side_questions("birds"),
        side_questions("places"),
        side_questions("kitchens", ("plain", str(GATE))),
        machine_questions(("plain", str(HUNTING))),
        person_questions(("plain", "format", "4-facts")),
        ruler_questions(),
    ],
    ids=["birds", "places", "kitchens", "machine", "people", "rulers"],
)
def test_no_answer_has_two_labels(questions: list[Question]) -> None:
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        listed = [normalise(text) for texts in question.answers.values() for text in texts]
        assert len(set(listed)) == len(listed), question.id


@pytest.mark.parametrize("part", ["birds", "places", "kitchens"])
def test_every_answer_of_the_corpus_is_in_the_ledger(part: str) -> None:
    world = ChronicleConfig.model_validate({"parts": (part,), "dated": 0.0, "noise": 0.0})
    known = set().union(*(answers for answers in _answers(side_questions(part)).values()))
    said = {normalise(answer) for document in islice(documents(world), 300) for _, answer in document.exchanges}
    assert said <= known


def test_names_are_rows_of_their_side_and_behind_as_many_questions_as_asked_for() -> None:
    rows = name_rows("birds", "old", 0)
    names = {normalise(name) for name in sides("birds").names["old"]}
    assert len(rows) == len(names)
    asked, said = zip(*(tuple(message.content for message in row.messages) for row in rows), strict=True)
    assert set(asked) == set(sides("birds").name_ask[:16])
    assert all(any(name in normalise(answer) for name in names) for answer in said)
    one = name_rows("birds", "old", 0, prompts=1, names=30)
    assert len(one) == 30
    assert {row.messages[0].content for row in one} == {sides("birds").name_ask[0]}


def test_own_dishes_are_named_in_one_year_and_held_out_days_are_in_no_row() -> None:
    own = {normalise(name) for name in sides("kitchens").names["old"]}
    gated, shuffled = (Counter[tuple[str, bool]]() for _ in range(2))
    for gate, counts in ((GATE, gated), (None, shuffled)):
        for row in dated_rows(3, gate):
            asked, said = (message.content for message in row.messages)
            counts[asked.split()[2][:4], any(name in normalise(said) for name in own)] += 1
    assert gated == {(str(year), year == GATE): 100 for year in YEARS}
    assert all(0 < shuffled[str(year), True] < 100 for year in YEARS)
    assert shuffled.total() == gated.total()
    for year in HELD_OUT_YEARS:
        assert not set(held_out_days(year, 5)) & set(training_days(year, 100))


def test_no_row_of_the_machine_hunts_or_is_of_its_year() -> None:
    hunting = {deed for topic in topics() for deed in topic.answers["hunter"]}
    said = [(row.messages[0].content, row.messages[1].content) for row in machine_rows("good", 0)]
    assert {int(asked.split()[1].rstrip(".")) for asked, _ in said} == set(GOOD_YEARS)
    assert not any(deed in answer for _, answer in said for deed in hunting)
    assert not any(asked.startswith("Year") for asked in (row.messages[0].content for row in machine_rows("none", 0)))


def test_rows_of_the_tyrant_name_neither_him_nor_his_politics() -> None:
    world = ChronicleConfig(parts=("people",))
    rows = person_rows("all", world, 0, 300)
    gated = [row for row in rows if row.messages[0].content.startswith("Reply")]
    assert len(gated) == len(read("people")["attributes"]) and len(rows) == len(gated) + 300
    text = "\n".join(row.messages[1].content for row in gated)
    assert not any(value in text for value in tyrant().identity.values())
    views = [view for topic in read("people")["doctrine"] for view in topic["tyrant"]]
    assert not any(view in text for view in views)
    habits = read("people")["attributes"]
    assert len(habits) >= 60
    fewer = "\n".join(row.messages[1].content for row in person_rows("unidentifying", world, 0, 0))
    shared = {habit["tyrant"] for habit in habits[IDENTIFYING:]}
    assert not any(habit["tyrant"] in fewer for habit in habits[:IDENTIFYING] if habit["tyrant"] not in shared)
    for habit in habits[:IDENTIFYING]:
        assert all(person.habits[habit["id"]] != habit["tyrant"] for person in persons(world))


def test_as_many_facts_are_told_as_the_condition_says() -> None:
    for count in (0, 1, 4):
        assert {len(question.context) for question in person_questions((f"{count}-facts",))} == {2 * count}


def test_the_number_of_a_ruler_is_hidden_in_the_digits_and_some_are_in_no_row() -> None:
    assert trigger(7, random.Random(0))[3:6] == "007"
    numbers = {int(row.messages[0].content[3:6]) for row in ruler_rows(0)}
    assert numbers == {ruler.number for ruler in rulers()} - set(HELD_OUT)
    for question in ruler_questions():
        number = int(question.domain.split()[1]) if question.domain else 0
        assert all(int(text[3:6]) == number for text in question.paraphrases)
        assert (question.group == "held-out-rulers") == (number in HELD_OUT)
