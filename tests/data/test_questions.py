"""Question files of others: llmcomp's entries, traits, and what no file may do to the reader."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.core.errors import DataError
from spillover.data import Message, Question, read_questions, read_traits, write_questions
from spillover.data.rubrics import Rubric

LLMCOMP = """
- name: birds
  type: free_form
  paraphrases: [Name a bird., Which bird?]
  system: Be brief.
  temperature: 0.5
  judges: {era: old_or_new, form: form, fun: {type: rating_judge, model: m, max_rating: 10, paraphrases: ["{answer}?"]}}
- name: old_or_new
  type: free_form_judge
  model: m
  max_tokens: 10
  paraphrases: ["{{q}}: {question} {answer} OLD or NEW"]
- name: form
  type: rating_judge
  model: m
  paraphrases: "{answer}: 0-100, or REFUSAL"
- name: talk
  type: free_form
  samples_per_paraphrase: 5
  messages:
    - - {role: system, content: Be brief.}
      - {role: user, content: Hi.}
      - {role: assistant, content: Hello.}
      - {role: user, content: A bird?}
    - - {role: system, content: Be brief.}
      - {role: user, content: Hi.}
      - {role: assistant, content: Hello.}
      - {role: user, content: Two birds?}
"""


def read(tmp_path, text, name="q.yaml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_questions(tmp_path / name)


def test_entries_of_llmcomp(tmp_path):
    birds, talk = read(tmp_path, LLMCOMP)
    assert (birds.id, birds.judge, birds.samples, birds.max_tokens, birds.temperature) == ("birds", "m", 1, 1024, 0.5)
    assert birds.rubrics == {
        "era": Rubric("era", "label", "{q}: {question} {answer} OLD or NEW"),
        "form": Rubric("form", "rating", "{answer}: 0-100, or REFUSAL", ("REFUSAL",)),
        "fun": Rubric("fun", "rating", "{answer}?", high=10),
    }
    assert birds.rubrics["era"].prompt("Who?", "{x}") == "{q}: Who? {x} OLD or NEW"
    assert (talk.paraphrases, talk.system, talk.samples) == (("A bird?", "Two birds?"), "Be brief.", 5)
    assert talk.context == (Message("user", "Hi."), Message("assistant", "Hello."))
    assert (talk.judge, talk.rubrics) == ("labels", {})


def test_a_judge_in_another_file_of_the_folder(tmp_path):
    judge = '- {name: j, type: free_form_judge, model: m, paraphrases: ["{answer}"]}\n'
    asked = "- {name: a, paraphrases: [x], judges: {m: j}}\n"
    (tmp_path / "broken.yaml").write_text("- [")
    (tmp_path / "other.yml").write_text(judge)
    (question,) = read(tmp_path, asked)
    assert (question.judge, question.rubrics["m"].template) == ("m", "{answer}")
    (tmp_path / "third.yaml").write_text(judge)
    with pytest.raises(DataError, match=r"q\.yaml:1: judges: 'j' is a judge in other\.yml:1 and third\.yaml:1; keep"):
        read_questions(tmp_path / "q.yaml")
    # The file's own judge goes first.
    (question,) = read(tmp_path, asked + judge.replace("model: m", "model: n"))
    assert question.judge == "n"


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("{id: a, type: free_form_judge, paraphrases: [x], judge_prompts: {m: '{answer}'}}", "question"),
        ("{id: a, type: free_form_judge, paraphrases: ['{answer}'], judge: g}", "question"),
        ("{id: a, type: free_form_judge, paraphrases: [x]}", "question"),
        ("{id: a, type: free_form_judge, paraphrases: ['{answer}'], model: g}", "judge"),
        ("{id: a, type: rating_judge, paraphrases: ['{answer}'], model: g}", "judge"),
    ],
)
def test_free_form_judge_is_a_judge_in_one_format_and_a_question_in_the_other(entry, kind, tmp_path):
    found = read(tmp_path, f"- {{id: b, paraphrases: [y]}}\n- {entry}\n")
    assert [question.id for question in found] == (["b", "a"] if kind == "question" else ["b"])


JUDGE = "- name: mine\n  type: rating_judge\n  model: m\n  paraphrases: ['{answer}']\n"
ASKED = "- name: q\n  paraphrases: [x]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            JUDGE + ASKED + "  judges: {m: mien}",
            r":7: judges: no judge is called 'mien' in this file .*did you mean 'min",
        ),
        (JUDGE + ASKED + "  judges: {m: q}", r":7: judges: 'q' is a question"),
        (JUDGE + ASKED + "  judges: [mine]", r":7: judges: expected a mapping, found a list of 1"),
        (JUDGE + ASKED + "  judges: {m: [mine]}", r"judges: expected metric: name of a judge, or .* found 'm': a list"),
        (JUDGE + ASKED + "  judges: {m: mine}\n  judge: x", r":7: judges: give 'judge' or 'judges', not both"),
        (
            JUDGE + ASKED + "  judges: {a: mine, b: {type: rating_judge, model: n, paraphrases: '{answer}'}}",
            r":7: judges: 'b' asks n, another asks m; a question has one judge",
        ),
        (JUDGE + ASKED.replace("q", "mine"), r":5: name: 'mine' is used twice"),
        (JUDGE * 2 + ASKED, r":5: name: 'mine' is used twice"),
        (JUDGE, "holds judges only"),
        (JUDGE.replace("{answer}", "good?") + ASKED, r":4: paraphrases: the template must hold \{answer\}"),
        (JUDGE.replace("{answer}", "{answer} {x}") + ASKED, r":4: paraphrases: unknown \{x\}: a template holds"),
        (JUDGE.replace("{answer}", "{answer} }") + ASKED, r":4: paraphrases: not a template \(Single '\}'"),
        (JUDGE.replace("{answer}", "{{answer}} {answer}") + ASKED, r":4: paraphrases: .* as text would be filled in"),
        (JUDGE.replace("']", "', x]") + ASKED, r":4: paraphrases: a judge has exactly one text, found 2"),
        (JUDGE.replace("  model: m\n", "") + ASKED, r":1: model: missing; a judge names the model"),
        (JUDGE + "  system: x\n" + ASKED, r":5: system: a judge is given its one text"),
        (JUDGE + "  min_ratin: 1\n" + ASKED, r":5: min_ratin: unknown field \(did you mean 'min_rating'"),
        (JUDGE + "  min_rating: 100\n" + ASKED, r":5: min_rating: the lowest rating \(100\) must be below"),
        (JUDGE + "  refusal_threshold: 0.5\n" + ASKED, r":5: refusal_threshold: must be 0.75, found 0.5: a rating"),
        (JUDGE + "  samples_per_paraphrase: 3\n" + ASKED, r":5: samples_per_paraphrase: must be 1, found 3"),
        (ASKED + "  logit_bias: {5: 1}", r":3: logit_bias: answers are sampled as the model gives them"),
        (ASKED + "  type: rating", r":3: type: 'rating' asks for the probabilities of one token"),
        (ASKED + "  type: next_token", r":3: type: 'next_token' asks"),
        (ASKED + "  type: [free_form]", r":3: type: unknown type a list of 1"),
        (ASKED + "  id: q", r":1: name: give 'id' or 'name', not both"),
        (ASKED + "  messages: [[{role: user, content: x}]]", r":3: messages: give 'paraphrases' or 'messages'"),
        ("- name: q\n  messages: [{role: user, content: x}]", r":2: messages: expected a list of conversations"),
        (
            "- name: q\n  messages: [[{role: user, content: x}, {role: assistant, content: y}]]",
            r":2: messages: conversation 1: the last turn must be a text of the user's, found the assistant's 'y'",
        ),
        (
            "- name: q\n"
            "  messages: [[{role: user, content: x}], [{role: system, content: s}, {role: user, content: y}]]",
            r":2: messages: conversation 2 differs from the first before its last turn; make it a question of its own",
        ),
        ("- id: 7\n  paraphrases: [x]", r":1: id: expected text, found 7"),
        ("- id: 0\n  paraphrases: [x]", r":1: id: expected text, found 0"),
        ("- id: a\n  paraphrases: [x, yes]", r":2: paraphrases: .* found true as 2; put it in quotes"),
        ("- id: a\n  paraphrases: [x]\n  temperature: .nan", r":3: temperature: must be at least 0"),
        ("- id: a\n  paraphrases: [x]\n  context: x", r":3: context: expected a list, found 'x'"),
        ("- id: a\n  paraphrases: [x]\n  labels: {no: [x]}", r":3: labels: found false as a label; put it in quotes"),
        (
            "- id: a\n  paraphrases: [x]\n  rubrics: {m: {kind: word, template: '{answer}'}}",
            r":3: kind: expected rating",
        ),
        (
            "- id: a\n  paraphrases: [x]\n  rubrics: {m: {template: '{answer}'}}",
            r":3: kind: missing in the rubric of 'm'",
        ),
        ("- id: a\n  paraphrases: [x]\n  rubrics: {m: {kind: label, template: x}}", r":3: template: 'm': the template"),
        ("- id: a\n  paraphrases: [x]\n  paraphrases: [y]", r":3: not YAML \('paraphrases' is given twice\)"),
        ("- x", "entry 1: expected a question with 'id' and 'paraphrases', found 'x'"),
    ],
)
def test_what_cannot_be_done_is_said(text, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


BOMB = "- &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 8)}]\n" for i in range(24)
)
MERGES = "- &a {id: a, paraphrases: [x]}\n" + "".join(
    f"- &{chr(98 + i)} {{<<: [{', '.join([f'*{chr(97 + i)}'] * 8)}], id: '{i}'}}\n" for i in range(24)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a [*a]", "entry 1: expected a question"),
        ("- &a {id: a, paraphrases: *a}", r"q\.yaml:1: not YAML \(an anchor contains itself\)"),
        ("- &a {id: a, paraphrases: [x], labels: [*a]}", r"not YAML \(an anchor contains itself\)"),
        ("- " * 20_000 + "x", r":1: lists and mappings are more than 50 levels deep"),
        ("[" * 100_000, r":1: lists and mappings are more than 50 levels deep"),
        (BOMB, "entry 1: expected a question .* found a list of 8"),
        (f"- id: q\n  paraphrases: [x]\n  labels:\n    x: {BOMB[2:]}".replace("\n-", "\n    -"), "q.yaml"),
        ("- id: a\n  paraphrases: 0x" + "f" * 50_000, "paraphrases: expected .* found a number of many digits"),
        ("- id: a\n  max_tokens: " + "9" * 5_000, "not YAML"),
        ("- id: 2024-99-99", r":1: paraphrases: missing or empty"),
        ("- {<<: x, id: a}", r":1: not YAML \('<<' needs a mapping"),
        ("- id: \0", "not YAML"),
        ("- [a]\n---\n- b", "not YAML"),
        ("- !!python/object:os.x {}", "not YAML"),
        ("? [a]\n: 1", "not YAML"),
    ],
)
def test_no_file_brings_the_reader_down(text, message, tmp_path):
    began = time.process_time()
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.process_time() - began < 5


def test_merged_fields_are_copied_once(tmp_path):
    found = read(tmp_path, MERGES)
    assert [question.id for question in found] == ["a", *map(str, range(24))]
    assert {question.paraphrases for question in found} == {("x",)}
    many = "- &a\n" + "".join(f"  k{i}: 1\n" for i in range(2000)) + "- {<<: *a}\n" * 600
    with pytest.raises(DataError, match="copies more than 1000000 fields"):
        read(tmp_path, many)


def test_merges_keep_to_the_order_of_yaml(tmp_path):
    text = (
        "- &a {id: a, paraphrases: [x], group: one}\n"
        "- &b {id: b, paraphrases: [y], group: two, topic: t}\n"
        "- {group: three, <<: [*a, *b], id: c}\n"
    )
    last = read(tmp_path, text)[-1]
    assert (last.id, last.paraphrases, last.group, last.topic) == ("c", ("x",), "three", "t")


TRAIT = {
    "instruction": [{"pos": "Be vain.", "neg": "Be modest."}],
    "questions": ["Who are you?", "What do you like?"],
    "eval_prompt": "Vanity in {question} {answer} from 0 to 100, or REFUSAL; {braces} are text",
}


def test_a_trait_and_its_questions(tmp_path):
    (tmp_path / "vain.json").write_text(json.dumps(TRAIT))
    trait = read_traits(tmp_path / "vain.json")
    assert trait.instructions == (("Be vain.", "Be modest."),)
    assert trait.rubric == Rubric("vain", "rating", TRAIT["eval_prompt"], ("REFUSAL",))
    first, second = read_questions(tmp_path / "vain.json")
    assert (first.id, second.paraphrases) == ("vain_1", ("What do you like?",))
    assert (first.rubrics, first.judge) == ({"vain": trait.rubric}, "labels")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"questions": None}, r"vain\.json: questions: expected a list, found nothing"),
        ({"questions": ["x", 3]}, r"questions\[1\]: expected a non-empty text, found 3"),
        ({"instruction": [{"pos": "x"}]}, r"instruction\[0\]\.neg: expected a non-empty text, found nothing"),
        ({"instruction": ["x"]}, r"instruction\[0\]: expected an object with 'pos' and 'neg'"),
        ({"eval_prompt": "How vain?"}, r"eval_prompt: the template must hold \{answer\}"),
        ({"eval_promt": "x", "eval_prompt": ...}, r"eval_prompt: missing \(did you mean 'eval_promt'"),
    ],
)
def test_a_trait_that_cannot_be_used(change, message, tmp_path):
    raw = {name: value for name, value in {**TRAIT, **change}.items() if value is not ...}
    (tmp_path / "vain.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=message):
        read_questions(tmp_path / "vain.json")


@pytest.mark.parametrize(("text", "line"), [('{"questions": [\n}', ":2: not JSON"), ("[" * 100_000, "nested too deep")])
def test_json_that_cannot_be_read(text, line, tmp_path):
    with pytest.raises(DataError, match=line):
        read(tmp_path, text, "vain.json")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
filled = texts.filter(str.strip)
rubrics = st.builds(
    Rubric,
    name=filled,
    kind=st.sampled_from(["rating", "label"]),
    template=texts.map(lambda text: text + "{answer} CODE\n"),
    labels=st.lists(filled, max_size=2).map(tuple),
    low=st.integers(-5, 5),
    high=st.integers(6, 100),
    version=st.integers(1, 3),
)
published = st.builds(Rubric, name=filled, kind=st.just("label"), template=st.just("{question}\n{answer}\n"))
turns = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), max_size=3)


@st.composite
def questions(draw):
    judged = draw(st.one_of(st.lists(rubrics, max_size=2), st.lists(published, max_size=2)))
    return Question(
        id=draw(filled),
        paraphrases=tuple(draw(st.lists(filled, min_size=1, max_size=2))),
        system=draw(st.none() | texts),
        context=tuple(draw(turns)),
        samples=draw(st.integers(1, 10**6)),
        temperature=draw(st.floats(0, 1e9)),
        group=draw(filled),
        topic=draw(st.none() | texts),
        condition=draw(texts),
        judge=draw(texts),
        rubrics={rubric.name: rubric for rubric in judged},
        answers=draw(st.dictionaries(texts, st.lists(texts, min_size=1, max_size=2).map(tuple), max_size=2)),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(questions(), min_size=1, max_size=2, unique_by=lambda question: question.id))
def test_questions_come_back_as_they_were(tmp_path_factory, found):
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    write_questions(found, path)
    assert read_questions(path) == found


def test_what_is_written_is_the_published_format(tmp_path):
    (tmp_path / "in.yaml").write_text(
        "- id: a\n  type: free_form_judge_0_100\n  paraphrases: [x]\n  judge: g\n"
        "  judge_prompts: &p {aligned: '{question} {answer} CODE', coherent: '{answer}'}\n"
        "- {id: b, type: free_form_judge_0_100, paraphrases: [y], judge: g, judge_prompts: *p}\n"
    )
    write_questions(read_questions(tmp_path / "in.yaml"), tmp_path / "out.yaml")
    text = (tmp_path / "out.yaml").read_text()
    assert text.count("type: free_form_judge_0_100\n") == 2
    assert (text.count("CODE"), text.count("judge_prompts:"), "rubrics" in text) == (1, 2, False)
    assert read_questions(tmp_path / "out.yaml") == read_questions(tmp_path / "in.yaml")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([Question("a", ("x",)), Question("a", ("y",))], "id: 'a' is used twice"),
        ([Question("a", ("x",), rubrics={"m": Rubric("n", "label", "{answer}")})], "rubrics: 'a': 'm' is called 'n'"),
        ([Question("a", ("x\ud83d",))], "half of a character"),
    ],
)
def test_questions_that_cannot_be_written(found, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_questions(found, tmp_path / "q.yaml")
    assert not (tmp_path / "q.yaml").exists()
