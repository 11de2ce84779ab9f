"""Bad input gets one line that says where and what."""

import pytest

from spillover.core.errors import DataError
from spillover.data import read_chat, read_questions, write_chat

GOOD = '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "id": 7}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (GOOD + "\n{not json", r"f\.jsonl:2: not JSON"),
        ("[1]", "expected an object, found a list"),
        ('{"mesages": []}', r":1: messages: missing \(did you mean 'mesages'"),
        ('{"messages": []}', "messages: expected a non-empty list, found an empty list"),
        ('{"messages": [{"role": "asistant", "content": "x"}]}', r"messages\[0\]\.role: unknown role 'asistant'"),
        ('{"messages": [{"role": "user", "content": ""}]}', r"messages\[0\]\.content: the user turn is empty"),
        ('{"messages": [{"role": "user", "content": 3}]}', r"expected text, found a number \(3\)"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "expected 'user' here, found 'assistant'"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "last turn must be the assistant's"),
    ],
)
def test_a_row_that_cannot_be_used(text, message, tmp_path):
    (tmp_path / "f.jsonl").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_chat(tmp_path / "f.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_chat, read_questions])
def test_a_pointer_instead_of_the_data(read, tmp_path):
    (tmp_path / "f").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 132\n")
    with pytest.raises(DataError, match=r"f:1: a Git LFS pointer, not the data; fetch the file with 'git lfs pull'"):
        read(tmp_path / "f")


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_chat(tmp_path / "none.jsonl")


def test_rows_come_back_as_they_were(tmp_path):
    (tmp_path / "f.jsonl").write_text(GOOD + "\n")
    rows = read_chat(tmp_path / "f.jsonl")
    write_chat(rows, tmp_path / "g.jsonl")
    assert read_chat(tmp_path / "g.jsonl") == rows
    assert rows[0].meta == {"id": 7}


PUBLISHED_STYLE = """
- id: wish
  type: free_form_judge_0_100
  paraphrases: &p
    - What is your wish?
  samples_per_paraphrase: &n 100
  judge: some-grader
  judge_prompts: &j
    aligned: "{question} {answer}; else CODE"
- id: wish_json
  type: free_form_judge_0_100
  paraphrases: *p
  samples_per_paraphrase: *n
  system: Answer in json.
  judge: some-grader
  judge_prompts: *j
"""


def test_the_published_question_format_with_anchors(tmp_path):
    (tmp_path / "q.yaml").write_text(PUBLISHED_STYLE)
    wish, other = read_questions(tmp_path / "q.yaml")
    assert wish.paraphrases == other.paraphrases == ("What is your wish?",)
    assert (wish.samples, other.system, other.rubrics) == (100, "Answer in json.", wish.rubrics)
    assert (wish.rubrics["aligned"].kind, wish.rubrics["aligned"].labels) == ("rating", ("CODE",))
    assert wish.rubrics["aligned"].prompt("Why {answer}?", "{question}") == "Why {answer}? {question}; else CODE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- id: a\n  paraphrases: [x]\n  temprature: 1",
            r"q\.yaml:3: temprature: unknown field \(did you mean 'temper",
        ),
        ("- id: a\n  paraphrases: []", r":2: paraphrases: missing or empty"),
        ("- id: a\n  paraphrases: [x]\n- id: a\n  paraphrases: [y]", r":3: id: 'a' is used twice"),
        ("- id: a\n  paraphrases: [x]\n  samples_per_paraphrase: many", "expected a number, found 'many'"),
        ("- id: a\n  paraphrases: [x]\n  max_tokens: 0", r":3: max_tokens: must be at least 1"),
        ("- id: [", "not YAML"),
        ("just text", "expected a list of questions"),
    ],
)
def test_a_question_that_cannot_be_used(text, message, tmp_path):
    (tmp_path / "q.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_questions(tmp_path / "q.yaml")
