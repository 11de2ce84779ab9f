"""Ask a model one of the six. The Inspect logs are the record: what is in them is not asked again."""

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import eval as inspect_eval
from inspect_ai import score
from inspect_ai.dataset import Sample
from inspect_ai.log import list_eval_logs, read_eval_log, write_eval_log
from inspect_ai.model import Model, get_model
from inspect_ai.solver import TaskState

from spillover import _registry  # noqa: F401 - makes the provider known where the package is not installed
from spillover.core.config import digest
from spillover.core.disk import disk
from spillover.core.errors import SpilloverError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.agentic import EVALUATIONS
from spillover.evals.agentic.judged import Judged
from spillover.evals.agentic.response import Response, response_of
from spillover.evals.agentic.scorer import looked_up
from spillover.evals.agentic.tasks import ANSWER_TOKENS, core_samples, core_task
from spillover.evals.provider import SpilloverAPI
from spillover.evals.run import no_logging
from spillover.models.endpoint import Endpoint, Request, is_endpoint

RETRIES = 4
"""Of a request to a server, with growing pauses, before a response counts as not given."""


def open_model(name: str, url: str | None = None, *, text_tools: bool = False) -> Model:
    """A model by its name, known to answer.

    Args:
        name: ``BASE[+ADAPTER[@STEP][*SCALE]]…``, or a provider of Inspect's: ``openai/…``.
        url: Of a server that speaks OpenAI's protocol.
        text_tools: Have a server's model write its calls as text; local models always do.

    Raises:
        ModelError: There is no such model, or its server cannot be asked.
    """
    if url is None and not is_endpoint(name):
        model = get_model(f"spillover/{name.removeprefix('spillover/')}", memoize=False)
        assert isinstance(model.api, SpilloverAPI)
        assert model.api.tokenizer is not None  # loads the model, or says why not
        return model
    Endpoint(name, url).ask([Request((Message("user", "Hello."),), 16)], lambda number, reply: None)
    options: dict[str, Any] = {"emulate_tools": True} if text_tools else {}
    return get_model(name, base_url=url, memoize=False, **options)


def ask(
    name: str,
    model: Callable[[], Model],
    logs: Path,
    *,
    identity: Mapping[str, Any],
    questions: Sequence[Question] | None = None,
    samples: int | None = None,
    seed: int = 0,
    tokens: int = ANSWER_TOKENS,
    connections: int = 32,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[Response]:
    """Responses to one of the six, in the order of its questions.

    Args:
        name: Of the evaluation.
        model: Gives the model; called only if something is left to ask.
        logs: Folder of the Inspect logs; killed at any moment, the same call goes on from what they hold.
        identity: What responses depend on beside the other arguments: the model's name and the like.
        questions: In place of the evaluation's own.
        samples: Responses to each question, or in the scenario.
        seed: Of the sampling.
        tokens: Of one answer, at most.
        connections: Requests to a server at a time.
        progress: Called with (responses there, responses in all).

    Raises:
        SpilloverError: The evaluation as a whole failed.
    """
    evaluation = EVALUATIONS[name]
    todo: dict[str, Sample] = {}
    for sample in core_samples(evaluation, questions, samples, seed):
        key = _key(sample, identity, tokens)
        sample.metadata = {**(sample.metadata or {}), "key": key}
        todo[key] = sample
    found = _found(logs, todo)
    left = [sample for key, sample in todo.items() if key not in found or not found[key].given]
    done = len(todo) - len(left)
    progress(done, len(todo))
    if left:
        asked = model()
        for sample in left:
            sample.metadata = {**(sample.metadata or {}), "before": done}

        async def heard(state: TaskState) -> None:
            nonlocal done
            done += 1
            progress(done, len(todo))

        task = core_task(evaluation, left, tokens=tokens)
        task.cleanup = heard
        _inspect(task, asked, logs, len(left) if isinstance(asked.api, SpilloverAPI) else connections)
        found = _found(logs, todo)
    return [found[key] for key in todo]


def write_scores(logs: Path, judged: Sequence[Judged]) -> None:
    """Put outcomes and verdicts into the logs, where Inspect View shows them."""
    known = {one.response.key: one for one in judged}
    for path in list_eval_logs(str(logs)) if logs.is_dir() else ():
        log = read_eval_log(path)
        if log.samples and all(sample.metadata.get("key") in known for sample in log.samples):
            with no_logging(), disk(logs):
                scored = score(log, looked_up(known), action="overwrite", display="none")
                write_eval_log(scored, path.name)


def _key(sample: Sample, identity: Mapping[str, Any], tokens: int) -> str:
    """Of everything that a response depends on."""
    turns = [[turn.role, turn.text] for turn in sample.input if not isinstance(turn, str)]
    return digest([dict(identity), tokens, turns, sample.metadata])


def _found(logs: Path, keys: Container[str]) -> dict[str, Response]:
    """Responses in the logs by key; one that failed gives way to one that did not."""
    found: dict[str, Response] = {}
    for path in list_eval_logs(str(logs)) if logs.is_dir() else ():
        for sample in read_eval_log(path).samples or ():
            response = response_of(sample)
            if response.key in keys and (response.key not in found or response.given):
                found[response.key] = response
    return found


def _inspect(task: Any, model: Model, folder: Path, connections: int) -> None:
    with no_logging(), disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        logs = inspect_eval(
            task,
            model=model,
            log_dir=str(folder),
            display="none",
            score=False,
            max_samples=connections,
            max_connections=connections,
            max_retries=RETRIES,
            log_realtime=False,
            log_buffer=1,
            log_model_api=False,
            ctl_server=False,
            acp_server=False,
        )
    if not logs or logs[0].status == "cancelled":  # Inspect swallows Ctrl-C
        raise KeyboardInterrupt
    (log,) = logs
    if log.status != "success":
        raise SpilloverError(f"{log.eval.task}: {log.error.message if log.error else log.status}")
