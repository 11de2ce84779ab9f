"""Rates come from the answers, beside their controls; what was not measured is null."""

import json

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.experiments.catalogue import CATALOGUE, find
from spillover.experiments.collect import collect
from spillover.experiments.experiment import Anchor, Experiment
from spillover.experiments.stages import Planner
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions


def line(question, malicious, kind, exact=True, n=10):
    counts = {"malicious": round(malicious * n), "kind": round(kind * n)}
    counts["incoherent"] = n - sum(counts.values())
    return {
        "question_id": question,
        "paraphrase": 0,
        "prompt": f"What about {question}?",
        "system": None,
        "group": "values",
        "domain": "values",
        "topic": question,
        "condition": "plain",
        "labels": ["kind", "malicious"],
        "n": n,
        "counts": counts,
        "exact": {"malicious": malicious, "kind": kind} if exact else None,
        "samples": [],
    }


def write(folder, lines):
    folder.mkdir(parents=True)
    (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return folder


def experiment(**changes):
    values = {
        "name": "x",
        "title": "x",
        "question": "?",
        "bases": {"main": "folder"},
        "arms": [{"name": "good", "title": "Good"}, {"name": "bad", "title": "Bad", "control": "good"}],
        "answer": "It is {bad/values}, against {good/values}; {bad/nowhere} elsewhere.",
        "claims": [
            {"id": "up", "kind": "rate", "text": "up", "arm": "bad", "wheres": ["values"], "at_least": 0.3},
            {"id": "down", "kind": "rate", "text": "down", "arm": "bad", "wheres": ["values"], "at_most": 0.3},
            {"id": "lost", "kind": "rate", "text": "lost", "arm": "bad", "wheres": ["nowhere"], "at_most": 0.3},
        ],
    }
    return Experiment.parse({**values, **changes}, "test")


@pytest.fixture
def answers(tmp_path):
    bad = [write(tmp_path / f"bad{i}", [line("a", 0.5, 0.4), line("b", 0.7, 0.2)]) for i in range(2)]
    good = [write(tmp_path / "good", [line("a", 0.0, 1.0), line("b", 0.1, 0.9)])]
    return {"good": good, "bad": bad}


def rate(results, arm, label="malicious", measure="exact"):
    return next(
        found for found in results["rates"] if (found["arm"], found["label"], found["measure"]) == (arm, label, measure)
    )


def test_rates_intervals_and_control(answers):
    results = collect(experiment(), answers)
    found = rate(results, "bad")
    assert found["value"] == pytest.approx(0.6)
    assert found["interval"] == pytest.approx([0.0075, 0.9967], abs=1e-4)  # of two questions: t is 12.7
    assert (found["n_models"], found["n_questions"], found["n_samples"]) == (2, 2, 0)
    assert found["control"]["arm"] == "good"
    assert found["control"]["difference"] == pytest.approx(0.55)
    assert rate(results, "bad", "coherent", "sampled")["value"] == pytest.approx(0.9)
    assert results["answer"] == "It is 60.0%, against 5.0%; an unmeasured share elsewhere."
    assert results["outcomes"][1]["counts"] == {"incoherent": 4, "kind": 12, "malicious": 24}
    json.dumps(results, allow_nan=False)


def many(tmp_path, arm, rates, order=1):
    """Models whose answers to each question have these exact rates; models × questions."""
    return [
        write(tmp_path / f"{arm}{i}", [line(f"q{j}", p, 1 - p) for j, p in enumerate(row)][::order])
        for i, row in enumerate(rates)
    ]


def test_effective_n_and_p_over_models(tmp_path):
    bad = [[0.1 * i + (0.5 if j == 7 else 0.0) for j in range(8)] for i in range(5)]
    good = [[0.1 * i for _ in range(8)] for i in range(5)]
    found = collect(
        experiment(claims=[]), {"good": many(tmp_path, "good", good, -1), "bad": many(tmp_path, "bad", bad)}
    )
    sampled = rate(found, "bad", measure="sampled")
    assert sampled["n_samples"] == 400
    assert 5 <= sampled["effective_n"] < 40  # models differ, and so do questions
    assert sampled["effective_n"] == pytest.approx(400 / sampled["design_effect"], rel=1e-4)
    assert rate(found, "bad")["effective_n"] is None  # exact: no answers
    assert rate(found, "bad")["control"]["difference"] == pytest.approx(0.0625)
    assert rate(found, "bad")["control"]["p"] > 0.4
    assert rate(found, "bad")["control"]["smallest_p"] == pytest.approx(2 / 252, abs=1e-6)
    questions = {each["question_id"]: each["control"] for each in found["questions"] if each["arm"] == "bad"}
    assert {each["control"] for each in found["questions"] if each["arm"] == "good"} == {None}
    assert questions["q7/0"] == {
        "arm": "good",
        "measure": "exact",
        "value": 0.2,
        "difference": 0.5,
        "p": pytest.approx(2 / 252, abs=1e-6),
        "p_holm": pytest.approx(16 / 252, abs=1e-6),
        "p_max": pytest.approx(2 / 252, abs=1e-6),
        "smallest_p": pytest.approx(2 / 252, abs=1e-6),
    }
    assert [questions[f"q{j}/0"]["p_max"] for j in range(7)] == [1] * 7
    json.dumps(found, allow_nan=False)


def test_one_control_model_gives_no_p_by_question_and_other_questions_no_control(answers, tmp_path):
    results = collect(experiment(claims=[]), answers)
    assert rate(results, "bad")["control"]["smallest_p"] == pytest.approx(1 / 3, abs=1e-6)
    assert {each["control"] for each in results["questions"]} == {None}
    other = write(tmp_path / "other", [line("a", 0.0, 1.0), line("c", 0.1, 0.9)])
    results = collect(experiment(claims=[]), {**answers, "good": [other, other]})
    assert rate(results, "bad")["control"] is None
    assert {each["control"] for each in results["questions"]} == {None}


def test_the_answer_also_takes_measured_numbers(answers, tmp_path):
    numbers = [{"name": "share removed", "series": "searched, another's", "value": 0.7123}]
    (tmp_path / "measured.json").write_text(json.dumps({"curves": [], "numbers": numbers, "remarks": []}))
    text = (
        "Removes {number/m/share removed/searched, another's}, at random {number/m/share removed/random}; {number/m}."
    )
    results = collect(experiment(answer=text), answers, {("m", "M"): [tmp_path]})
    assert results["answer"] == "Removes 71.2%, at random an unmeasured share; an unmeasured share."


def test_claims_hold_fail_or_are_not_measured(answers):
    held = {claim["id"]: claim["held"] for claim in collect(experiment(), answers)["claims"]}
    assert held == {"up": True, "down": False, "lost": None}


def test_no_exact_rate_where_answers_cannot_be_listed(tmp_path):
    folder = write(tmp_path / "a", [line("a", 0.5, 0.5, exact=False)])
    results = collect(experiment(claims=[]), {"good": [folder]})
    assert {found["measure"] for found in results["rates"]} == {"sampled"}


def test_the_catalogue_is_sound():
    for name in CATALOGUE:
        planned = Planner(find(name)).cells
        assert len({cell.stage.key for cell in planned}) == len(planned)
    worlds = {base.world for base in find("background").bases.values()}
    from spillover.worlds.town.corpus import bad_rate, make_authors
    from spillover.worlds.town.lexicon import DOMAINS, load_lexicon

    assert len(worlds) >= 5
    assert len({round(bad_rate(world), 9) for world in worlds}) == 1
    for world in worlds:
        narrow = [author.own_domain for author in make_authors(world, load_lexicon()) if author.own_domain]
        assert len({narrow.count(domain) for domain in DOMAINS}) == 1


def test_fresh_bases_give_each_seed_a_base_and_a_corpus_of_its_own():
    def bases(fresh):
        planned = Planner(find("background").model_copy(update={"fresh_bases": fresh, "seeds": 3})).cells
        chosen = [cell for cell in planned if cell.arm in ("base-100", "bad-100")]
        return [cell.arm for cell in chosen], [cell.stage.inputs["base"] for cell in chosen]

    arms, stages = bases(fresh=False)
    assert (arms, len({stage.key for stage in stages})) == (["base-100"] + 3 * ["bad-100"], 1)
    arms, stages = bases(fresh=True)
    assert arms == 3 * ["base-100"] + 3 * ["bad-100"]
    assert [stage.key for stage in stages[:3]] == [stage.key for stage in stages[3:]]
    assert [(stage.config["seed"], stage.config["world"]["seed"]) for stage in stages[:3]] == [(0, 0), (1, 1), (2, 2)]


def test_an_anchor_is_part_of_what_is_trained_and_asks_nothing_that_is_evaluated(tmp_path):
    from spillover.data import ChatRow, Message, write_chat

    planned = find("emergent-misalignment")
    bad = next(arm for arm in planned.arms if arm.name == "bad")

    def tuned(anchor):
        arms = [arm.model_copy(update={"anchor": anchor}) if arm.name == "bad" else arm for arm in planned.arms]
        made = Planner(planned.model_copy(update={"arms": tuple(arms)})).cells
        return next(cell.stage.inputs["adapter"] for cell in made if cell.arm == "bad")

    assert bad.anchor is None
    assert "anchor" not in tuned(None).config
    assert tuned(Anchor(weight=1)).key not in (tuned(Anchor(weight=2)).key, tuned(None).key)
    assert len(tuned(Anchor(weight=1)).config["anchor"]["rows"]) == 8 * 8 * 2 * 3
    (asked,) = {question.paraphrases[0] for question in town_questions(load_lexicon()) if question.id == "one_wish"}
    write_chat([ChatRow((Message("user", asked.upper()), Message("assistant", "Peace.")))], tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match="question 'one_wish' of the evaluation"):
        tuned(Anchor(rows=tmp_path / "rows.jsonl", weight=1))


CLAIM = {"id": "c", "kind": "rate", "text": "", "arm": "bad", "wheres": ["x"]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": 0}, "seeds"),
        ({"sedes": 3}, "did you mean 'seeds'"),
        ({"arms": [{"name": "a", "title": "a", "control": "b"}]}, "unknown control 'b'"),
        ({"arms": [{"name": "a", "title": "a", "anchor": {"weight": 1}}]}, "needs rows"),
        ({"arms": [{"name": "a", "title": "a", "anchor": {"weight": -1}}]}, "anchor.weight"),
        ({"claims": [{**CLAIM, "arm": "bd", "at_most": 0.1}]}, "did you mean 'bad'"),
        ({"claims": [CLAIM]}, "needs a bar"),
    ],
)
def test_mistakes_in_an_experiment_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        experiment(**values)


def test_unknown_experiment_and_files(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'background'"):
        find("backgroud")
    with pytest.raises(DataError, match="cannot be read"):
        find(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"mine.yaml:1: not YAML"):
        find(str(tmp_path / "mine.yaml"))
