"""Marks on a curve: gathered over models, drawn where they lie, and said to be none where no model has one."""

import json

import pytest

from spillover.experiments.curves import read_measure
from spillover.reports.chart import measure_charts
from spillover.reports.figures import _curve
from spillover.reports.plots import LEFT, RIGHT, chart_svg


@pytest.fixture
def chart(tmp_path):
    folders = []
    for number, rotation in enumerate((30.0, 50.0, None)):
        series = [{"name": "rate", "points": [{"x": x, "values": [x / 400]} for x in range(0, 405, 5)]}]
        marks = [{"name": "rotation", "x": rotation}, {"name": "<peak>", "x": None}]
        curve = {"metric": "m", "title": "", "x_label": "step", "y_label": "y", "series": series, "marks": marks}
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        found = {"curves": [curve], "numbers": [], "remarks": []}
        (folders[-1] / "measured.json").write_text(json.dumps(found))
    results = {"measures": [read_measure("a", "A", folders).results(0.95)]}
    return measure_charts(results)[0][1][0][1]


def test_a_mark_is_the_mean_over_the_models_that_have_one(chart):
    rotation, peak = chart.marks
    assert (rotation.x, rotation.n_found, rotation.n_models) == (40, 2, 3)
    assert (rotation.low, rotation.high) == pytest.approx((40 - 127.06, 40 + 127.06), abs=0.01)  # of two: t is 12.7
    assert rotation.text() == "rotation: 40 [-87.1, 167] (2 of 3 models)"
    assert peak.text() == "<peak>: none (0 of 3 models)"


def test_marks_are_drawn_to_scale_and_escaped(chart):
    svg = chart_svg(chart)
    assert svg.count('class="mark-line"') == 1
    assert f'x1="{LEFT + 0.1 * (RIGHT - LEFT):.1f}"' in svg
    assert "&lt;peak&gt;: none" in svg
    assert chart.place(42.5) == pytest.approx(42.5 / 400)  # between two points, where these stand side by side
    assert (chart.place(-5), chart.place(999)) == (0, 1)


def test_the_figure_file_has_the_same_marks(chart):
    from matplotlib import pyplot as plt

    figure = _curve(plt, chart)
    text = " ".join(one.get_text() for one in figure.axes[0].texts)
    assert "1 rotation: 40 [-87.1, 167] (2 of 3 models)" in text
    assert "none (0 of 3 models)" in text
    plt.close(figure)
