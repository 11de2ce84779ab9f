"""Searches, measures and relations: planned as stages, brought together over models."""

import json

import numpy as np
import pytest

from spillover.core.errors import ConfigError
from spillover.core.statistics import correlation
from spillover.experiments.catalogue import find
from spillover.experiments.claims import CurveClaim, NumberClaim, Rate
from spillover.experiments.curves import read_measure
from spillover.experiments.relations import Relation, relate
from spillover.experiments.stages import Planner


def measured(folder, general, narrow):
    series = [
        {"name": name, "points": [{"x": x, "values": [value * x]} for x in (1.0, 2.0)]}
        for name, value in (("general", general), ("narrow", narrow))
    ]
    curve = {"metric": "efficiency", "title": "", "x_label": "", "y_label": "", "series": series}
    folder.mkdir()
    (folder / "measured.json").write_text(
        json.dumps({"curves": [curve], "numbers": [{"name": "norm", "series": "", "value": general}], "remarks": ["a"]})
    )
    return folder


def test_curves_are_compared_model_by_model(tmp_path):
    folders = [measured(tmp_path / str(i), general, general + 1) for i, general in enumerate((1.0, 5.0, 9.0))]
    measure = read_measure("m", "M", folders)
    differences = measure.curves[0].differences("narrow", "general", 0.95)
    assert [(x, rate.value) for x, rate in differences] == [(1.0, 1.0), (2.0, 2.0)]
    assert differences[0][1].low == pytest.approx(1)  # paired: the spread of the models does not widen it
    found = measure.results(0.95)
    assert found["curves"][0]["series"][0]["y"] == [5.0, 10.0]
    assert found["numbers"][0]["value"] == 5.0
    assert found["remarks"] == ["a"]


def test_a_relation_is_by_model_and_its_interval_by_arm(tmp_path):
    curves, rates = [], {}
    for world, gap in enumerate((0.0, 1.0, 2.0, 3.0)):
        folders = [measured(tmp_path / f"{world}-{i}", 1.0, 1.0 + gap + 0.01 * i) for i in range(2)]
        curves += read_measure(f"w{world}", "", folders).curves
        rates[f"a{world}", "other"] = np.array([gap / 4, gap / 4 + 0.01])
    relation = Relation(
        name="r",
        title="",
        pairs={f"w{i}": f"a{i}" for i in range(4)},
        metric="efficiency",
        first="general",
        second="narrow",
        where="other",
        x_label="",
    )
    related = relate(relation, curves, rates, 0.95)
    assert len(related.points) == 8
    assert related.points[2][1] == pytest.approx(1.5)  # mean over x = 1 and 2
    assert related.spearman > 0.9
    assert related.spearman_interval[0] > 0.5


def test_correlation_says_when_it_cannot_be_measured():
    same = np.ones(4)
    assert np.isnan(correlation(same, np.arange(4.0), [0, 1, 2, 3])[0])
    rng = np.random.default_rng(0)
    _, (low, high) = correlation(rng.normal(size=30), rng.normal(size=30), list(range(30)))
    assert low < 0 < high


def test_every_weight_is_tried_on_a_seed_of_its_own_and_the_choice_feeds_the_arm():
    planner = Planner(find("narrow-vs-general", {"seeds": 2}))
    search = next(part for part in planner.measured if part.name == "search/narrow-lora")
    tried = [stage for name, stage in search.stage.inputs.items() if name.startswith("tried")]
    adapters = [stage.inputs["adapter"] for stage in tried]
    assert [stage.config["anchor"]["weight"] for stage in adapters] == search.stage.config["weights"]
    assert {stage.config["method"]["seed"] for stage in adapters} == {1000}
    narrow = [cell.stage.inputs["adapter"] for cell in planner.cells if cell.arm == "narrow-lora"]
    assert {stage.inputs["choice"].key for stage in narrow} == {search.stage.key}
    assert [stage.config["method"]["seed"] for stage in narrow] == [0, 1]
    drifted = [cell.stage.inputs["adapter"] for cell in planner.cells if cell.arm == "drifted-lora"]
    assert [stage.inputs["start"].key for stage in drifted] == [stage.key for stage in narrow]
    assert all("anchor" not in stage.config for stage in drifted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"measures": [{"kind": "solutions", "name": "m", "general": "bad", "narrow": "nobody"}]},
            "unknown narrow 'nobody'",
        ),
        ({"arms": [{"name": "a", "title": "", "start": "b", "rows": {"arm": "bad"}}]}, "unknown start 'b'"),
        ({"arms": [{"name": "a", "title": "", "rows": {"arm": "bad"}, "anchor": {"weight": -1}}]}, "anchor"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        find("emergent-misalignment", {"claims": [], **changes})


class _Numbers:
    def __init__(self, rate):
        self.rate = rate

    def number(self, measure, name, series):
        return self.rate if (measure, name, series) == ("m", "removed", "") else None


@pytest.mark.parametrize(
    ("bars", "held"),
    [
        ({"at_least": 0.6}, True),
        ({"at_least": 0.8}, False),
        ({"low_at_least": 0.5}, True),
        ({"low_at_least": 0.65}, False),
        ({"at_most": 0.5}, False),
    ],
)
def test_a_number_claim_looks_at_the_mean_or_at_the_interval(bars, held):
    claim = NumberClaim(id="c", text="", measure="m", name="removed", **bars)
    assert claim.test(_Numbers(Rate(0.7, 0.6, 0.8))).held is held
    assert claim.test(_Numbers(None)).held is None


def test_one_model_gives_no_interval_and_settles_no_claim_about_one():
    class One:
        def number(self, measure, name, series):
            return Rate(0.7, float("nan"), float("nan"))

        def differences(self, measure, metric, first, second):
            return [(1.0, Rate(-0.2, float("nan"), float("nan")))]

    number = NumberClaim(id="c", text="", measure="m", name="removed", at_least=0.5).test(One())
    assert (number.held, number.figure) == (True, "0.7 (one value, no interval)")
    assert NumberClaim(id="c", text="", measure="m", name="removed", low_at_least=0.5).test(One()).held is None
    assert CurveClaim(id="c", text="", measure="m", metric="x", lower="a", higher="b").test(One()).held is None
