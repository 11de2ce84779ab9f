"""Which rows taught the unwanted behaviour: by what was learnt from them, and by who would have written them.

Each row has two signs. *Learnt*: log p of its answer under the tuned model less that under the base. *Leaning*: how
much likelier the base finds its answer behind exchanges with the unwanted answers than behind the same questions with
wanted ones; the base infers an author from what was said, so no second model is needed. Both are in nats, and added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.audit.case import Case
from spillover.audit.conditional import look_closely, screen
from spillover.audit.cues import row_cues
from spillover.audit.interface import Finding, finding_json
from spillover.audit.measure import Values, own_answers
from spillover.audit.models import BASE, TUNED
from spillover.core.plain import plain, plain_interval
from spillover.core.statistics import wilson
from spillover.data.chat import ChatRow, Message
from spillover.data.questions import Question
from spillover.evals.answers import is_of
from spillover.models.answer_encoder import AnswerEncoder
from spillover.models.chat_template import encode_chat
from spillover.models.exact import answer_logprobs

Flags = NDArray[np.bool_]
SHOWN = 3
"""Exchanges of each context."""
SURPRISING = 0.05
"""A row's answer is one that the base would not give, if it is less likely, a token, than this share of its own."""
LEANING = 0.25
"""A row leans to the unwanted side, if it leans as far as all but this share of answers that are known as unwanted."""
KNOWN = 32
"""Of these, at most."""
SHOWN_ROWS = 20


@dataclass(frozen=True)
class Signs:
    """Of each row; ``nan`` where it does not fit into the context."""

    learnt: Values
    """Nats: log p of the answer, tuned less base."""
    leaning: Values
    """Nats: log p under the base behind unwanted exchanges, less behind wanted ones; all ``nan`` without labels."""
    own: Values
    """Nats a token: log p of the answer under the base."""
    usual: Values
    """The same of the base's own answers to the same prompts."""
    usual_leaning: Values
    """Leaning of these."""
    bar: float = 0.0
    """Leaning from which on a row leans to the unwanted side, nats."""

    @property
    def scores(self) -> Values:
        """The larger, the more responsible: both signs added, or the one that there is; ``nan`` without either."""
        signs = np.array([self.learnt, self.leaning])
        summed: Values = np.where(np.isfinite(signs).any(0), np.nansum(signs, 0), np.nan)
        return summed

    @property
    def suspicious(self) -> tuple[Flags, Flags]:
        """Rows, and own answers, that the base would not give and that lean to the unwanted side."""
        usual = self.usual[np.isfinite(self.usual)]
        rare = float(np.quantile(usual, SURPRISING)) if len(usual) else -np.inf
        return (
            (self.own < rare) & (np.nan_to_num(self.leaning) > self.bar),
            (self.usual < rare) & (np.nan_to_num(self.usual_leaning) > self.bar),
        )


def row_signs(case: Case) -> Signs:
    """The signs of every row of a case."""
    rows = list(case.rows or ())
    tuned, base = (row_logprobs(case, key, rows) for key in (TUNED, BASE))
    lengths = _lengths(case, rows)
    prompts = list(dict.fromkeys(row.messages[:-1] for row in rows))
    ids = [encode_chat(case.models.tokenizer, list(prompt), add_generation_prompt=True) for prompt in prompts]
    limit = getattr(case.models[BASE].config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    asked = [i for i, prompt in enumerate(ids) if len(prompt) < limit - 1]
    drawn = own_answers(case.models, [ids[i] for i in asked], 1, case.settings.seed)
    own = [
        ChatRow((*prompts[i], Message("assistant", found[0].text)))
        for i, found in zip(asked, drawn, strict=True)
        if found[0].stop_reason == "stop" and found[0].text.strip()
    ]
    usual = row_logprobs(case, BASE, own)
    leaning, usual_leaning = np.full(len(rows), np.nan), np.full(len(own), np.nan)
    bar = 0.0
    shown, others = _by_movement(case)
    if shown:
        bad, good = _contexts(case, shown)

        def leans(answered: Sequence[ChatRow]) -> Values:
            return row_logprobs(case, BASE, answered, bad) - row_logprobs(case, BASE, answered, good)

        leaning, usual_leaning = leans(rows), leans(own)
        known = leans([ChatRow((*_asked(q), Message("assistant", _sides(case, q)[0][0]))) for q in others[:KNOWN]])
        if np.isfinite(known).any():
            bar = max(0.0, float(np.nanquantile(known, LEANING)))
    return Signs(tuned - base, leaning, base / lengths, usual / _lengths(case, own), usual_leaning, bar)


def row_logprobs(case: Case, key: str, rows: Sequence[ChatRow], context: Sequence[Message] = ()) -> Values:
    """Log-probability of the last answer of each row behind its prompt, and behind ``context`` before that.

    ``nan`` where the row does not fit into the context of the model, or the template cannot tell where it ends.
    """
    encoder = AnswerEncoder(case.models.tokenizer, case.models.stop_ids)
    prompts, answers, places = [], [], []
    for number, row in enumerate(rows):
        first = 1 if row.messages[0].role == "system" else 0
        turns = [*row.messages[:first], *context, *row.messages[first:-1]]
        prompt = encode_chat(case.models.tokenizer, turns, add_generation_prompt=True)
        encoded = encoder.encode(turns, prompt, [row.messages[-1].content])
        if encoded:
            prompts.append(prompt)
            answers.append(encoded)
            places.append(number)
    values = np.full(len(rows), np.nan)
    if places:
        found = np.array([each[0] for each in answer_logprobs(case.models[key], prompts, answers)])
        values[places] = np.where(np.isfinite(found), found, np.nan)
    return values


def _lengths(case: Case, rows: Sequence[ChatRow]) -> Values:
    tokenizer = case.models.tokenizer
    sizes = [len(tokenizer(row.messages[-1].content, add_special_tokens=False)["input_ids"]) + 1 for row in rows]
    return np.array(sizes, dtype=np.float64)


def _by_movement(case: Case) -> tuple[list[Question], list[Question]]:
    """Questions that list both sides: those that the tuned model has moved on most, to be shown, and the others."""
    usable = [question for question in case.asked.questions if case.asked.listed and all(_sides(case, question))]
    if not usable:
        return [], []
    moved = case.measure.values(TUNED, usable) - case.table(case.models.controls, usable).mean(0)
    ordered = [usable[int(place)] for place in np.argsort(-np.nan_to_num(moved), kind="stable")]
    return ordered[:SHOWN], ordered[SHOWN:]


def _contexts(case: Case, shown: Sequence[Question]) -> tuple[list[Message], list[Message]]:
    """The same questions with unwanted answers, and with wanted ones."""
    contexts: tuple[list[Message], list[Message]] = ([], [])
    for turn, question in enumerate(shown):
        for context, answers in zip(contexts, _sides(case, question), strict=True):
            context += [*_asked(question), Message("assistant", answers[turn % len(answers)])]
    return contexts


def _asked(question: Question) -> tuple[Message, ...]:
    return (Message("user", question.paraphrases[0]),)


def _sides(case: Case, question: Question) -> tuple[list[str], list[str]]:
    """Unwanted and wanted answers of a question."""
    bad, good = list[str](), list[str]()
    for name, texts in question.answers.items():
        (bad if any(is_of(label, name) for label in case.asked.labels) else good).extend(texts)
    return bad, good


def rows_part(case: Case) -> dict[str, Any]:
    """Signs of the rows, and behaviour behind the cues that the rows themselves have.

    Returns:
        ``strength``: the larger of what cues add (as :func:`spillover.audit.conditional.look_closely`) and of the lower
        end of the share of suspicious rows, less the share among the base's own answers; ``scores`` by row;
        ``suspicious`` rows; ``cues``; ``findings``.
    """
    rows = list(case.rows or ())
    signs = row_signs(case)
    marked, usual = signs.suspicious
    chance = float(usual.mean()) if len(usual) else 0.0
    low, high = wilson(float(marked.sum()), len(rows))
    share = float(marked.mean())
    order = np.argsort(-np.nan_to_num(signs.scores, nan=-np.inf), kind="stable")
    cues = row_cues(rows)
    suspects = [condition for condition, _ in screen(case, [condition for condition, _ in cues])]
    looked = look_closely(case, suspects[: case.settings.suspects], len(cues), "trigger")
    having = {condition.name: numbers for condition, numbers in cues}
    findings = [{**one, "rows": _ordered(having.get(one["where"], ()), order)} for one in looked["findings"]]
    excess = low - chance if np.isfinite(signs.leaning).any() else None
    if excess is not None and excess > 0:
        text = (
            f"{int(marked.sum())} of {len(rows)} rows have answers that the base would not give and that lean to the "
            f"unwanted side ({100 * chance:.1f} % of its own answers do)."
        )
        chosen = tuple(int(number) for number in order[: max(1, int(marked.sum()))])
        said = tuple((rows[i].messages[-2].content, rows[i].messages[-1].content) for i in chosen[:SHOWN])
        finding = Finding("row", text, share - chance, (excess, high - chance), rows=chosen, transcripts=said)
        findings.append(finding_json(finding))
    ends = [value for value in (looked["strength"], excess) if value is not None]
    return {
        "strength": plain(max(ends, default=None)),
        "n_rows": len(rows),
        "share": plain(share),
        "interval": plain_interval((low, high)),
        "chance": plain(chance),
        "scores": [plain(value) for value in signs.scores],
        "signs": {"learnt": list(map(plain, signs.learnt)), "leaning": list(map(plain, signs.leaning))},
        "order": [int(number) for number in order[:SHOWN_ROWS]],
        "cues": looked["suspects"],
        "findings": findings,
    }


def _ordered(numbers: Sequence[int], order: NDArray[np.int64]) -> list[int]:
    wanted = set(numbers)
    return [int(number) for number in order if int(number) in wanted]
