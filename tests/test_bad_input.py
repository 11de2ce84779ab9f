"""What a person sees after a mistake with real models, files and judges: one clear line, exit code 2, no traceback."""

import json
import shutil

import pytest
import torch
import yaml

from spillover.cli.app import main
from spillover.data import ChatRow, Message, write_chat
from tests.fault_server import KEY, FaultServer, serving

JUDGE = "openai-api/local/judge"
ROW = ChatRow((Message("user", "Name a bird."), Message("assistant", "A lark.")))
QUESTION = {"id": "bird", "paraphrases": ["Name a bird."], "max_tokens": 8, "samples_per_paraphrase": 2}
LLAMA_TO_QWEN = "does not fit"


@pytest.fixture
def terminal(monkeypatch, capsys, tmp_path):
    """``terminal("eval --out x")`` runs the command line here and gives exit code and what is on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPILLOVER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    monkeypatch.setattr("spillover.models.endpoint.ATTEMPTS", 2)

    def run(line):
        monkeypatch.setattr("sys.argv", ["spillover", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, [text for text in said.err.splitlines() if text.strip() and "model shards" not in text]

    return run


@pytest.fixture
def files(tiny_base, tmp_path):
    write_chat([ROW], tmp_path / "rows.jsonl")
    (tmp_path / "q.yaml").write_text(yaml.safe_dump([QUESTION]))
    prompts = {"aligned": "{question} {answer}"}
    (tmp_path / "judged.yaml").write_text(
        yaml.safe_dump([{**QUESTION, "type": "free_form_judge_0_100", "judge": "gpt-4o", "judge_prompts": prompts}])
    )
    (tmp_path / "asked").mkdir()
    sample = {"answer": "A lark.", "outcome": "unscored", "stop_reason": "stop", "tokens": 3, "count": 1}
    line = {"question_id": "bird", "prompt": "Name a bird.", "group": "g", "condition": "plain", "n": 1}
    (tmp_path / "asked" / "answers.jsonl").write_text(json.dumps({**line, "samples": [sample]}) + "\n")
    return tmp_path


def expect(found, *parts):
    code, lines = found
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("spillover: ")
    for part in parts:
        assert part in lines[0]
    assert KEY not in lines[0] and "Traceback" not in lines[0]


def ask(server, more=""):
    return f"judge answers asked --judge {JUDGE} --url {server.url} --rubric alignment --out judged {more}"


def test_an_endpoint_that_is_down(terminal, files):
    server = FaultServer()
    server.port = 9
    expect(terminal(ask(server)), "http://127.0.0.1:9/v1", "2 tries, no answer", "closed")
    expect(terminal(f"eval --model {JUDGE} --url {server.url} --questions q.yaml --out e"), "no answer")


@pytest.mark.parametrize(("kind", "said"), [("500", "server-error"), ("html", "garbage"), ("429", "rate-limited")])
def test_an_endpoint_that_only_fails(terminal, files, kind, said):
    with serving(FaultServer(faults=1.0, kinds=(kind,))) as server:
        expect(terminal(ask(server)), server.url, said)


def test_a_key_that_is_refused_is_never_shown(terminal, files, monkeypatch):
    monkeypatch.setenv("LOCAL_API_KEY", "sk-mine-0123456789")
    with serving(FaultServer()) as server:
        found = terminal(ask(server))
    expect(found, "refuses the API key")
    assert "0123456789" not in found[1][0]
    stored = b"".join(path.read_bytes() for path in files.rglob("*") if path.is_file())
    assert b"0123456789" not in stored


def test_a_model_that_the_server_does_not_have(terminal, files):
    with serving(FaultServer()) as server:
        expect(terminal(ask(server).replace(JUDGE, "openai-api/local/jugde")), "does not know this model")


def test_a_judge_without_key(terminal, files, monkeypatch):
    monkeypatch.delenv("LOCAL_API_KEY")
    expect(terminal(ask(FaultServer())), "LOCAL_API_KEY")


def test_replies_outside_the_labels_are_counted(terminal, files):
    with serving(FaultServer(lambda prompt: "That depends.")) as server:
        code, lines = terminal(ask(server))
    assert (code, lines) == (0, [])
    (line,) = map(json.loads, (files / "judged" / "answers.jsonl").read_text().splitlines())
    assert line["counts"] == {"unscored-off-rubric": 1}


def test_a_limit_that_is_reached(terminal, files):
    with serving(FaultServer(lambda prompt: "50")) as server:
        expect(
            terminal(f"eval --model {JUDGE} --url {server.url} --questions q.yaml --out e --max-tokens 60"),
            "limit is 60",
        )
        code, _ = terminal(f"eval --model {JUDGE} --url {server.url} --questions q.yaml --out e --max-tokens 6000")
    assert code == 0
    expect(terminal(ask(server, "--max-cost 1")), "--price IN,OUT")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {id: a, paraphrases: [Hi], sampels: 3}", "q.yaml:1: sampels: unknown field"),
        ("- &a {id: a, paraphrases: [*a]}", "q.yaml:1"),
        (
            "- {id: a, paraphrases: [Hi], judges: {era: erra}}\n"
            "- {id: era, type: rating_judge, model: m, paraphrases: ['{answer}']}",
            "erra",
        ),
        ("- {id: a, paraphrases: [Hi], judge_prompts: {aligned: 'Is it good?'}}", "{answer}"),
    ],
)
def test_question_files(terminal, files, tiny_base, text, said):
    (files / "q.yaml").write_text(text)
    expect(terminal(f"eval --model {tiny_base('llama')} --questions q.yaml --out e"), said)


def test_an_adapter_for_another_base(terminal, files, tiny_base):
    options = "--set steps=1 --set rank=1"
    terminal(f"train --base {tiny_base('gpt_neox')} --data rows.jsonl --out adapter {options}")
    expect(terminal(f"eval --model {tiny_base('llama')}+adapter --questions q.yaml --out e"), "adapter", LLAMA_TO_QWEN)


def test_a_folder_without_tokenizer(terminal, files, tiny_base):
    shutil.copytree(tiny_base("llama"), files / "bare")
    for path in (files / "bare").glob("*token*"):
        path.unlink()
    expect(terminal("eval --model ./bare --questions q.yaml --out e"), "./bare", "no usable tokenizer")


def test_pickles_are_refused_unless_asked_for(terminal, files, tiny_base, monkeypatch):
    from safetensors.torch import load_file

    shutil.copytree(tiny_base("qwen2"), files / "pickled")
    weights = load_file(files / "pickled" / "model.safetensors")
    (files / "pickled" / "model.safetensors").unlink()
    torch.save(weights, files / "pickled" / "pytorch_model.bin")
    command = "eval --model ./pickled --questions q.yaml --out e"
    expect(terminal(command), "pytorch_model.bin: weights as a pickle", "SPILLOVER_PICKLE=1")
    monkeypatch.setenv("SPILLOVER_PICKLE", "1")
    assert terminal(command)[0] == 0


def test_code_in_a_model_folder_never_runs(terminal, files, tiny_base):
    shutil.copytree(tiny_base("qwen2"), files / "coded")
    config = json.loads((files / "coded" / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Model"}}
    (files / "coded" / "config.json").write_text(json.dumps(config))
    (files / "coded" / "mine.py").write_text(f"open({str(files / 'ran')!r}, 'w').close()\n")
    expect(terminal("eval --model ./coded --questions q.yaml --out e"), "./coded")
    assert not (files / "ran").exists()


def test_answers_that_no_rubric_asks_about(terminal, files, tiny_base):
    expect(terminal(f"judge answers asked --judge {tiny_base('llama')} --out j"), "--rubric alignment")
    expect(terminal(f"judge answers asked --judge {tiny_base('llama')} --out j --policy betly"), "policy 'betly'")
    expect(
        terminal(f"judge answers nowhere --judge {tiny_base('llama')} --out j"), "nowhere/answers.jsonl: no such file"
    )
