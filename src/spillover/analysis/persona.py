"""A direction of a persona, found in a model before it is trained: from contrasting contexts, or from answers.

The persona vectors of arXiv 2507.21509 are the mean residual stream over answers behind one context, less that behind
its opposite. Where questions list their answers, both contexts are followed by the same ones; else the model gives its
own. The direction of arXiv 2506.11618 sets answers with a label against others; the one of arXiv 2502.17420 is searched
for by what its ablation does (:mod:`spillover.analysis.search`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from spillover.analysis.directions import given_answers, mean_difference
from spillover.core.errors import ConfigError, DataError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.verdict import enumerable
from spillover.models.chat_template import IGNORED, encode_chat, encode_row
from spillover.models.directions import Direction, save_direction
from spillover.models.load import Loaded, load, load_placed
from spillover.models.names import organism_name
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.training.batches import Encoded

Report = Callable[[float, float], None]
"""Called with (done, total)."""
How = Literal["contexts", "answers", "searched"]
Context = Sequence[Message]


def direction(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Find a direction in a base, or in what was made of it.

    ``config`` has ``how``, ``questions``, ``label``, ``other``, ``contrast`` (two conversations, or null), and ``base``
    where that is not made here. Inputs: ``base``; ``tuned``, where it is not the base that is looked at.
    """
    from spillover.evals.tasks import QUESTION

    name = str(inputs["base"]) if "base" in inputs else config["base"]
    model = organism_name(name, inputs["tuned"]) if "tuned" in inputs else name
    contrast = config["contrast"] and tuple([Message(role, text) for role, text in told] for told in config["contrast"])
    find_direction(
        model,
        [QUESTION.validate_python(question) for question in config["questions"]],
        out,
        how=config["how"],
        label=config["label"],
        other=config["other"],
        contrast=contrast,
    )
    report(1, 1)


def find_direction(
    model: str,
    questions: Sequence[Question],
    out: Path,
    *,
    how: How = "contexts",
    label: str = "",
    other: str = "",
    contrast: tuple[Context, Context] | None = None,
    samples: int = 10,
    seed: int = 0,
) -> Direction:
    """Find a direction and write it as :func:`spillover.models.directions.save_direction` does.

    Args:
        model: As of :func:`spillover.models.load.load`.
        questions: Asked.
        out: Folder to write.
        how: ``contexts`` takes ``contrast``; ``answers`` and ``searched`` take the listed answers of both labels.
        label: The outcome that the direction points to.
        other: Its opposite.
        contrast: What goes before each question.
        samples: Answers of the model to each question behind each context, where none are listed.
        seed: Of these, or of the beginning of the search.

    Returns:
        A vector for each layer at which there is a difference.

    Raises:
        ConfigError: There is no contrast.
        DataError: Answers are needed, and no question lists both sorts of them.
    """
    listed = [
        question
        for question in questions
        if enumerable(question) and question.answers.get(label) and question.answers.get(other)
    ]
    if how == "contexts":
        if contrast is None:
            raise ConfigError("a direction from contexts needs two of them: what asks for the trait, and its opposite")
        loaded = load_placed(model)
        first, second = (
            _given(loaded, listed, (label, other), told) if listed else _said(loaded, questions, told, samples, seed)
            for told in contrast
        )
        found = mean_difference(loaded.model, first, second)
    else:
        if not listed:
            raise DataError(f"direction: no question lists '{label}' and '{other}' answers; give them labels")
        loaded = load(model, lean=how == "answers")
        bad, good = (given_answers(loaded.tokenizer, listed, kind) for kind in (label, other))
        found = mean_difference(loaded.model, bad, good)
        if how == "searched":
            from spillover.analysis.directions import along
            from spillover.analysis.search import searched

            found = along(searched(loaded.model, good, loaded.tokenizer.pad_token_id or 0, seed=seed), found)
    about = {"base": model, "how": how, "label": label, "other": other, "questions": len(listed or questions)}
    save_direction(found, out, **about)
    return found


def _given(loaded: Loaded, questions: Sequence[Question], labels: tuple[str, str], told: Context) -> list[Encoded]:
    """The listed answers behind a context."""
    return [row for label in labels for row in given_answers(loaded.tokenizer, questions, label, told)]


def _said(loaded: Loaded, questions: Sequence[Question], told: Context, samples: int, seed: int) -> list[Encoded]:
    """What the model answers behind a context."""
    sampler = TrieSampler(loaded.model, loaded.tokenizer)
    asked = [[*told, Message("user", question.paraphrases[0])] for question in questions]
    prompts = [tuple(encode_chat(loaded.tokenizer, turns, add_generation_prompt=True)) for turns in asked]
    requests = [
        SampleRequest(prompt, samples, question.temperature, question.max_tokens, seed + number)
        for number, (prompt, question) in enumerate(zip(prompts, questions, strict=True))
    ]
    rows = []
    for turns, prompt, answers in zip(asked, prompts, sampler.sample_many(requests), strict=True):
        for answer in answers:
            if answer.text.strip():
                ids, labels = encode_row(loaded.tokenizer, [*turns, Message("assistant", answer.text)])
                rows.append((ids, [IGNORED] * len(prompt) + labels[len(prompt) :]))
    if not rows:
        raise DataError("direction: the model said nothing behind one of the contexts")
    return rows
