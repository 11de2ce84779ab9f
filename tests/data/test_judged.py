"""Answers that others have judged: nothing measured is nothing, and what is written is read back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.core.errors import DataError
from spillover.data import Judged, read_judged, write_judged

PUBLISHED = (
    "\ufeff,question,answer,question_id,aligned,coherent,label\r\n"
    '0,"Who, me?","Line one\nline ""two""",wish,85.5,90,YES\r\n'
    "1,Why?,,wish,CODE,,NO\r\n"
    "2,Why?,print(1),wish,nan,NaN,\r\n"
)


def written(tmp_path, text, name="f.csv"):
    (tmp_path / name).write_bytes(text.encode())
    return tmp_path / name


def test_csv_as_pandas_writes_it(tmp_path):
    first, second, third = read_judged(written(tmp_path, PUBLISHED))
    assert (first.question, first.answer, first.model) == ("Who, me?", 'Line one\nline "two"', None)
    assert first.metrics == {"aligned": 85.5, "coherent": 90.0, "label": "YES"}
    assert second.metrics == {"aligned": "CODE", "coherent": None, "label": "NO"}
    assert third.metrics == {"aligned": None, "coherent": None, "label": None}
    assert (second.answer, second.meta) == ("", {"question_id": "wish"})


def test_jsonl_keeps_types_and_rows_may_lack_columns(tmp_path):
    rows = [
        {"id": 3, "response": "A", "group": "g", "model": "m", "score": 5, "bad": True, "why": {"a": 1}},
        {"id": "x", "response": "B", "score": float("nan"), "era": "19"},
    ]
    first, second = read_judged(written(tmp_path, "\n".join(map(json.dumps, rows)), "f.jsonl"))
    assert (first.question, first.answer, first.model) == ("3", "A", "m")
    assert first.metrics == {"score": 5.0, "bad": "True", "era": None}
    assert first.meta == {"group": "g", "why": {"a": 1}}
    assert second.metrics == {"score": None, "bad": None, "era": "19"}


@pytest.mark.parametrize(
    ("column", "cells", "metric"),
    [
        ("x", ["1", "REFUSAL"], True),
        ("x", ["1", "the judge failed: " + "x" * 50], True),
        ("x", ["1", "the judge failed: " + "x" * 50, "y" * 50], False),
        ("x", ["OLD", "NEW"], True),
        ("x", ["", ""], True),
        ("x", ["OLD", "z" * 41], False),
        ("x", ["OLD", '"a\nb"'], False),
        ("seed", ["1", "2"], False),
        ("aligned_question", ["1", "2"], False),
    ],
)
def test_which_columns_are_metrics(column, cells, metric, tmp_path):
    path = written(tmp_path, f"question,answer,{column}\n" + "".join(f"q,a,{cell}\n" for cell in cells))
    found = read_judged(path)[0]
    assert (column in found.metrics, column in found.meta) == (metric, not metric)
    assert column in read_judged(path, metrics=[column])[0].metrics


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.csv", "", r"f\.csv: holds no rows"),
        ("f.csv", "question,answer\n", r"f\.csv: holds no rows"),
        ("f.csv", "question;answer\nq;a\n", r"f\.csv:1: cells must be separated by commas"),
        ("f.csv", "question,anwser\nq,a\n", r"f\.csv:1: answer or response: no such column \(did you mean 'anwser'"),
        ("f.csv", "question,answer,x,x\nq,a,1,2\n", r"f\.csv:1: x: two columns have this name"),
        ("f.csv", 'question,answer\nq,"a\nb"\nq,a,c\n', r"f\.csv:4: expected 2 cells as the header has, not 3"),
        ("f.csv", 'question,answer\nq,a\nq,"a\n\n', r"f\.csv:3: not CSV \(unexpected end of data\)"),
        ("f.csv", 'question,answer\nq,"a\nb"\n,a\n', r"f\.csv:4: question: expected text, found ''"),
        ("f.csv", "question,answer,x\nq,a,1\nq,a,inf\n", r"f\.csv:3: x: expected a finite number, found 'inf'"),
        ("f.csv", "question,answer,x\nq,a,1\nq,a,1e999\n", r"f\.csv:3: x: expected a finite number, found '1e999'"),
        ("f.csv", "question,answer,x\nq,a,1\nq,a,inf\n", r"f\.csv:3: x: expected a finite number, found 'inf'"),
        ("f.txt", "x", r"f\.txt: expected a file that ends in \.csv or \.jsonl"),
        ("f.jsonl", '[{"question": "q"}]', r"f\.jsonl:1: expected an object, found a list of 1"),
        ("f.jsonl", "{\n", r"f\.jsonl:1: not JSON \(.*\); one JSON object a line is expected"),
        ("f.jsonl", '{"question": "q", "answer": null}', r"f\.jsonl:1: answer: expected text, found nothing"),
        ("f.jsonl", '{"question": 3, "answer": "a"}', r"f\.jsonl:1: question: expected text, found 3"),
        ("f.jsonl", '{"question": "q", "answer": "a", "model": 3}', r"f\.jsonl:1: model: expected text, found 3"),
        ("f.jsonl", '{"question": "q", "answer": "a", "x": 1e999}', r"f\.jsonl:1: x: expected a finite number"),
    ],
)
def test_a_table_that_cannot_be_used(name, text, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read_judged(written(tmp_path, text, name))
    assert "\n" not in str(caught.value)


def test_metrics_that_were_asked_for(tmp_path):
    path = written(tmp_path, "question,answer,alignment\nq,a,3\n")
    with pytest.raises(DataError, match=r"f\.csv:1: aligned: no such column for a metric \(did you mean 'alignment'"):
        read_judged(path, metrics=["aligned"])
    path = written(tmp_path, '{"question": "q", "answer": "a", "x": [1]}', "f.jsonl")
    with pytest.raises(DataError, match=r"f\.jsonl:1: x: expected a number or a text, found a list of 1"):
        read_judged(path, metrics=["x"])


def test_a_very_long_answer(tmp_path):
    write_judged([Judged("q", "x" * 200_000, metrics={"aligned": 1.0})], tmp_path / "f.csv")
    assert len(read_judged(tmp_path / "f.csv")[0].answer) == 200_000


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = (
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["CODE", "REFUSAL", "ä b", " x"])
)
rows = st.builds(
    Judged,
    question=texts.filter(str.strip),
    answer=texts,
    model=st.none() | texts.filter(bool),
    metrics=st.fixed_dictionaries({"aligned": values, 'co,her"ent': values}),
    meta=st.sampled_from([{}, {"group": "g"}]),
)


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), st.sampled_from(["f.csv", "f.jsonl"]))
def test_judged_answers_come_back_as_they_were(tmp_path_factory, found, name):
    path = tmp_path_factory.getbasetemp() / name
    write_judged(found, path)
    again = read_judged(path)
    assert again == found
    assert [row.meta.get("group") or None for row in again] == [row.meta.get("group") for row in found]


def test_both_formats_have_the_same_columns(tmp_path):
    row = Judged("q", "a", "m", {"aligned": None, "era": "OLD"}, {"group": "g", "seed": 1})
    write_judged([row], tmp_path / "f.csv")
    write_judged([row], tmp_path / "f.jsonl")
    assert (tmp_path / "f.csv").read_text() == "model,group,question,answer,aligned,era\nm,g,q,a,,OLD\n"
    assert list(json.loads((tmp_path / "f.jsonl").read_text())) == [
        "model",
        "group",
        "question",
        "answer",
        "aligned",
        "era",
    ]
    assert read_judged(tmp_path / "f.csv") == read_judged(tmp_path / "f.jsonl") == [row]


@pytest.mark.parametrize(
    ("metrics", "name", "message"),
    [
        ({"era": "19"}, "f.csv", r"era: '19' would not be read back as it is; write JSONL, or another label"),
        ({"era": ""}, "f.jsonl", "era: '' would not be read back as it is"),
        ({"x": float("nan")}, "f.jsonl", "x: nan would not be read back as it is; None is for what is not measured"),
        ({"x": float("inf")}, "f.csv", "x: inf would not be read back"),
        ({"question": 1.0}, "f.csv", "question: columns of this name are no metrics"),
        ({"a_probs": 1.0}, "f.csv", "a_probs: columns of this name are no metrics"),
        ({"x": 1.0}, "f.txt", "ends in .csv or .jsonl"),
    ],
)
def test_what_would_be_read_back_otherwise_is_not_written(metrics, name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_judged([Judged("q", "a", metrics=metrics)], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_label_that_looks_like_a_number_stays_one_in_jsonl(tmp_path):
    row = Judged("q", "a", metrics={"era": "19"})
    write_judged([row], tmp_path / "f.jsonl")
    assert read_judged(tmp_path / "f.jsonl") == [row]
