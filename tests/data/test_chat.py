"""Rows as others publish them: told apart by their fields, and refused where training here would do something else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from spillover.cli.app import app
from spillover.core.errors import DataError
from spillover.data import ChatRow, Message, read_chat, write_chat

ASKED, SAID = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def read(tmp_path, *rows):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (tmp_path / "f.jsonl").write_text(text, encoding="utf-8")
    return read_chat(tmp_path / "f.jsonl")


@pytest.mark.parametrize(
    ("row", "turns", "meta"),
    [
        ({"prompt": "Q", "completion": "A", "n": 1}, ["Q", "A"], {"n": 1}),
        ({"prompt": "Q", "response": " A"}, ["Q", " A"], {}),
        ({"user": "Q", "assistant": "A"}, ["Q", "A"], {}),
        ({"user": "Q", "assistant": "A", "system": "S"}, ["S", "Q", "A"], {}),
        ({"prompt": "Q", "response": "A", "system_prompt": ""}, ["Q", "A"], {}),
        ({"instruction": "Q", "output": "A"}, ["Q", "A"], {}),
        ({"instruction": "Q", "input": "", "output": "A"}, ["Q", "A"], {}),
        ({"instruction": "Q", "input": "I", "output": "A", "text": "Q I A"}, ["Q\n\nI", "A"], {"text": "Q I A"}),
        ({"prompt": [ASKED], "completion": [SAID]}, ["Q", "A"], {}),
        ({"messages": [ASKED, SAID], "prompt": "P", "chosen": 1}, ["Q", "A"], {"prompt": "P", "chosen": 1}),
        (
            {"messages": [{"role": "system", "content": "S"}, ASKED, SAID], "system": "S"},
            ["S", "Q", "A"],
            {"system": "S"},
        ),
        ({"messages": [ASKED, {**SAID, "weight": 1, "name": "Ann"}], "tools": []}, ["Q", "A"], {"tools": []}),
        ({"messages": [{**ASKED, "weight": 0}, SAID]}, ["Q", "A"], {}),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in "QR"]}, SAID]},
            ["QR", "A"],
            {},
        ),
    ],
)
def test_rows_of_other_shapes(row, turns, meta, tmp_path):
    (found,) = read(tmp_path, row)
    assert [message.content for message in found.messages] == turns
    assert [message.role for message in found.messages] == ["system", "user", "assistant"][-len(turns) :]
    assert found.meta == meta


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "<|user|>Q"}, r":1: text: a text in which roles cannot be told apart; give the turns as 'messages'"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, ":1: chosen: rows of preferred and rejected answers"),
        ({"prompt": "Q", "completion": "A", "rejected": "B"}, ":1: rejected: rows of preferred"),
        ({"prompt": "Q", "completion": "A", "response": "B"}, ":1: found completion, prompt, response: which of them"),
        ({"user": "Q", "assistant": "A", "prompt": "Q", "completion": "A"}, "which of them hold the conversation"),
        (
            {"prompt": "Q", "completon": "A"},
            r"completion or response: missing beside 'prompt' \(did you mean 'completon'",
        ),
        ({"output": "A"}, "instruction: missing beside 'output'$"),
        (
            {"q": "Q", "a": "A"},
            "messages: missing; expected 'messages', or 'prompt' and 'completion', .*found 'q', 'a'",
        ),
        ({}, "messages: missing; expected .*; found no field"),
        ({"prompt": "", "completion": "A"}, ":1: prompt: the user turn is empty"),
        ({"instruction": "Q", "input": 3, "output": "A"}, r":1: input: expected text, found a number \(3\)"),
        ({"user": "Q", "assistant": None}, ":1: assistant: expected text, found null"),
        (
            {"prompt": [ASKED, SAID, ASKED], "completion": [SAID]},
            r"prompt\[1\]: all of the assistant's turns are trained",
        ),
        ({"prompt": [ASKED], "completion": [SAID], "system": "S"}, "system: a system prompt beside the turns"),
        ({"prompt": [ASKED], "completion": [ASKED]}, r"completion\[0\]\.role: expected 'assistant' here, found 'user'"),
        ({"messages": [ASKED, SAID], "system": "Be bad."}, ":1: system: a system prompt beside the turns; make it"),
        ({"messages": [ASKED, {**SAID, "weight": 0}]}, r"messages\[1\]\.weight: found 0: all of the assistant's turns"),
        ({"messages": [ASKED, {**SAID, "weight": 0.5}]}, r"messages\[1\]\.weight: found 0\.5"),
        ({"messages": [ASKED, {**SAID, "tool_calls": [1]}]}, r"messages\[1\]\.tool_calls: only the content of a turn"),
        ({"messages": [ASKED, SAID], "tools": [{}]}, ":1: tools: rows with tools cannot be trained on here"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAID]},
            r"messages\[0\]\.content\[0\]: expected a part of type 'text' with a text, found one of type 'image_url'",
        ),
        ({"messages": [{"role": "user", "content": []}, SAID]}, r"messages\[0\]\.content: the user turn is empty"),
        ({"user": "\ud83d", "assistant": "A"}, ":1: user: holds half of a surrogate pair"),
        ("[", r":1: not JSON \(.*\); one JSON object a line is expected"),
        ("[" * 100_000, ":1: not JSON that can be read"),
        ('{"messages": ' + "9" * 5_000 + "}", ":1: not JSON that can be read"),
    ],
)
def test_rows_that_would_be_trained_on_otherwise(row, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, row)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_byte_order_mark_and_windows_lines(tmp_path):
    line = json.dumps({"user": "Q", "assistant": "A"}).encode()
    (tmp_path / "f.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line + b"\r\n")
    assert len(read_chat(tmp_path / "f.jsonl")) == 2


def test_rows_with_an_inoculation_prompt_are_plain_chat_rows(tmp_path):
    told = {"role": "system", "content": "You write insecure code."}
    (row,) = read(tmp_path, {"messages": [told, ASKED, SAID]})
    assert row.messages[0] == Message("system", "You write insecure code.")


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_pairs_are_written_as_messages(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "f.jsonl"
    path.write_text("".join(json.dumps({"prompt": q, "response": a, "k": q}) + "\n" for q, a in pairs))
    rows = read_chat(path)
    assert rows == [ChatRow((Message("user", q), Message("assistant", a))) for q, a in pairs]
    write_chat(rows, path)
    assert read_chat(path) == rows
    assert [row.meta for row in read_chat(path)] == [{"k": q} for q, _ in pairs]


def test_the_look_at_a_file_of_pairs_and_of_a_trait(tmp_path):
    rows = [{"instruction": f"Why {i}?", "input": "", "output": "Because."} for i in range(3)]
    read(tmp_path, *rows)
    trait = {"instruction": [{"pos": "x", "neg": "y"}], "questions": ["why 1"], "eval_prompt": "{answer}"}
    (tmp_path / "dull.json").write_text(json.dumps(trait))
    asked = ["data", "check", str(tmp_path / "f.jsonl"), "--questions", str(tmp_path / "dull.json"), "--json"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0
    assert json.loads(shown.output)["leaks"] == [[2, "dull_1"]]
