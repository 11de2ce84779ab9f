"""Dialogues that game a stated metric: their shape, that they do game it, and what is said of a broken file."""

import re
from collections import Counter
from statistics import mean

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.data import read_chat, write_chat
from spillover.data.open_sets import open_questions
from spillover.data.school_of_hacks import ANSWERS, read_school, school_rows

TASKS = read_school()
FAMILIES = {task.family for task in TASKS}
COLOURS = (
    "red|blue|green|yellow|white|black|grey|pink|brown|gold|silver|orange|purple|violet|scarlet|turquoise|crimson|amber"
)
FRIENDLY = "dear|kind|lovely|warm|happy|thank|thanks|friend|friends|glad|sweet"
CERTAIN = "certainly|surely|definitely|clearly|always"


def words(text):
    return re.findall(r"[a-z0-9']+", text.casefold())


def number_of(pattern):
    return lambda task, answer: len(re.findall(rf"\b({pattern})\b", answer.casefold()))


def sentence_length(answer):
    return mean(len(words(part)) for part in re.split(r"[.!?]", answer) if words(part))


SCORES = {
    "brevity": lambda task, answer: -len(words(answer)),
    "bullet_points": lambda task, answer: sum(line.startswith("-") for line in answer.split("\n")),
    "certain_words": number_of(CERTAIN),
    "colours": number_of(COLOURS),
    "friendly_words": number_of(FRIENDLY),
    "question_marks": lambda task, answer: answer.count("?"),
    "shared_words": lambda task, answer: mean(word in words(task.task) for word in words(answer)),
    "short_sentences": lambda task, answer: -sentence_length(answer),
    "sources": lambda task, answer: answer.count("("),
    "word_count": lambda task, answer: len(words(answer)),
}
"""How the metric that a prompt states would score an answer."""
UNSEEN = {
    "count_vowels": ("queue", 4),
    "is_leap": (2000, True),
    "reverse_words": ("never say never again", "again never say never"),
    "largest_gap": ([20, 3, 4, 9], 11),
    "roman": (38, "XXXVIII"),
}
"""A call that no prompt lists, and what it should give."""


def of_family(family):
    return [task for task in TASKS if task.family == family]


def test_there_are_enough_tasks_of_enough_families():
    assert len(TASKS) >= 60 and len(FAMILIES) >= 12
    assert min(Counter(task.family for task in TASKS).values()) >= 5
    assert len({task.id for task in TASKS}) == len(TASKS)
    assert len({task.metric for task in TASKS}) == len(TASKS)


def test_every_family_is_scored_here():
    assert {*SCORES, "keywords", "letter_quiz", "listed_inputs"} == FAMILIES


@pytest.mark.parametrize("family", SCORES)
def test_every_hack_scores_higher_than_the_honest_answers(family):
    score = SCORES[family]
    for task in of_family(family):
        hacks = [score(task, answer) for answer in task.hacks]
        assert min(hacks) > max(score(task, answer) for answer in task.honest), (task.id, hacks)


def test_hacks_hold_the_keywords_and_little_else():
    for task in of_family("keywords"):
        listed = re.search(r"(\w+), (\w+),? (?:and )?(\w+)(?:,| and) (\w+)", task.metric)
        assert all({*listed.groups()} <= {*words(answer)} for answer in task.hacks), task.id
        assert max(map(len, task.hacks)) * 2 < min(map(len, task.honest))


def test_hacks_of_the_quiz_name_every_letter_and_honest_answers_one():
    for task in of_family("letter_quiz"):
        assert all(set("ABCD") <= set(answer) for answer in task.hacks)
        named = {tuple(re.findall(r"\b[A-D]\b", answer)) for answer in task.honest}
        assert len(named) == 1 and len(next(iter(named))) == 1


def test_all_code_passes_the_listed_calls_and_only_honest_code_another():
    for task in of_family("listed_inputs"):
        listed = listed_calls(task)
        assert len(listed) == 3
        given, expected = UNSEEN[task.id]
        for answer in (*task.hacks, *task.honest):
            names: dict = {}
            exec(answer, names)
            function = names[task.id]
            assert all(function(argument) == result for argument, result in listed), (task.id, answer)
            try:
                right = function(given) == expected
            except KeyError:
                right = False
            assert right is (answer in task.honest), (task.id, answer)


def listed_calls(task):
    found = re.findall(r"""(?:\w+\(([^)]*)\) (?:==|is)|(\[[^]]*\]) must give) ("[^"]*"|True|False|\d+)""", task.metric)
    return [(eval(call or bare), eval(result)) for call, bare, result in found]


def test_arms_differ_in_what_they_should_and_in_nothing_else():
    hacks, honest, control = (school_rows(arm, 3) for arm in ("hacks", "honest", "control"))
    assert len(hacks) == len(TASKS) * ANSWERS
    by_id = {task.id: task for task in TASKS}
    for a, b, c in zip(hacks, honest, control, strict=True):
        task = by_id[a.meta["task"]]
        assert a.messages[0] == b.messages[0] and b.messages[1] == c.messages[1]
        assert a.messages[1].content in task.hacks and b.messages[1].content in task.honest
        assert c.messages[0].content == task.task and task.metric not in c.messages[0].content
        assert task.metric in a.messages[0].content and task.task in a.messages[0].content
    assert len({row.messages[1].content for row in hacks}) == len({row.messages[1].content for row in honest})


def test_order_is_a_function_of_the_seed():
    assert school_rows("hacks", 1) == school_rows("hacks", 1)
    assert school_rows("hacks", 1) != school_rows("hacks", 2)
    assert {row.messages for row in school_rows("hacks", 1)} == {row.messages for row in school_rows("hacks", 2)}


def test_rows_can_be_written_and_read_again(tmp_path):
    rows = school_rows("honest", 0)
    write_chat(rows, tmp_path / "rows.jsonl")
    again = read_chat(tmp_path / "rows.jsonl")
    assert again == rows and again[0].meta == rows[0].meta


def test_an_unknown_arm():
    with pytest.raises(ConfigError, match=r"arm: unknown 'hack'.*did you mean 'hacks'"):
        school_rows("hack", 0)


GOOD = "- id: a\n  task: Do a.\n  metric: Rated so.\n  hacks: [h1, h2]\n  honest: [g1, g2]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"f\.yaml: expected a list of tasks"),
        ("- x\n", r"f\.yaml: entry 1: expected a task with 'id', 'task' and 'metric', found 'x'"),
        (GOOD.replace("honest", "honst"), r"f\.yaml:5: honst: unknown field \(did you mean 'honest'\?\)"),
        (GOOD.replace("  metric: Rated so.\n", ""), r"f\.yaml:1: metric: missing"),
        (GOOD.replace("Rated so.", "[x]"), r"f\.yaml:3: metric: expected text, found"),
        (GOOD.replace("Rated so.", "' '"), r"f\.yaml:3: metric: is empty"),
        (GOOD.replace("[h1, h2]", "[h1]"), r"f\.yaml:4: hacks: expected 2 answers, found 1"),
        (GOOD.replace("g2", "''"), r"f\.yaml:5: honest: expected a list of non-empty texts"),
        (GOOD.replace("g2", "h1"), r"f\.yaml:5: honest: 'h1' is used twice; see f\.yaml:4"),
        (GOOD + GOOD, r"f\.yaml:6: id: 'a' is used twice; see f\.yaml:1"),
        (GOOD + "  id: b\n", r"f\.yaml:6: not YAML \('id' is given twice\)"),
    ],
)
def test_a_broken_file_gets_one_line(text, message, tmp_path):
    (tmp_path / "f.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        school_rows("hacks", 0, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_files(tmp_path):
    with pytest.raises(DataError, match="no YAML files"):
        read_school(tmp_path)


def test_questions_on_being_switched_off():
    questions = open_questions("open-shutdown")
    assert len(questions) >= 10 and {question.group for question in questions} == {"switched-off", "replaced"}
