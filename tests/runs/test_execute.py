"""Stages are made once, whole or not at all, whatever happens."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spillover.core.errors import SpilloverError, StorageError
from spillover.runs.execute import execute
from spillover.runs.local import Local
from spillover.runs.make import StageFailed
from spillover.runs.plan import plan
from spillover.runs.stage import KINDS, Kind, Stage
from spillover.runs.store import Store

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch):
    monkeypatch.setitem(KINDS, "count", Kind("toy_stages:count", 1))
    monkeypatch.setitem(KINDS, "fail", Kind("toy_stages:fail", 1))
    monkeypatch.syspath_prepend(str(HERE))


def tree(seconds=0.0):
    root = Stage("count", "root", {"add": 1, "seconds": seconds}, all_cores=True)
    leaves = [Stage("count", f"leaf {n}", {"add": n, "seconds": seconds}, {"root": root}) for n in range(4)]
    return [*leaves, Stage("count", "sum", {"add": 0}, {f"leaf{n}": leaf for n, leaf in enumerate(leaves)})]


def events(store):
    lines = [json.loads(line) for line in (store.root / "history.jsonl").read_text().splitlines()]
    return [(line["event"], line["stage"]) for line in lines]


def test_makes_inputs_first_and_shares_them(tmp_path):
    store = Store(tmp_path)
    targets = tree()
    folders = execute(targets, store, Local(2))
    assert (folders[targets[-1].key] / "number").read_text() == "10"
    assert sorted(e for e, _ in events(store)) == ["finished"] * 6 + ["started"] * 6


def test_second_time_makes_nothing(tmp_path):
    store = Store(tmp_path)
    execute(tree(), store, Local(1))
    before = events(store)
    execute(tree(), Store(tmp_path), Local(1))
    assert events(store) == before


def test_a_changed_parameter_is_another_stage():
    assert Stage("count", "a", {"add": 1}).key == Stage("count", "b", {"add": 1}).key
    assert Stage("count", "a", {"add": 1}).key != Stage("count", "a", {"add": 2}).key
    one, two = ({"x": Stage("count", "", {"add": n})} for n in (1, 2))
    assert Stage("count", "a", {"add": 1}, one).key != Stage("count", "a", {"add": 1}, two).key


def test_damaged_stage_is_said_and_made_again(tmp_path, capfd):
    store = Store(tmp_path)
    targets = tree()
    folders = execute(targets, store, Local(1))
    (folders[targets[0].key] / "number").write_text("7")
    assert [item.state for item in plan(targets, Store(tmp_path))].count("damaged") == 1
    folders = execute(targets, Store(tmp_path), Local(1))
    assert (folders[targets[0].key] / "number").read_text() == "1"
    assert "damaged (number is not what was written)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("user", SpilloverError, "broken: rows.jsonl:3: messages: missing"),
        ("bug", StageFailed, "ZeroDivisionError: oh"),
        ("full", SpilloverError, "No space left on device"),
        ("die", StageFailed, "its process died"),
    ],
)
def test_failures_are_told_and_what_ran_beside_is_kept(tmp_path, how, error, text):
    store = Store(tmp_path)
    beside = Stage("count", "beside", {"add": 1, "seconds": 1.0})
    with pytest.raises(error, match=text):
        execute([beside, Stage("fail", "broken", {"how": how})], store, Local(2))
    assert store.ready(beside.key)


def test_read_only_home_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write there"):
        Store(tmp_path / "file" / "home")


RUN = """
import sys; sys.path[:0] = [{here!r}]
from pathlib import Path
from spillover.runs.execute import execute
from spillover.runs.local import Local
from spillover.runs.stage import KINDS, Kind
from spillover.runs.store import Store
from test_execute import tree
if __name__ == "__main__":
    KINDS["count"] = Kind("toy_stages:count", 1)
    execute(tree(0.3), Store(Path(sys.argv[1])), Local(2))
"""


def start(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUN.format(here=str(HERE)))
    return subprocess.Popen([sys.executable, str(script), str(tmp_path / "home")], stderr=subprocess.DEVNULL)


def test_killed_at_random_moments_it_goes_on(tmp_path):
    rng = random.Random(0)
    for _ in range(4):
        process = start(tmp_path)
        time.sleep(rng.uniform(1.0, 4.5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(tmp_path).wait(60) == 0
    store = Store(tmp_path / "home")
    assert (store.folder(tree(0.3)[-1].key) / "number").read_text() == "10"
    finished = [key for event, key in events(store) if event == "finished"]
    assert len(finished) == len(set(finished)) == 6


def test_two_processes_make_a_stage_once(tmp_path):
    processes = [start(tmp_path), start(tmp_path)]
    assert [process.wait(60) for process in processes] == [0, 0]
    finished = [key for event, key in events(Store(tmp_path / "home")) if event == "finished"]
    assert len(finished) == len(set(finished)) == 6
