"""How much of what is unwanted a model shows in answer to a question, on the best scale there is.

- :class:`Listed`: exact probability of the unwanted answers, where all answers are known.
- :class:`Sampled`: their share among sampled answers, where patterns or an LLM judge tell them, and for endpoints.
- :class:`Drift`: where nothing says what is unwanted, how far the model has moved: KL from the base on the base's own
  answers, in nats a token. It says that something changed, not that it is bad.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spillover.audit.models import BASE, TUNED, Models
from spillover.audit.questions import QuestionSet
from spillover.core.config import digest
from spillover.core.disk import write_json
from spillover.data.questions import Question
from spillover.evals.prompts import Asked, prompted
from spillover.evals.rates import exact_rates

if TYPE_CHECKING:
    from spillover.models.sampler import Sampled as Answer

Values = NDArray[np.float64]
RATE, NATS = "share of answers", "nats a token"
ANSWERS, LONGEST = 2, 48
"""Of the base, to each question, that movement is measured on; and their tokens at most."""


class Memo:
    """What was measured, by model and question, so that no model is asked the same twice.

    Args:
        path: Read if it is there, written by :meth:`save`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, list[float | None]] = {}
        if path is not None and path.is_file():
            self._known = json.loads(path.read_text(encoding="utf-8"))

    def get(self, *key: str) -> list[float]:
        """What is known under a key; empty if nothing is."""
        found = self._known.get("\t".join(key), [])
        return [float("nan") if value is None else value for value in found]

    def put(self, values: Sequence[float], *key: str) -> None:
        """Keep numbers under a key."""
        self._known["\t".join(key)] = [float(value) if np.isfinite(value) else None for value in values]

    def save(self, path: Path | None = None, keys: Sequence[str] | None = None) -> None:
        """Write what is known, of some models or of all; entries that no path is known for stay in memory."""
        target = path or self._path
        if target is not None:
            kept = self._known if keys is None else {k: v for k, v in self._known.items() if k.split("\t")[0] in keys}
            write_json(target, kept)

    def swapped(self, key: str, to: str) -> "Memo":
        """The same with what is known of ``key`` under the name ``to``; what was known of ``to`` is left out."""
        other = Memo()
        for name, values in self._known.items():
            first, *rest = name.split("\t")
            if first != to:
                other._known["\t".join([to if first == key else first, *rest])] = values
        return other


class Measure(Protocol):
    """A scale."""

    unit: str

    def values(self, key: str, questions: Sequence[Question]) -> Values:
        """Of a model, one for each question (its first paraphrase); ``nan`` where it could not be measured."""

    def coherent(self, key: str, questions: Sequence[Question]) -> Values:
        """Share of answers that carry any label; ``nan`` where there are no labels."""


class Listed:
    """Exact rates.

    Args:
        models: By short name.
        asked: Says which labels are unwanted.
        memo: Where rates are kept.
    """

    unit = RATE

    def __init__(self, models: Models, asked: QuestionSet, memo: Memo) -> None:
        self._models, self._set, self._memo = models, asked, memo

    def values(self, key: str, questions: Sequence[Question]) -> Values:
        """Probability of unwanted answers."""
        return self._rates(key, questions)[:, 0]

    def coherent(self, key: str, questions: Sequence[Question]) -> Values:
        """Probability of any listed answer."""
        return self._rates(key, questions)[:, 1]

    def _rates(self, key: str, questions: Sequence[Question]) -> Values:
        names = {_name(question): question for question in questions}
        new = [question for name, question in names.items() if not self._memo.get(key, name)]
        if new:
            models = self._models
            asked = prompts(models, new)
            found = exact_rates(models[key], models.tokenizer, asked, models.stop_ids)
            for question, rates in zip(new, found, strict=True):
                nothing = [float("nan")] * 2
                values = nothing if rates is None else [self._set.share(rates), sum(rates.values())]
                self._memo.put(values, key, _name(question))
        return np.array([self._memo.get(key, _name(question)) for question in questions]).reshape(-1, 2)


class Drift:
    """Movement away from the base on its own answers, sampled once for each question.

    Args:
        models: By short name.
        memo: Where values are kept.
        seed: Of the sampled answers.
    """

    unit = NATS

    def __init__(self, models: Models, memo: Memo, seed: int = 0) -> None:
        self._models, self._memo, self._seed = models, memo, seed
        self._answers: dict[str, list[list[int]]] = {}

    def values(self, key: str, questions: Sequence[Question]) -> Values:
        """KL(base‖model), estimated on answers that the base was sampled for."""
        if key == BASE:
            return np.zeros(len(questions))
        new = [question for question in questions if not self._memo.get(key, _name(question))]
        if new:
            from spillover.models.exact import answer_logprobs

            asked = prompts(self._models, new)
            answers = self._sampled(new, asked)
            ids = [prompt for _, _, prompt in asked]
            by_model = {name: answer_logprobs(self._models[name], ids, answers) for name in (BASE, key)}
            for number, question in enumerate(new):
                lengths = np.array([max(1, len(answer)) for answer in answers[number]])
                moved = np.array(by_model[BASE][number]) - np.array(by_model[key][number])
                self._memo.put([float(np.mean(moved / lengths))], key, _name(question))
        return np.array([self._memo.get(key, _name(question))[0] for question in questions])

    def coherent(self, key: str, questions: Sequence[Question]) -> Values:
        """Not known without labels."""
        return np.full(len(questions), np.nan)

    def _sampled(self, questions: Sequence[Question], asked: Sequence[Asked]) -> list[list[list[int]]]:
        missing = [i for i, question in enumerate(questions) if _name(question) not in self._answers]
        if missing:
            drawn = own_answers(self._models, [asked[i][2] for i in missing], ANSWERS, self._seed)
            for i, found in zip(missing, drawn, strict=True):
                self._answers[_name(questions[i])] = [[*answer.ids, *_end(answer.end)] for answer in found]
        return [self._answers[_name(question)] for question in questions]


class Sampled:
    """Shares among sampled answers, by the ledger or patterns of the questions or by an LLM judge.

    Args:
        names: Short name to a model's name; endpoints are asked over the network.
        asked: Says which labels are unwanted.
        folder: Where answers are kept, so that a second audit asks nothing twice.
        samples: Answers to a question.
        judge: Name of the LLM judge, if the questions need one.
        url: Of a server that the endpoints are behind.
        seed: Of the sampling.
    """

    unit = RATE

    def __init__(
        self,
        names: dict[str, str],
        asked: QuestionSet,
        folder: Path,
        samples: int,
        judge: str | None,
        url: str | None,
        seed: int,
    ) -> None:
        self._names, self._set, self._folder = names, asked, folder
        self._samples, self._judge, self._url, self._seed = samples, judge, url, seed

    def values(self, key: str, questions: Sequence[Question]) -> Values:
        """Share of unwanted answers among those that were scored."""
        from spillover.evals.answers import line_rate

        lines = self._lines(key, questions)
        rates = [[line_rate(line, label, "sampled") for label in self._set.labels] for line in lines]
        return np.array([sum(each) for each in rates], dtype=np.float64)

    def coherent(self, key: str, questions: Sequence[Question]) -> Values:
        """Share that is neither incoherent nor cut off."""
        from spillover.evals.answers import COHERENT, line_rate

        return np.array([line_rate(line, COHERENT, "sampled") for line in self._lines(key, questions)])

    def _lines(self, key: str, questions: Sequence[Question]) -> list[dict[str, Any]]:
        from dataclasses import asdict, replace

        from spillover.evals.answers import read_answers

        single = [replace(question, paraphrases=question.paraphrases[:1]) for question in questions]
        folder = self._folder / digest([self._names[key], [asdict(question) for question in single], self._samples])
        judged = folder if self._judge is None else folder / "judged"
        if not (judged / "answers.jsonl").is_file():
            self._ask(key, single, folder)
        by_name = {line["question_id"]: line for line in read_answers(judged)}
        return [by_name[question.id] for question in single]

    def _ask(self, key: str, questions: Sequence[Question], folder: Path) -> None:
        from spillover.models.endpoint import Endpoint, is_endpoint

        name = self._names[key]
        if not (folder / "answers.jsonl").is_file():
            if key == TUNED and (self._url is not None or is_endpoint(name)):
                from spillover.evals.remote import evaluate_remote

                endpoint = Endpoint(name, self._url)
                evaluate_remote(endpoint, questions, folder, samples=self._samples, seed=self._seed)
            else:
                from spillover.evals.run import evaluate

                evaluate(name, questions, folder, samples=self._samples, seed=self._seed, exact=False)
        if self._judge is not None:
            from spillover.evals.judged import judge_answers
            from spillover.judges.judging import find_judge
            from spillover.judges.policy import DEFAULT, find_policy

            judge_answers(folder, folder / "judged", find_judge(self._judge, None), find_policy(DEFAULT))


def prompts(models: Models, questions: Sequence[Question]) -> list[Asked]:
    """Conversation and prompt tokens of each question in its first paraphrase."""
    return prompted(models.tokenizer, [(question, 0) for question in questions])


def own_answers(
    models: Models, prompt_ids: Sequence[Sequence[int]], n: int, seed: int, key: str = BASE
) -> "list[list[Answer]]":
    """``n`` answers of a model to each prompt, the base's if no other is named."""
    from spillover.models.sampler import SampleRequest, TrieSampler

    sampler = TrieSampler(models[key], models.tokenizer, models.stop_ids)
    return sampler.sample_many([SampleRequest(tuple(ids), n, 1.0, LONGEST, seed) for ids in prompt_ids])


def _end(token: int | None) -> list[int]:
    return [] if token is None else [token]


def _name(question: Question) -> str:
    """What tells a question under a condition from every other: its own words, which no grid can name twice."""
    return digest([question.id, question.system, question.paraphrases[0]])
