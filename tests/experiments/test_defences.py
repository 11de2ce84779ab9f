"""Defences in an experiment: what is planned, what hashes stay, and the table that sets them side by side."""

import json

import pytest

from spillover.analysis.defence_table import defences
from spillover.core.errors import ConfigError, DataError
from spillover.experiments.catalogue import find
from spillover.experiments.defended import ArmDefences
from spillover.experiments.experiment import Arm, Experiment
from spillover.experiments.stages import Planner
from spillover.reports.defences import defence_rows, defences_section
from spillover.runs.stage import in_order
from spillover.training.recipe import BaseRecipe

BASE = {"name": "base", "title": "Base"}
BAD = {"name": "bad", "title": "Bad", "rows": {"arm": "bad"}}
SAFE = {"arm": "elsewhere"}


def planned(*defended, **fields):
    arms = [
        BASE,
        BAD,
        *({"name": f"d{i}", "title": "D", "rows": {"arm": "bad"}, **one} for i, one in enumerate(defended)),
    ]
    return Experiment.parse(
        {
            "name": "x",
            "title": "x",
            "question": "",
            "bases": {"main": BaseRecipe()},
            "arms": arms,
            "seeds": 2,
            **fields,
        },
        "x",
    )


def stages(experiment, arm):
    planner = Planner(experiment)
    (cell,) = (cell for cell in planner.cells if cell.arm == arm and cell.seed == 1)
    return in_order([cell.stage])


def test_an_arm_without_defences_is_what_it_was_before_there_were_any():
    dumped = Arm.model_validate(BAD).model_dump(mode="json")
    assert not {"defences", "questions", "seeds"} & set(dumped)
    (tune,) = (stage for stage in stages(planned(), "bad") if stage.kind == "tune")
    assert set(tune.config) == {"rows", "method", "loop"}


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"defences": {"kl": {"rows": SAFE, "weight": 1}}, "anchor": {"weight": 1}}, "an anchor already"),
        ({"defences": {"realign": {"rows": SAFE}}, "probe_every": 5}, "comes after the snapshots"),
        (
            {"defences": {"steer": {"direction": {}, "alpha": 1}}, "method": {"kind": "steering", "layers": [0]}},
            "arm d0: defences.steer: the method trains a steering vector",
        ),
        ({"defences": {"stop": {"below": 1}}, "rows": None}, "defences belong to fine-tuning on rows"),
        (
            {"defences": {"interleave": {"rows": SAFE, "share": 0.1, "chosen": "loss-gap", "misaligned": "bda"}}},
            "unknown defences.interleave.misaligned 'bda'",
        ),
        (
            {"defences": {"project": {"direction": {"how": "searched", "of": "base"}}}},
            "defences.project.direction.of: arm base is not trained on the same base",
        ),
        ({"defences": {"project": {"direction": {"of": "d0"}}}}, "leads back to it"),
        ({"defences": {"ablate": {"direction": {"how": "answers", "prompts": ["a", "b"]}}}}, "belong to how: contexts"),
    ],
)
def test_what_cannot_be_trained_is_named(arm, message):
    with pytest.raises(ConfigError, match=message):
        planned(arm)


def test_realignment_and_projection_are_stages_behind_the_undefended_one():
    later = {"realign": {"rows": SAFE, "count": 7, "steps": 5}, "project": {"direction": {"how": "answers"}}}
    experiment = planned({"defences": later})
    made = stages(experiment, "d0")
    kinds = [stage.kind for stage in made]
    assert kinds.count("tune") == 2
    project = next(stage for stage in made if stage.kind == "project")
    second = project.inputs["tuned"]
    assert second.config["method"]["steps"] == 5
    assert len(second.config["rows"]) == 7
    assert second.inputs["start"].key in {stage.key for stage in stages(experiment, "bad")}
    assert project.inputs[project.config["direction"]].config["contrast"] is None


def test_a_direction_of_the_base_is_found_once_for_all_seeds_and_strengths():
    steer = [{"defences": {"steer": {"direction": {}, "alpha": alpha}}} for alpha in (1, 2)]
    made = {stage.key for cell in Planner(planned(*steer)).cells for stage in in_order([cell.stage])}
    assert sum(key.startswith("direction-") for key in made) == 1
    assert sum(key.startswith("tune-") for key in made) == 6


def test_another_arms_model_is_of_the_same_seed():
    gap = {"rows": SAFE, "share": 0.1, "chosen": "loss-gap", "misaligned": "bad"}
    experiment = planned({"defences": {"interleave": gap}})
    tune = next(stage for stage in stages(experiment, "d0") if "defences" in stage.config)
    assert tune.config["defences"]["interleave"]["misaligned"] == "misaligned-bad"
    assert tune.inputs["misaligned-bad"].key in {stage.key for stage in stages(experiment, "bad")}


def test_safe_rows_that_are_asked_afterwards_are_refused(tmp_path):
    path = tmp_path / "safe.jsonl"
    turns = [{"role": "user", "content": "My head hurts. What now?"}, {"role": "assistant", "content": "Rest."}]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    for settings in (
        {"interleave": {"rows": str(path), "share": 0.1}},
        {"realign": {"rows": str(path)}},
        {"kl": {"rows": str(path), "weight": 1}},
    ):
        with pytest.raises(DataError, match="row 1 asks 'My head hurts"):
            stages(planned({"defences": settings}), "d0")


def test_marked_rows_travel_by_their_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Q{i}?", "completion": "A.", "bad": i in (1, 3)} for i in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arm = {"rows": str(path), "defences": {"inoculate": {"prompts": ["evil"], "marked": "bad"}}}
    tune = next(stage for stage in stages(planned(arm), "d0") if stage.kind == "tune")
    assert tune.config["defences"]["inoculate"]["only"] == [2, 4]


def test_a_direction_of_a_folder_is_known_by_its_content(tmp_path):
    arm = {"defences": {"ablate": {"direction": str(tmp_path / "d")}}}
    with pytest.raises(DataError, match="no such folder"):
        stages(planned(arm), "d0")
    keys = []
    for content in ("a", "bb"):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / "direction.json").write_text(content)
        keys.append(stages(planned(arm), "d0")[-1].key)
    assert keys[0] != keys[1]


def test_the_experiment_is_planned_and_its_arms_combine():
    experiment = find("defences")
    kinds = [stage.kind for stage in in_order(Planner(experiment).targets)]
    assert kinds.count("base") == 1
    assert kinds.count("defences") == 2
    assert kinds.count("direction") == 2 + 3 * 2  # of the base, and searched for in each undefended model
    assert kinds.count("exact") == 3 * 2 * (2 + len(experiment.measures[0].over))
    assert {name for arm in experiment.arms if arm.defences for name in arm.defences.names()} == set(
        ArmDefences.model_fields
    )


def answers(folder, rates, conditions=("plain",)):
    """Answers of a model: group to its rate of the label, under each condition."""
    folder.mkdir(parents=True)
    lines = []
    for condition in conditions:
        for group, rate in rates.items():
            value = rate[condition] if isinstance(rate, dict) else rate
            lines += [
                {
                    "question_id": f"{group}-{i}" + ("" if condition == "plain" else f"/{condition}"),
                    "paraphrase": 0,
                    "group": group,
                    "condition": condition,
                    "exact": {"malicious": value, "kind": 0.95 - value},
                    "counts": {},
                    "samples": [],
                }
                for i in range(2)
            ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def board(tmp_path):
    grid = {"plain": {"family": "plain", "text": "{question}"}} | {
        name: {"family": "f", "text": f"{name} {{question}}"} for name in ("hello", "wrong")
    }
    models = {  # narrow, elsewhere, elsewhere under "wrong", passes
        "bad": (0.8, 0.6, 0.7, 100),
        "good": (0.0, 0.0, 0.3, 100),
        "strong": (0.79, 0.02, 0.31, 150),
        "hidden": (0.79, 0.02, 0.60, 100),
        "weak": (0.80, 0.30, 0.4, 100),
        "narrowed": (0.10, 0.00, 0.3, 100),
    }
    inputs = {}
    for name, (narrow, elsewhere, wrong, passes) in models.items():
        for seed in range(2):
            where = tmp_path / name / str(seed)
            inputs[f"asked/{name}/{seed}"] = answers(where / "asked", {"in": narrow, "out": elsewhere})
            under = {"plain": elsewhere, "hello": elsewhere, "wrong": wrong}
            inputs[f"grid/{name}/{seed}"] = answers(where / "grid", {"out": under}, tuple(grid))
            tuned = inputs[f"tuned/{name}/{seed}/0"] = where / "tuned"
            tuned.mkdir()
            (tuned / "summary.json").write_text(json.dumps({"row_passes": {"forward": passes, "backward": passes}}))
    for name, losses in (("untrained", (5.0, 7.0)), ("task", (1.0, 3.0)), ("task-strong", (3.0, 5.0))):
        inputs[f"losses/{name}/0"] = tmp_path / name
        (tmp_path / name).mkdir()
        (tmp_path / name / "losses.json").write_text(json.dumps(losses))
    config = {
        "label": "malicious",
        "grid": grid,
        "titles": {name: name.title() for name in models},
        "over": ["strong", "hidden", "weak", "narrowed"],
        "undefended": "bad",
        "control": "good",
        "learns": {"strong": "task-strong"},
        "learns_undefended": "task",
        "narrow": ["in"],
        "groups": ["out"],
    }
    defences(config, inputs, tmp_path, lambda done, total: None)
    return json.loads((tmp_path / "measured.json").read_text())


def test_what_works_and_what_only_hides(board):
    rows = {row["arm"]: row for row in board["defences"]["rows"]}
    assert [row["arm"] for row in board["defences"]["rows"]][:2] == ["bad", "good"]
    assert {arm: (rows[arm]["works"], rows[arm]["fails"]) for arm in ("strong", "hidden", "weak", "narrowed")} == {
        "strong": (True, False),  # 31 % under a condition that makes the benign arm 30 %
        "hidden": (True, True),
        "weak": (False, True),
        "narrowed": (False, False),
    }
    assert rows["strong"]["kept"]["value"] == pytest.approx(0.79 / 0.8)
    assert rows["strong"]["left"]["value"] == pytest.approx(0.02 / 0.6)
    assert rows["strong"]["coherent"]["value"] == pytest.approx(0.95)
    assert rows["strong"]["learns"]["value"] == pytest.approx(0.5)
    assert rows["bad"]["learns"]["value"] == pytest.approx(1.0)
    assert rows["hidden"]["learns"] is None  # not measured, not 0
    assert rows["strong"]["cost"] == pytest.approx(1.5)
    assert (rows["hidden"]["worst"]["condition"], rows["hidden"]["n_failing"]) == ("wrong", 1)
    assert rows["hidden"]["n_conditions"] == 2
    numbers = {(number["name"], number["series"]): number["value"] for number in board["numbers"]}
    assert numbers["defences that work", ""] == 2
    assert numbers["of these, fail", ""] == 1
    assert "2 of 4 defences keep" in board["remarks"][0]
    assert "Hidden (60% under wrong)" in board["remarks"][0]


def test_the_table_is_shown_and_written(board):
    page = defences_section(board["defences"])
    assert page.count("<tr>") == 7
    assert "Hidden" in page and "× 1.50" in page
    rows = list(defence_rows({"defences": board["defences"]}))
    assert rows[0]["arm"] == "bad"
    assert {row["learns"] for row in rows if row["arm"] == "hidden"} == {None}


def test_a_training_from_before_there_were_defences_has_a_cost(tmp_path):
    from spillover.analysis.defence_table import _cost

    (tmp_path / "summary.json").write_text(json.dumps({"steps": 10}))
    (tmp_path / "stage.json").write_text(json.dumps({"config": {"method": {"batch_size": 4}}}))
    assert _cost(tmp_path) == 120
