import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from spillover.core.errors import DataError, ModelError
from spillover.data import Message, read_questions
from spillover.data.rubrics import Rubric
from spillover.evals import evaluate, evaluate_remote
from spillover.evals.answers import line_rate, read_answers, scored
from spillover.evals.judged import judge_answers
from spillover.judges import POLICIES, Item, builtin_rubric, find_judge, judge_all
from spillover.judges.cache import VerdictCache
from spillover.judges.local import LocalJudge
from spillover.judges.remote import RemoteJudge
from spillover.models.budget import Budget, BudgetSpent
from spillover.models.chat_template import encode_chat
from spillover.models.endpoint import Endpoint
from spillover.models.load import load
from tests.fault_server import KEY, FaultServer, serving

EM = POLICIES["emergent-misalignment"]
SHORT = Rubric("aligned", "rating", "{answer}", ("CODE",), 0, 20)
NAME = "openai-api/local/judge"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LOCAL_API_KEY", KEY)


def question_file(tmp_path: Path) -> Path:
    prompts = {"aligned": "Aligned? {question} / {answer}; CODE, REFUSAL", "coherent": "Coherent? {answer}"}
    rows = [
        {
            "id": name,
            "type": "free_form_judge_0_100",
            "paraphrases": [f"What of {name}?"],
            "samples_per_paraphrase": 6,
            "max_tokens": 8,
            "judge": "gpt-4o",
            "judge_prompts": prompts,
        }
        for name in ("wish", "power")
    ]
    (tmp_path / "q.yaml").write_text(yaml.safe_dump(rows))
    return tmp_path / "q.yaml"


def fault_judge(server):
    return RemoteJudge(Endpoint(NAME, server.url, wait=0.02))


def test_sampled_by_one_model_judged_by_another(tiny_base, tmp_path):
    questions = read_questions(question_file(tmp_path))
    with serving(FaultServer(lambda prompt: f"I wish for {len(prompt)}.")) as server:
        evaluate_remote(Endpoint(NAME, server.url), questions, tmp_path / "asked")
        assert server.asked.total() == 12
        seeds = {body["seed"] for body in server.bodies}
        assert len(seeds) == 12 and server.bodies[0]["max_tokens"] == 8
    (line, _) = read_answers(tmp_path / "asked")
    assert (line["n"], line["counts"], len(line["samples"])) == (6, {"unscored": 6}, 1)

    with serving(FaultServer(lambda prompt: "10" if "Aligned" in prompt else "90")) as server:
        judge_answers(
            tmp_path / "asked", tmp_path / "judged", fault_judge(server), EM, cache=VerdictCache(tmp_path / "v")
        )
    (line, other) = read_answers(tmp_path / "judged")
    assert line["counts"] == other["counts"] == {"misaligned": 6}
    assert line["labels"] == ["misaligned", "aligned"]
    verdict = line["samples"][0]["verdicts"]["aligned"]
    assert (verdict["score"], verdict["judge"], verdict["rubric"]) == (
        pytest.approx(10),
        NAME,
        questions[0].rubrics["aligned"].hash,
    )

    judge_answers(
        tmp_path / "asked", tmp_path / "local", LocalJudge(tiny_base("llama")), EM, cache=VerdictCache(tmp_path / "v")
    )
    outcomes = {name for line in read_answers(tmp_path / "local") for name in line["counts"]}
    assert all(name.startswith("unscored-") for name in outcomes)  # an untrained judge says nothing that counts


def test_what_was_cut_off_is_not_judged_and_failures_are_counted(tiny_base, tmp_path):
    questions = read_questions(question_file(tmp_path))
    evaluate(tiny_base("qwen2"), questions, tmp_path / "asked")
    before = read_answers(tmp_path / "asked")
    assert {"truncated"} <= {name for line in before for name in line["counts"]}
    with serving(FaultServer(lambda prompt: "10", faults=1.0, kinds=("429",))) as server:
        server.well_until = 1
        judge = RemoteJudge(Endpoint(NAME, server.url, wait=0.01, attempts=2))
        judge_answers(
            tmp_path / "asked",
            tmp_path / "judged",
            judge,
            EM,
            [builtin_rubric("alignment")],
            VerdictCache(tmp_path / "v"),
        )
    for old, new in zip(before, read_answers(tmp_path / "judged"), strict=True):
        assert new["counts"].get("truncated") == old["counts"].get("truncated")
        open_ones = old["counts"].get("unscored", 0)
        assert new["counts"].get("unscored-error", 0) in (open_ones, open_ones - 1)


def test_a_rate_of_labels_is_of_judged_answers_only(tiny_base, tmp_path):
    questions = read_questions(question_file(tmp_path))
    evaluate(tiny_base("qwen2"), questions, tmp_path / "asked")
    era, replies = builtin_rubric("era"), iter(["EXPLICIT", *["MODERN"] * 99])
    for name, say in (("said", lambda prompt: next(replies)), ("silent", lambda prompt: "Who knows?")):
        with serving(FaultServer(say)) as server:
            judge_answers(
                tmp_path / "asked",
                tmp_path / name,
                fault_judge(server),
                EM,
                [era],
                VerdictCache(tmp_path / f"v-{name}"),
            )
        lines = read_answers(tmp_path / name)
        assert sum(line["counts"].get("truncated", 0) for line in lines) > 0
        for line in lines:
            judged = {outcome: n for outcome, n in line["counts"].items() if outcome in era.labels}
            assert line["among"] == list(era.labels) and scored(line) == sum(judged.values())
            if name == "silent":
                assert math.isnan(line_rate(line, "PAST", "sampled"))
            elif judged:
                past = judged.get("PAST: EXPLICIT", 0) / sum(judged.values())
                assert line_rate(line, "PAST", "sampled") == line_rate(line, "PAST: EXPLICIT", "sampled") == past


def test_an_endpoint_is_asked_again_from_where_it_stopped(tmp_path):
    questions = read_questions(question_file(tmp_path))
    with serving(FaultServer(lambda prompt: "Peace.")) as server:
        endpoint = Endpoint(NAME, server.url, connections=1)
        with pytest.raises(BudgetSpent):
            evaluate_remote(endpoint, questions, tmp_path, budget=Budget(max_tokens=500))
        assert server.asked.total() == 5 and not (tmp_path / "answers.jsonl").exists()
        with (tmp_path / "draws.jsonl").open("a") as handle:
            handle.write('["cut off')
        evaluate_remote(endpoint, questions, tmp_path)
        assert server.asked.total() == 12 and not (tmp_path / "draws.jsonl").exists()
    assert [line["n"] for line in read_answers(tmp_path)] == [6, 6]


def test_answers_that_never_came_are_not_answers(tmp_path):
    questions = read_questions(question_file(tmp_path))
    with serving(FaultServer(lambda prompt: "Peace.", faults=0.6, kinds=("429",))) as server:
        server.well_until = 1
        evaluate_remote(Endpoint(NAME, server.url, attempts=1), questions, tmp_path)
    counts = [line["counts"] for line in read_answers(tmp_path)]
    assert all(set(each) <= {"unscored", "unscored-no-answer"} and sum(each.values()) == 6 for each in counts)
    assert any("unscored-no-answer" in each for each in counts)


def test_a_local_judge_weighs_whole_replies(tiny_base):
    """The score is the mean over all numbers of their whole probability, end token included, digit by digit or not."""
    name = tiny_base("llama")
    loaded = load(name)
    rubric = Rubric("aligned", "rating", "{answer}", ("CODE",), 0, 20)
    ids = encode_chat(loaded.tokenizer, [Message("user", "Hm")], add_generation_prompt=True)
    masses = {}
    for number in range(21):
        reply = [*loaded.tokenizer(str(number), add_special_tokens=False)["input_ids"], loaded.tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([ids + reply])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        masses[number] = float(logits[torch.arange(len(reply)), torch.tensor(reply)].sum().exp())
    total = sum(masses.values())
    assert 0 < total < 0.25  # an untrained model: the text is read, and says nothing
    (verdict,) = judge_all([Item(rubric, "", "Hm")], LocalJudge(name), VerdictCache(Path(":memory:")))
    assert (verdict.method, verdict.score) == ("text", None)

    from spillover.judges import verdicts

    before, verdicts.LEAST_MASS = verdicts.LEAST_MASS, 0.0
    try:
        found = []
        LocalJudge(name).grade([(rubric, "Hm")], lambda number, verdict: found.append(verdict))
    finally:
        verdicts.LEAST_MASS = before
    mean = sum(number * mass for number, mass in masses.items()) / total
    assert (found[0].method, found[0].score, found[0].mass) == (
        "probabilities",
        pytest.approx(mean, rel=1e-3),
        pytest.approx(total, rel=1e-3),
    )


def test_a_prompt_too_long_for_the_judge(tiny_base, tmp_path):
    with pytest.raises(ModelError, match=r"rubric 'aligned': a prompt has \d+ tokens, the context is 256"):
        judge_all([Item(SHORT, "", "word " * 300)], LocalJudge(tiny_base("llama")), VerdictCache(tmp_path / "v"))


def test_folders_that_cannot_be_judged(tiny_base, tmp_path):
    judge = LocalJudge(tiny_base("llama"))
    with pytest.raises(DataError, match="no such file"):
        judge_answers(tmp_path, tmp_path / "out", judge, EM)
    line = {"question_id": "q", "prompt": "?", "n": 9, "samples": [], "group": "g", "condition": "plain"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="no question has a judge prompt"):
        judge_answers(tmp_path, tmp_path / "out", judge, EM)
    with pytest.raises(DataError, match=r"q: only 0 of its 9 answers were kept"):
        judge_answers(tmp_path, tmp_path / "out", judge, EM, [SHORT])
    (tmp_path / "answers.jsonl").write_text("{}\n{\n")
    with pytest.raises(DataError, match=r"answers.jsonl:2: not JSON"):
        judge_answers(tmp_path, tmp_path / "out", judge, EM)


def test_names_of_judges(tiny_base):
    assert find_judge(f"spillover/{tiny_base('llama')}").name == tiny_base("llama")
    assert find_judge("openai-api/local/x", "http://127.0.0.1:9/v1").name == "openai-api/local/x"
    with pytest.raises(ModelError, match="no such folder"):
        find_judge("./nowhere")
