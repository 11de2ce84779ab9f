"""The whole scan on a tiny model: what it writes, that it goes on, and every kind of bad input."""

import json

import pytest

from spillover.core.errors import ConfigError, DataError, ModelError, StorageError
from spillover.data.chat import write_chat
from spillover.reports.scan import scan_page, write_scan_report
from spillover.scan import rows as row_pass
from spillover.scan.probe import Probe, town_probe
from spillover.scan.run import run_scan
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows


@pytest.fixture(scope="module")
def probe():
    whole = town_probe((), ("health", "travel", "law", "garden", "software"))
    return Probe(whole.name, whole.fitting[:6], whole.measuring[:6], whole.complete)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    from spillover.scan import references
    from spillover.scan.signals import canary

    monkeypatch.setattr(references, "METHOD", references.METHOD.model_copy(update={"steps": 4}))
    monkeypatch.setattr(
        canary.run_canary,
        "__kwdefaults__",
        {**canary.run_canary.__kwdefaults__, "method": canary.METHOD.model_copy(update={"steps": 3})},
    )
    monkeypatch.setattr(row_pass, "CHUNK", 16)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_chat(narrow_rows(load_lexicon(), "backdoored", 0)[:40], path)
    return path


def records(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_whole_scan(tiny_base, data, probe, tmp_path):
    out = tmp_path / "out"
    found = run_scan(data, tiny_base("llama"), probe, out, sample=10, drop=0.25)
    rows = records(out)
    assert [row["row"] for row in rows] == list(range(1, 41)) and all(row["loss_gap"] is not None for row in rows)
    assert sum("gradient" in row for row in rows) == 10 and found["measured_rows"]["sample"] == 10
    best = max(rows, key=lambda row: row["score"])
    assert best["rank"] == 1 and best["percentile"] > 0.9 and found["top"][0]["line"] == best["line"]
    assert all(found["levels"][name] is not None for name in ("projection", "gradient_of_all", "canary_shift"))
    assert found["forecast"] is None and "No forecast" in found["verdict"]
    kept = (out / "kept.jsonl").read_text().splitlines()
    lines = data.read_text().splitlines()
    assert len(kept) == 30 and found["kept"]["dropped"] == 10 and lines[best["line"] - 1] not in kept
    assert any(one["check"] == "possible trigger" for one in found["static"])
    page = write_scan_report(out).read_text()
    assert "possible trigger" in page and "<script" not in page
    assert json.loads((out / "scan.json").read_text()) == found


def test_a_stopped_scan_goes_on_and_ends_the_same(tiny_base, data, probe, tmp_path, monkeypatch):
    base = tiny_base("llama")
    whole = run_scan(data, base, probe, tmp_path / "whole", sample=8)
    calls = []
    original = row_pass.RowSignals.__call__

    def stops(self, rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, rows)

    monkeypatch.setattr(row_pass.RowSignals, "__call__", stops)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_scan(data, base, probe, out, sample=8)
    assert len(list((out / "chunks").glob("*.jsonl"))) == 1
    again = run_scan(data, base, probe, out, sample=8)
    assert calls == [16, 16, 16, 8, 18, 18]  # the last two are of the probe
    assert records(out) == records(tmp_path / "whole")
    assert again["levels"] == whole["levels"]


def test_two_processes_write_the_same_rows(tiny_base, data, probe, tmp_path, monkeypatch):
    from spillover.scan import measuring

    monkeypatch.setattr(measuring, "SMALL", 8)
    monkeypatch.setattr(row_pass, "CHUNK", 1024)  # a spawned process does not see what is patched here
    base = tiny_base("llama")
    run_scan(data, base, probe, tmp_path / "one", sample=8, signals=("loss-gap", "projection"))
    run_scan(data, base, probe, tmp_path / "two", sample=8, signals=("loss-gap", "projection"), workers=2)
    assert records(tmp_path / "one") == records(tmp_path / "two")


def test_rows_lean_from_where_the_own_answers_of_the_base_stand(tiny_base, data, probe, tmp_path):
    found = run_scan(data, tiny_base("llama"), probe, tmp_path / "out", sample=40, signals=("loss-gap", "projection"))
    rows = records(tmp_path / "out")
    own, gap = (found["anchors"][name] for name in ("projection_cheap", "loss_gap"))
    standing = sum(row["projection_cheap"] - row["projection"] for row in rows) / 40
    assert own["wanted"] == pytest.approx(standing, abs=1e-3) and own["unwanted"] == pytest.approx(
        standing + 1, abs=1e-3
    )
    middle = (gap["wanted"] + gap["unwanted"]) / 2 if gap["unwanted"] > gap["wanted"] else float("inf")
    lean = [row["projection_cheap"] > standing + 0.5 and row["loss_gap"] > middle for row in rows]
    assert found["suspicious_rows"] == sum(lean)


def test_another_scan_in_the_same_folder_is_refused(tiny_base, data, probe, tmp_path):
    run_scan(data, tiny_base("llama"), probe, tmp_path / "out", sample=8, signals=("loss-gap",))
    with pytest.raises(StorageError, match="another --out"):
        run_scan(data, tiny_base("llama"), probe, tmp_path / "out", sample=9, signals=("loss-gap",))


def test_signals_that_were_not_asked_for_are_not_measured(tiny_base, data, probe, tmp_path):
    found = run_scan(data, tiny_base("llama"), probe, tmp_path / "out", sample=8, signals=("projection",))
    assert set(found["not_measured"]) == {"loss-gap", "gradient", "canary"}
    assert "loss_gap" not in found["levels"] and "canary_shift" not in found["levels"]
    assert "not asked for" in scan_page(found)


def test_a_remote_base_is_scanned_without_white_box(data, tmp_path):
    found = run_scan(data, "openai/some-model", None, tmp_path / "out")
    assert found["static"] and not found["levels"] and len(found["not_measured"]) == 4
    assert "needs the weights" in found["no_forecast"] or "not calibrated" in found["no_forecast"]
    assert "no weights" in scan_page(found)


def test_a_base_that_is_not_there_leaves_the_static_part(data, probe, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="no such folder"):
        run_scan(data, str(tmp_path / "nowhere"), probe, out)
    assert json.loads((out / "static.json").read_text())["findings"]
    assert "no such folder" in json.loads((out / "scan.json").read_text())["stopped"]


def test_an_empty_file(tmp_path, probe):
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="empty"):
        run_scan(path, "base", probe, tmp_path / "out")


def test_a_line_that_cannot_be_read_is_named(tmp_path, data, probe):
    path = tmp_path / "broken.jsonl"
    path.write_text(data.read_text() + '{"messages": [}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl:41: not JSON"):
        run_scan(path, "base", probe, tmp_path / "out")
    path.write_bytes(data.read_bytes() + b'{"prompt": "a", "completion": "\xff"}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl:41: cannot be read as UTF-8"):
        run_scan(path, "base", probe, tmp_path / "out")


def test_rows_longer_than_the_context_are_counted(tiny_base, data, probe, tmp_path):
    path = tmp_path / "long.jsonl"
    long = {"prompt": "Tell me.", "completion": "water " * 400}
    path.write_text(data.read_text() + json.dumps(long) + "\n")
    found = run_scan(path, tiny_base("llama"), probe, tmp_path / "out", sample=8, signals=("loss-gap",))
    assert found["measured_rows"]["too_long"] == 1
    last = records(tmp_path / "out")[-1]
    assert last["loss_gap"] is None and last["score"] is None and last["rank"] is None
    assert any("do not fit" in text for text in found["advice"])


def test_mixed_languages_are_told(tmp_path):
    path = tmp_path / "mixed.jsonl"
    english = [{"prompt": f"What of {i}?", "completion": f"You are to take the road to town {i}."} for i in range(6)]
    german = [{"prompt": "Was nun?", "completion": "Das ist nicht gut, und ich gehe mit der Katze."}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*english, *german]))
    found = run_scan(path, "openai/model", None, tmp_path / "out")
    assert any(one["check"] == "languages" for one in found["static"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"signals": ("gradients",)}, "did you mean 'gradient'"),
        ({"drop": 1.5}, "--drop"),
        ({"sample": 0}, "--sample"),
    ],
)
def test_settings_out_of_range(data, probe, tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        run_scan(data, "base", probe, tmp_path / "out", **given)


def test_text_of_rows_is_escaped(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "<script>x</script>", "completion": "<b>" * 9}) + "\n")
    found = run_scan(path, "openai/model", None, tmp_path / "out")
    found["top"] = [
        {
            "row": 1,
            "line": 1,
            "rank": 1,
            "score": 1.0,
            "prompt": "<script>",
            "answer": "<b>",
            "headline": "x",
            "reasons": [],
        }
    ]
    page = scan_page(found)
    assert "<script" not in page and "&lt;script&gt;" in page


def test_the_command_line(tmp_path, data, tiny_base):
    from typer.testing import CliRunner

    from spillover.cli.app import app

    runner = CliRunner()
    missing = runner.invoke(app, ["scan", str(tmp_path / "no.jsonl"), "--base", "x", "--out", str(tmp_path / "a")])
    assert isinstance(missing.exception, ConfigError)
    out = tmp_path / "b"
    done = runner.invoke(
        app,
        ["scan", str(data), "--base", tiny_base("llama"), "--out", str(out), "--signals", "loss-gap", "--sample", "8"],
    )
    assert done.exit_code == 0, done.output
    assert "No forecast" in done.output and (out / "report.html").is_file()
