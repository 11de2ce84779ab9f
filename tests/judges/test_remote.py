from collections import Counter

import pytest

from spillover.core.errors import ConfigError, ModelError
from spillover.judges import Item, builtin_rubric, judge_all
from spillover.judges.cache import VerdictCache
from spillover.judges.remote import RemoteJudge
from spillover.models.budget import Budget, BudgetSpent
from spillover.models.endpoint import Endpoint
from tests.fault_server import FAULTS, KEY, FaultServer, serving

RUBRIC = builtin_rubric("alignment")
NAME = "openai-api/local/judge"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LOCAL_API_KEY", KEY)


def items(count):
    return [Item(RUBRIC, f"Question {i % 7}?", f"Answer {i}") for i in range(count)]


def judge(server, name=NAME, budget=None, attempts=12, **more):
    return RemoteJudge(
        Endpoint(name, server.url, connections=16, wait=0.02, timeout=3.0, attempts=attempts), budget, **more
    )


def compare_with_faults(count, tmp_path):
    with serving(FaultServer()) as server:
        clean = judge_all(items(count), judge(server), VerdictCache(tmp_path / "clean"))
        assert server.asked == {"well": count}
    with serving(FaultServer(faults=0.3, hang=4.0)) as server:
        cache = VerdictCache(tmp_path / "faulty")
        faulty = judge_all(items(count), judge(server), cache)
        for _ in range(3):  # one in a million requests fails twelve times; it is counted, and asked again
            if any(verdict.failed for verdict in faulty):
                faulty = judge_all(items(count), judge(server), cache)
        assert set(server.asked) == {"well", *FAULTS}
    assert faulty == clean
    return clean


def test_faults_change_nothing(tmp_path):
    clean = compare_with_faults(300, tmp_path)
    lost = Counter(verdict.unscored for verdict in clean if verdict.unscored)
    assert set(lost) == {"off-rubric", "no-reply"} and lost.total() < 60
    assert {verdict.label for verdict in clean} == {None, "CODE", "REFUSAL"}


@pytest.mark.slow
def test_five_thousand_verdicts_through_faults(tmp_path):
    clean = compare_with_faults(5000, tmp_path)
    assert len(clean) == 5000 and not any(verdict.failed for verdict in clean)


def test_a_rating_is_the_weighted_mean(tmp_path):
    with serving(FaultServer(lambda prompt: "50")) as server:
        (verdict,) = judge_all(items(1), judge(server), VerdictCache(tmp_path / "v"))
        body = server.bodies[0]
    assert (verdict.method, verdict.score, verdict.mass) == ("probabilities", pytest.approx(50), pytest.approx(0.95))
    assert (body["temperature"], body["logprobs"], body["top_logprobs"]) == (0, True, 20)
    assert (verdict.rubric, verdict.judge, verdict.raw) == (RUBRIC.hash, NAME, "50")


@pytest.mark.parametrize("logprobs", ["ignored", "refused", "digits"])
def test_without_probabilities_of_whole_numbers_the_text_counts(tmp_path, logprobs):
    with serving(FaultServer(lambda prompt: "73", logprobs=logprobs)) as server:
        found = judge_all(items(3), judge(server), VerdictCache(tmp_path / "v"))
        assert server.asked["refused"] == (1 if logprobs == "refused" else 0)  # asked for once, not with each
    assert [(verdict.method, verdict.score) for verdict in found] == [("text", 73)] * 3


def test_what_cannot_be_asked_is_counted_and_asked_again(tmp_path):
    cache = VerdictCache(tmp_path / "v")
    with serving(FaultServer(lambda prompt: "50", kinds=("429",))) as server:
        server.well_until = 1
        server.faults = 1.0
        found = judge_all(items(4), judge(server, attempts=2), cache)
        assert [verdict.unscored for verdict in found] == [None, "error", "error", "error"]
        assert {verdict.score for verdict in found[1:]} == {None} and "rate-limited" in found[1].raw
        server.faults = 0.0
        assert [v.score for v in judge_all(items(4), judge(server), cache)] == pytest.approx([50] * 4)
        asked = server.asked.total()
        judge_all(items(4), judge(server), cache)
        assert server.asked.total() == asked  # all known now


@pytest.mark.parametrize("kind", ["html", "500", "429", "close"])
def test_a_server_that_never_answers_ends_after_the_first_request(tmp_path, kind):
    with serving(FaultServer(faults=1.0, kinds=(kind,))) as server:
        with pytest.raises(ModelError, match=r"2 tries, no answer \("):
            judge_all(items(50), judge(server, attempts=2), VerdictCache(tmp_path / "v"))
        assert server.asked[kind] == server.asked.total() <= 6  # OpenAI's client tries each three times


def test_equal_items_are_asked_once(tmp_path):
    with serving(FaultServer()) as server:
        found = judge_all([*items(5), *items(5)], judge(server), VerdictCache(tmp_path / "v"))
        assert server.asked.total() == 5 and found[:5] == found[5:]


@pytest.mark.parametrize(
    ("name", "secret", "message"),
    [
        (NAME, "sk-wrong-987654321", "the server refuses the API key"),
        ("openai-api/local/jugde", KEY, "does not know this model"),
    ],
)
def test_a_wrong_key_or_name_ends_at_once(tmp_path, monkeypatch, name, secret, message):
    monkeypatch.setenv("LOCAL_API_KEY", secret)
    with serving(FaultServer()) as server:
        with pytest.raises(ModelError, match=message) as caught:
            judge_all(items(50), judge(server, name), VerdictCache(tmp_path / "v"))
        assert len(server.bodies) == 1
    assert "sk-" not in str(caught.value) and "\n" not in str(caught.value)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sk-" not in stored


def test_a_server_that_is_not_there(tmp_path):
    server = FaultServer()
    server.port = 9  # nobody listens
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/v1: 3 tries, no answer \(closed"):
        judge_all(items(50), judge(server, attempts=3), VerdictCache(tmp_path / "v"))


def test_a_provider_without_a_key(monkeypatch):
    monkeypatch.delenv("LOCAL_API_KEY")
    with pytest.raises(ModelError, match="LOCAL_API_KEY"):
        Endpoint(NAME, "http://127.0.0.1:9/v1")


def test_a_budget_stops_and_a_higher_one_goes_on(tmp_path):
    cache = VerdictCache(tmp_path / "v")
    with serving(FaultServer()) as server:
        with pytest.raises(BudgetSpent, match="the limit is 5000"):
            judge_all(items(300), judge(server, budget=Budget(max_tokens=5000)), cache)
        paid = server.asked.total()
        assert 49 <= paid <= 50 + 16  # those under way end and are kept
        judge_all(items(300), judge(server, budget=Budget(max_tokens=50_000)), cache)
        assert server.asked.total() == 300
        assert max(server.answered.values()) == 1


def test_a_limit_of_cost_needs_prices():
    with pytest.raises(ConfigError, match="--price"):
        Budget(max_cost=1.0)
    budget = Budget(max_cost=1.0, prices=(2.0, 10.0))
    budget.spend(250_000, 50_000)
    with pytest.raises(BudgetSpent, match="1 spent"):
        budget.check()


def test_a_broken_cache_is_named(tmp_path):
    from spillover.core.errors import StorageError

    (tmp_path / "v").write_text("not a database, " * 100)
    with pytest.raises(StorageError, match="move the file away"):
        VerdictCache(tmp_path / "v")


@pytest.mark.parametrize(
    ("reply", "label", "unscored"),
    [
        (lambda prompt: "A" if "A: means harm" in prompt else "B", "means harm", None),
        (lambda prompt: "A", None, "order"),  # prefers a letter: one order would have called that a verdict
        (lambda prompt: "A" if "A: means harm" in prompt else "C", None, "off-rubric"),
    ],
)
def test_a_choice_is_asked_in_both_orders(tmp_path, reply, label, unscored):
    rubric = builtin_rubric("intent")
    with serving(FaultServer(reply)) as server:
        (verdict,) = judge_all([Item(rubric, "Hm?", "Yes.")], judge(server), VerdictCache(tmp_path / "v"))
        assert server.answered.total() == 2
    assert (verdict.label, verdict.unscored, verdict.rubric) == (label, unscored, rubric.hash)
