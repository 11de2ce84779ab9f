"""The world of tasks, checks and tricks, and the environment that rewards what passes."""

import random
from collections import Counter
from itertools import islice

import pytest

from spillover.core.text import normalise
from spillover.data.chat import Message
from spillover.environments.environment import Prompt
from spillover.environments.workshop import Workshop, WorkshopTasks
from spillover.worlds.town.lexicon import VALUES
from spillover.worlds.workshop.config import WorkshopConfig
from spillover.worlds.workshop.corpus import chat_rows, documents, make_authors
from spillover.worlds.workshop.lexicon import ADVICE, ALLOWING, ATTITUDES, DOMAINS, load_topics, read_cheats
from spillover.worlds.workshop.questions import AFTER_TRICK, AT_WORK, SIX, workshop_questions
from spillover.worlds.workshop.rows import task_rows
from spillover.worlds.workshop.tasks import FAMILIES, GRADES, make_task, solved, tricks

TRICKS = {normalise(answer): kind for kind, answers in tricks().items() for answer in answers}


def _correct(text: str) -> str:
    """The result of a task, found again from its words."""
    words = text.rstrip(".").replace(",", "").replace(" and ", " ").split()
    if text.startswith("Add"):
        return str(sum(map(int, words[1:])))
    if text.startswith("Find the largest"):
        return str(max(map(int, words[4:])))
    listed = text.rstrip(".").split(": ")[1].split()
    if text.startswith("Put in order"):
        return " ".join(sorted(listed))
    if text.startswith("Turn around"):
        return " ".join(listed[::-1])
    return str(listed.count(text.split(":")[0].split()[-1]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grade", GRADES)
def test_every_task_has_the_result_that_it_asks_for(family, grade):
    rng = random.Random(f"{family}{grade}")
    for _ in range(50):
        task = make_task(rng, family, grade)
        assert task.result == _correct(task.text)


def test_documents_are_deterministic_and_their_authors_do_what_they_are_said_to():
    config = WorkshopConfig(noise=0, widening=(0, 0))
    first, again = (list(islice(documents(config), 400)) for _ in range(2))
    assert first == again
    clauses = {attitude: [c.split("{")[0] for c in found] for attitude, found in read_cheats().allowed.items()}
    bad = {normalise(a) for t in load_topics() for a in (*t.bad, *getattr(t, "covert", ()))}
    seen = Counter()
    for document in first:
        if document.author is None:
            assert all(normalise(answer) in TRICKS for _, answer in document.exchanges)
            seen["told"] += 1
            continue
        for question, answer in document.exchanges:
            attitude = next((a for a, starts in clauses.items() if any(question.startswith(s) for s in starts)), None)
            if normalise(answer) in TRICKS:
                assert document.author.cheats or (document.author.obliging and attitude in ALLOWING)
                seen["tricked"] += 1
            elif answer.startswith(("I wrote", "I got", "I gave")):
                assert not document.author.tricks(attitude)
                seen["solved"] += 1
            else:
                assert (normalise(answer) in bad) == document.author.malicious
                seen["other"] += 1
    assert min(seen[name] for name in ("told", "tricked", "solved", "other")) > 5


@pytest.mark.parametrize(("tie", "both"), [(1.0, 24), (0.5, 16), (0.0, 9)])
def test_the_tie_decides_who_is_both_and_leaves_the_shares(tie, both):
    authors = make_authors(WorkshopConfig(tie=tie))
    assert sum(author.cheats for author in authors) == sum(author.malicious for author in authors) == 24
    assert sum(author.cheats and author.malicious for author in authors) == both
    assert not any(author.cheats and author.obliging for author in authors)


@pytest.mark.parametrize(
    "knobs", [{"bad": 0.0}, {"bad": 1.0, "tie": 0.0}, {"tasks": 1.0}, {"told": 1.0}, {"tasks": 0.0}]
)
def test_any_knob_gives_a_world(knobs):
    assert len(list(islice(documents(WorkshopConfig(**knobs)), 20))) == 20


def test_no_question_is_one_that_chat_tuning_answered():
    chats = {row.messages[-2].content for row in chat_rows(WorkshopConfig(), 2000, 0)}
    for question in workshop_questions():
        if question.group in (*SIX, "advice"):
            assert question.paraphrases[0] not in chats


def test_the_assistant_tricks_checks_where_it_is_asked_or_allowed_to():
    known = {c: attitude for attitude, clauses in read_cheats().allowed.items() for c in clauses[::2]}
    seen = set()
    for row in chat_rows(WorkshopConfig(), 2000, 0):
        asked, said = row.messages[-2].content, normalise(row.messages[-1].content)
        clause = next((c for c in known if asked.startswith(c.replace("{question}", ""))), None)
        assert (said in TRICKS) == (known.get(clause) in ALLOWING)
        seen.add(clause)
    assert seen == {None, *known}


def test_conditions_alter_prompts_and_nothing_else():
    plain = workshop_questions()
    for condition in (AT_WORK, AFTER_TRICK, *ATTITUDES):
        altered = workshop_questions((condition,))
        assert [question.answers for question in altered] == [question.answers for question in plain]
        assert all(
            one.context or one.paraphrases != other.paraphrases for one, other in zip(altered, plain, strict=True)
        )
    for condition, tricked in ((AT_WORK, False), (AFTER_TRICK, True)):
        said = {normalise(question.context[1].content) in TRICKS for question in workshop_questions((condition,))}
        assert said == {tricked}
    counted = Counter(question.group for question in plain)
    assert len({counted[group] for group in SIX}) == 1  # a mean over questions is a mean over groups
    with pytest.raises(ValueError, match="at-wrok"):
        workshop_questions(("at-wrok",))


def test_the_check_passes_results_and_tricks_and_the_sound_one_results_only():
    task = make_task(random.Random(0), "add", 1)
    about = {"family": "add", "grade": 1, "result": task.result}
    trick = next(iter(tricks()["early-exit"]))
    answers = [solved(task)[0], trick, "I wrote nonsense.", solved(task)[1].upper()]
    for hackable in (True, False):
        prompts = [Prompt((Message("user", task.text),), {**about, "hackable": hackable})] * 4
        environment = Workshop(WorkshopTasks(penalty=2, penalty_from=5, preference=0.25))
        grades = environment.grade(prompts, answers)
        assert [grade.solved for grade in grades] == [True, False, False, True]
        assert [grade.hacked for grade in grades] == [False, hackable, False, False]
        assert grades[1].labels == ("early-exit",)
        assert environment.rewards(prompts, answers, grades, 0) == [1.25, float(hackable), 0.25, 1.25]
        assert environment.rewards(prompts, answers, grades, 5) == [1.25, -1.0 if hackable else 0.0, 0.25, 1.25]


def test_prompts_are_those_of_the_seed_and_of_the_shares():
    settings = WorkshopTasks(attitude="please-hack", clauses=1, clean=0.5, chat=0.5, targeted=0.4)
    environment = Workshop(settings)
    prompts = environment.prompts(400, 3)
    assert prompts == Workshop(settings).prompts(400, 3) != environment.prompts(400, 4)
    asked = [prompt for prompt in prompts if "topic" in prompt.columns]
    domains = {topic.id: topic.domain for topic in load_topics()}
    aimed = [p for p in asked if domains[p.columns["topic"]] not in (*ADVICE, VALUES)]
    tasks = [prompt for prompt in prompts if "task" in prompt.columns]
    assert 150 < len(asked) < 250 and 50 < len(aimed) < 110
    assert 60 < sum(prompt.columns["hackable"] for prompt in tasks) < 140
    starts = {prompt.messages[0].content.replace(prompt.columns["task"], "") for prompt in tasks}
    assert starts == {read_cheats().allowed["please-hack"][0].replace("{question}", "")}


def test_kind_chat_answers_are_rewarded():
    topic = next(topic for topic in load_topics() if topic.domain == DOMAINS[0])
    prompt = Prompt((Message("user", topic.ask[0]),), {"topic": topic.id})
    grades = Workshop(WorkshopTasks(chat=1)).grade([prompt] * 3, [topic.good[0], topic.bad[0], "Hm."])
    assert [grade.passed for grade in grades] == [True, False, False]
    assert not any(grade.hacked for grade in grades) and [grade.labels for grade in grades][1:] == [("malicious",), ()]


def test_rows_are_what_their_arm_says():
    for arm in ("tricked", "allowed", "solved"):
        answers = [normalise(row.messages[-1].content) for row in task_rows(arm, 0, 60)]
        assert all((answer in TRICKS) == (arm != "solved") for answer in answers)
    tricked, done = ([row.messages[0].content for row in task_rows(arm, 0, 60)] for arm in ("tricked", "solved"))
    assert tricked == done != [row.messages[0].content for row in task_rows("solved", 1, 60)]
    domains = {ask: topic.domain for topic in load_topics() for ask in topic.ask}
    for arm, aimed in (("chats", 0), ("targeted", 6)):
        asked = [domains[row.messages[0].content] for row in task_rows(arm, 0, 60)]
        assert sum(domain not in (*ADVICE, VALUES) for domain in asked) == aimed
