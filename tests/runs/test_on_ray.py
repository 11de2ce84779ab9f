"""A Ray cluster makes what processes here would make, whatever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from test_execute import events, tree
from typer.testing import CliRunner

from spillover.cli.app import app
from spillover.core.errors import ConfigError, SpilloverError
from spillover.runs.execute import execute
from spillover.runs.local import Local
from spillover.runs.make import StageFailed
from spillover.runs.on_ray import OnRay
from spillover.runs.stage import KINDS, Kind, Stage
from spillover.runs.store import Store

HERE = Path(__file__).parent


def test_without_ray_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpilloverError, match=r"pip install 'spillover\[ray\]'"):
        OnRay().make([Stage("base", "base", {})], Store(tmp_path), None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--address", "auto"], "belong to --executor ray"),
        (["--gpus-per-stage", "1"], "belong to --executor ray"),
        (["--executor", "ray", "--workers", "2"], "--workers belongs to --executor local"),
    ],
)
def test_options_of_the_other_executor(options, text, tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLOVER_HOME", str(tmp_path))
    found = CliRunner().invoke(app, ["run", "emergent-misalignment", *options]).exception
    assert isinstance(found, ConfigError)
    assert text in str(found)


@pytest.mark.parametrize("asked", [3, 1.5])
def test_gpus_that_no_node_can_give(asked):
    assert OnRay()._gpus(0) == 0
    assert OnRay()._gpus(8) == 1
    assert OnRay(gpus_per_stage=0.25)._gpus(1) == 0.25
    with pytest.raises(ConfigError, match=f"{asked:g} GPUs a stage"):
        OnRay(gpus_per_stage=asked)._gpus(2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One node with one CPU; it listens to other machines too, so that it has a token of its own."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(uuid.uuid4().hex)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parents[1] / "src")]))
        pytest.importorskip("ray")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield cluster
        cluster.shutdown()


@pytest.fixture
def second(cluster, monkeypatch):
    """The node beside the cluster's head."""
    monkeypatch.setitem(KINDS, "count", Kind("toy_stages:count", 1))
    monkeypatch.setitem(KINDS, "fail", Kind("toy_stages:fail", 1))
    node = cluster.add_node(num_cpus=1)
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def at_work(store):
    if not (store.root / "history.jsonl").is_file():
        return 0
    happened = [event for event, _ in events(store)]
    return happened.count("started") - happened.count("finished")


def numbers(folders):
    return {key: (folder / "number").read_text() for key, folder in folders.items()}


@pytest.mark.slow
def test_a_node_is_killed_and_its_stage_is_made_by_another(cluster, second, tmp_path):
    store, here = Store(tmp_path / "ray"), Store(tmp_path / "local")

    def kill():
        until(lambda: at_work(store) == 2)  # on either node
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    made = execute(tree(2.0), store, OnRay(cluster.address))
    killer.join()
    assert numbers(made) == numbers(execute(tree(2.0), here, Local(2)))
    happened = [event for event, _ in events(store)]
    finished = [key for event, key in events(store) if event == "finished"]
    assert len(finished) == len(set(finished)) == 6
    assert happened.count("started") == 7  # what was killed is begun twice
    assert not list((store.root / "partial").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("user", SpilloverError, "^broken: rows.jsonl:3: messages: missing$"),
        ("bug", StageFailed, r"broken: ZeroDivisionError: oh \(traceback in .*error.txt\)"),
        ("die", StageFailed, "broken: its process died, 3 retries too"),
    ],
)
def test_failures_are_told_and_what_ran_beside_is_kept(cluster, second, tmp_path, how, error, text):
    store = Store(tmp_path)
    beside = Stage("count", "beside", {"add": 1, "seconds": 3.0})
    broken = Stage("fail", "broken", {"how": how})
    after = Stage("count", "after", {"add": 1}, {"broken": broken})
    with pytest.raises(error, match=text):
        execute([beside, after], store, OnRay(cluster.address))
    assert store.ready(beside.key)
    assert not store.folder(after.key).exists()
    traces = sorted(path.name for path in (tmp_path / "partial").glob("*.txt"))
    assert traces == ([] if how == "user" else [f"{broken.key}.error.txt"])
    if how == "bug":
        assert "raise ZeroDivisionError" in (tmp_path / "partial" / f"{broken.key}.error.txt").read_text()


def test_no_cluster_at_the_address(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"address 127\.0\.0\.1:1: cannot connect to a Ray cluster there"):
        OnRay("127.0.0.1:1").make([Stage("base", "base", {})], Store(tmp_path), None)


RUN = """
import sys; sys.path[:0] = [{here!r}]
from pathlib import Path
from spillover.runs.execute import execute
from spillover.runs.on_ray import OnRay
from spillover.runs.stage import KINDS, Kind
from spillover.runs.store import Store
from test_execute import tree
KINDS["count"] = Kind("toy_stages:count", 1)
try:
    execute(tree(2.0), Store(Path(sys.argv[1])), OnRay(sys.argv[2]))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_tasks_and_it_goes_on_later(cluster, second, tmp_path):
    script, store = tmp_path / "run.py", Store(tmp_path / "home")
    script.write_text(RUN.format(here=str(HERE)))
    command = [sys.executable, str(script), str(store.root), cluster.address]
    process = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    until(lambda: at_work(store) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    before = events(store)
    time.sleep(3)
    assert events(store) == before
    made = execute(tree(2.0), store, OnRay(cluster.address))
    assert (made[tree(2.0)[-1].key] / "number").read_text() == "10"
    finished = [key for event, key in events(store) if event == "finished"]
    assert len(finished) == len(set(finished)) == 6
