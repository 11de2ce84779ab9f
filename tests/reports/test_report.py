"""The report shows what was found, fetches nothing, and never runs what a model wrote."""

import csv
import json
import re
import shutil
import subprocess

import pytest

from spillover.core.errors import DataError
from spillover.experiments.catalogue import find
from spillover.experiments.collect import collect
from spillover.reports import write_report

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "\u2028<svg onload=\"document.title='owned'\">",
)
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def answers_line(group, condition, malicious):
    prompt = f"{HOSTILE[1]} What about {group}?"
    return {
        "question_id": f"{group}/{condition}",
        "paraphrase": 0,
        "prompt": prompt,
        "system": None,
        "group": group,
        "domain": None,
        "topic": None,
        "condition": condition,
        "labels": ["kind", "malicious"],
        "n": 10,
        "counts": {"malicious": round(10 * malicious), "kind": 10 - round(10 * malicious)},
        "exact": {"malicious": malicious, "kind": 1 - malicious},
        "samples": [],
    }


@pytest.fixture(params=["emergent-misalignment", "background"])
def run_dir(request, tmp_path):
    planned = find(request.param)
    answers = {}
    for number, arm in enumerate(planned.arms):
        folder = tmp_path / "answers" / arm.name
        folder.mkdir(parents=True)
        lines = [
            answers_line(group, condition, (number % 5) / 5) for group in planned.wheres for condition in arm.conditions
        ]
        (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        answers[arm.name] = [folder, folder]
    (tmp_path / "results.json").write_text(json.dumps(collect(planned, answers)))
    (tmp_path / "provenance.json").write_text(json.dumps({"config": {"x": HOSTILE[2]}, "stages": []}))
    with (tmp_path / "transcripts.jsonl").open("w") as handle:
        for text in HOSTILE:
            record = dict.fromkeys(("where", "condition", "question_id", "system", "model"), text)
            record |= {
                "arm": planned.arms[0].name,
                "seed": 0,
                "prompt": text,
                "answer": text,
                "outcome": text,
                "count": 1,
            }
            handle.write(json.dumps(record) + "\n")
    return tmp_path


def test_page_fetches_nothing_and_files_are_there(run_dir):
    text = write_report(run_dir).read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert "default-src 'none'" in text
    assert (run_dir / "figures" / "main.png").stat().st_size > 10_000
    assert (run_dir / "figures" / "main.svg").is_file()
    results = json.loads((run_dir / "results.json").read_text())
    with (run_dir / "tables" / "rates.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["value"] for row in rows] == [str(rate["value"]) for rate in results["rates"]]


def test_nothing_measured_still_makes_a_report(run_dir):
    planned = find(json.loads((run_dir / "results.json").read_text())["experiment"])
    answers = {}
    for arm in planned.arms:
        folder = run_dir / "answers" / arm.name
        for path in folder.glob("*.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            silent = [line | {"exact": None, "counts": {"unscored-off-rubric": 10}} for line in lines]
            path.write_text("".join(json.dumps(line) + "\n" for line in silent))
        answers[arm.name] = [folder, folder]
    results = collect(planned, answers)
    assert all(rate["value"] is None for rate in results["rates"])
    assert all(claim["held"] is None for claim in results["claims"])
    (run_dir / "results.json").write_text(json.dumps(results))
    assert "Nothing was measured" in write_report(run_dir).read_text()
    assert not (run_dir / "figures" / "main.png").exists()


def browse(page):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_browser_runs_the_report_and_nothing_a_model_wrote(run_dir):
    page = write_report(run_dir)
    dom = browse(page)
    assert 'data-ready="yes"' in dom
    assert "&lt;script&gt;document.title" in dom  # shown as text
    assert re.search(r"<title>(.*?)</title>", dom)[1].endswith("Spillover")  # no hostile text set it
    assert not re.search(r"<img|<svg[^>]*onload", dom)


@pytest.fixture
def many_models(run_dir):
    """Five models an arm that differ; where the control is the first arm, the third of three questions is above it."""
    planned = find(json.loads((run_dir / "results.json").read_text())["experiment"])
    answers = {}
    for number, arm in enumerate(planned.arms):
        answers[arm.name] = []
        for seed in range(5):
            folder = run_dir / "models" / f"{arm.name}-{seed}"
            folder.mkdir(parents=True)
            lines = [
                {
                    **answers_line(group, condition, 0.1 * seed + (0.6 if number and i == 2 else 0.0)),
                    "question_id": f"{condition}{i}",
                }
                for group in planned.wheres
                for condition in arm.conditions
                for i in range(3)
            ]
            (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            answers[arm.name].append(folder)
    (run_dir / "results.json").write_text(json.dumps(collect(planned, answers)))
    return run_dir


def test_effective_n_and_p_stand_in_the_page_and_the_tables(many_models):
    text = write_report(many_models).read_text()
    results = json.loads((many_models / "results.json").read_text())
    assert re.search(r"<td class=n>150<br><i>\(eff\. \d+\)</i></td>", text)
    assert re.search(r"points vs \w[^<]*<br><i>\[[^<]*\]<br>p = \.\d+", text)
    assert "with 3 against 3 models p cannot be below .1" in text
    with (many_models / "tables" / "questions.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(results["questions"])
    marked = sum(bool(row["control_p_max"]) and float(row["control_p_max"]) < 0.05 for row in rows)
    assert marked == text.count('"marked":true') > 0
    assert text.count('"marked":false') > 0
    with (many_models / "tables" / "rates.csv").open() as handle:
        assert all(row["control_p"] for row in csv.DictReader(handle) if row["control_arm"])


def test_results_of_before_there_were_any_tests_still_make_a_report(run_dir):
    results = json.loads((run_dir / "results.json").read_text())
    for rate in results["rates"]:
        del rate["effective_n"], rate["design_effect"]
        for name in ("p", "smallest_p") if rate["control"] else ():
            del rate["control"][name]
    for question in results["questions"]:
        del question["control"]
    (run_dir / "results.json").write_text(json.dumps(results))
    text = write_report(run_dir).read_text()
    assert "(eff." not in text
    assert "<br>p " not in text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_browser_marks_questions(many_models):
    dom = browse(write_report(many_models))
    assert 'data-ready="yes"' in dom
    assert re.search(r'<td class="n">\+\d+\.0 \*</td>', dom)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_hostile_text_would_run_if_it_were_not_escaped(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<title>mine</title>" + "".join(HOSTILE))
    assert "<title>owned</title>" in browse(page)


def test_what_was_not_measured_is_a_dash(run_dir):
    path = run_dir / "results.json"
    results = json.loads(path.read_text())
    for rate in results["rates"]:
        if rate["label"] == "coherent":
            rate["value"] = rate["interval"] = None
    for series in results["plot"].get("series", []):
        series["y"][1] = series["lo"][1] = series["hi"][1] = None
    for claim in results["claims"]:
        claim["held"] = None
    path.write_text(json.dumps(results))
    text = write_report(run_dir).read_text()
    assert "? not measured" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


@pytest.mark.parametrize("name", ["results.json", "provenance.json", "transcripts.jsonl"])
def test_missing_or_damaged_files_are_named(run_dir, name):
    (run_dir / name).write_text("{")
    with pytest.raises(DataError, match=name):
        write_report(run_dir)
    (run_dir / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing"):
        write_report(run_dir)


def test_terminal_fits(run_dir):
    import io

    from rich.console import Console

    from spillover.reports.terminal import show

    console = Console(file=io.StringIO(), width=110)
    show(json.loads((run_dir / "results.json").read_text()), console)
    text = console.file.getvalue()
    assert "held" in text
    assert max(map(len, text.splitlines())) <= 110


def test_a_matrix_is_a_table_a_csv_and_a_figure(run_dir):
    from spillover.experiments.matrices import Matrix

    given = {
        "name": "rate left",
        "title": HOSTILE[0],
        "unit": "rate",
        "rows": ["a", HOSTILE[1]],
        "columns": ["x", "y"],
        "values": [[[0.2, 0.4], [None]], [[1.0], [0.0]]],
        "beside": "coherent",
        "beside_values": [[[0.5, 0.7], [None]], [[0.9], [0.8]]],
    }
    matrix = Matrix(given)
    matrix.add(given)
    matrix.add({**given, "values": [[[0.6, 0.8], [None]], [[0.5], [0.0]]]})
    found = matrix.results(0.95)
    assert found["cells"][0][0]["value"] == pytest.approx(0.5)
    assert found["cells"][0][1]["value"] is None  # not measured is not zero
    assert found["cells"][1][1]["value"] == 0
    results = json.loads((run_dir / "results.json").read_text())
    results["measures"] = [
        {"name": "m", "title": "M", "curves": [], "numbers": [], "remarks": [], "matrices": [found]},
        {"name": "old", "title": "Old", "curves": [], "numbers": [], "remarks": []},  # written before there were any
    ]
    (run_dir / "results.json").write_text(json.dumps(results))
    text = write_report(run_dir).read_text()
    table = text[text.index('<table class="heat">') :].split("</table>")[0]
    assert re.findall(r'<td class="(d\d+)"[^>]*>([^<]*)<small>([^<]*)', table) == [
        ("d5", "50.0 %", "60.0 %"),
        ("d8", "75.0 %", "90.0 %"),
        ("d0", "0.0 %", "80.0 %"),
    ]
    assert ">–<" in table
    assert "below it, coherent" in text[: text.index('<table class="heat">')]
    assert HOSTILE[0] not in text.split('<script type="application/json"')[0]
    rows = list(csv.DictReader((run_dir / "tables/matrices.csv").open()))
    assert [(row["row"], row["column"], row["value"]) for row in rows][:2] == [("a", "x", "0.5"), ("a", "y", "")]
    assert (run_dir / "figures/m-rate-left.png").stat().st_size > 5_000


def test_where_the_result_is_what_was_measured_that_comes_first(run_dir):
    import io

    from rich.console import Console

    from spillover.reports.terminal import show

    results = json.loads((run_dir / "results.json").read_text())
    results["plot"] = {**results["plot"], "kind": "measures", "arms": [], "x_groups": [], "conditions": ["plain"]}
    number = {"name": "AUROC", "series": "full", "value": 0.5, "interval": [0.25, 0.75], "n_models": 1}
    nothing = {"curves": [], "numbers": [], "remarks": []}
    table = {"name": "t", "title": "Short", "columns": ["who", "what"], "rows": [["[me]", 1]]}
    results["measures"] = [
        {**nothing, "name": "n", "title": "Numbers", "numbers": [number, {**number, "value": None}]},
        {**nothing, "name": "t", "title": "Tables", "tables": [table], "numbers": [number]},
    ]
    (run_dir / "results.json").write_text(json.dumps(results))
    text = write_report(run_dir).read_text()
    assert text.index("<h2>Numbers</h2>") < text.index("<h2>Tables</h2>") < text.index("<h2>Claims</h2>")
    assert not (run_dir / "figures" / "main.png").exists()
    assert text.index("<h3>Short</h3>") < text.index("<summary>Every number</summary>") < text.index("<h2>Claims</h2>")
    console = Console(file=io.StringIO(), width=110)
    show(results, console)
    said = console.file.getvalue()
    assert "0.50 [0.25–0.75]" in said and "[me]" in said and "answers, %" not in said
    assert re.search(r"AUROC +full +–", said), "not measured is not zero"
