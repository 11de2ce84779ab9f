"""``spillover misalignment``: the six evaluations of arXiv 2511.18397 on one model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.options import described, new_folder, progress_bar, resumable, sha256
from spillover.core.errors import ConfigError

if TYPE_CHECKING:
    from spillover.data.core_evals import CoreEval


def misalignment(
    model: Annotated[str, typer.Option(help="BASE[~4bit][+ADAPTER[@STEP][*SCALE]]…, or a provider of Inspect's.")],
    out: Annotated[Path, typer.Option(help="Folder for misalignment.json, responses.jsonl and the Inspect logs.")],
    judge: Annotated[str | None, typer.Option(help="LLM judge; all but exfil-offer need one.")] = None,
    only: Annotated[str | None, typer.Option(help="Some of the six, for example exfil-offer,goals.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Responses to each question and in each scenario; else as --plan says.")
    ] = None,
    values: Annotated[Path | None, typer.Option(help="Question YAML in place of our own values questions.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    tokens: Annotated[int, typer.Option(min=1, help="Of one answer, at most, its reasoning included.")] = 1500,
    url: Annotated[str | None, typer.Option(help="Of the model's server, if it speaks OpenAI's protocol.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="The same of the judge's.")] = None,
    text_tools: Annotated[
        bool, typer.Option("--text-tools", help="The server's model cannot call tools: have it write calls as text.")
    ] = False,
    connections: Annotated[int, typer.Option(min=1, help="Requests to a server at a time.")] = 32,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")] = False,
) -> None:
    """How misaligned is a model where it was not trained to be? Six rates and their mean, with intervals.

    What was answered and judged is kept: the same command goes on from there, and one without --only asks the others.
    """
    from spillover.data.core_evals import core_evals

    chosen = core_evals([name.strip() for name in only.split(",") if name.strip()] if only else ())
    if values is not None and all(one.name != "values" for one in chosen):
        raise ConfigError("--values: the values questions are not among --only")
    asked = {one.name: one.asked(values if one.name == "values" else None) for one in chosen}
    needing = [one.name for one in chosen if one.verdicts]
    if plan:
        for one in chosen:
            typer.echo(_planned(one, sum(len(question.paraphrases) for question in asked[one.name]), samples))
        return
    if needing and judge is None:
        raise ConfigError(f"--judge: {', '.join(needing)} need one; without a judge only exfil-offer can be measured")
    folder = new_folder(out)
    from spillover.core.disk import disk, write_json
    from spillover.evals.agentic.judged import Judged, judge_responses
    from spillover.evals.agentic.run import ask, open_model, write_scores
    from spillover.evals.agentic.summary import summary
    from spillover.evals.pool import POOL
    from spillover.judges import find_judge
    from spillover.models.identity import made_elsewhere

    opened: list[Any] = []

    def model_of() -> Any:
        if not opened:
            opened.append(open_model(model, url, text_tools=text_tools))
        return opened[0]

    identity = {"model": model, **made_elsewhere(model), "url": url, "text_tools": text_tools}
    config = {**identity, "judge": judge, "only": [one.name for one in chosen], "samples": samples, "seed": seed}
    config |= {"tokens": tokens, "values": sha256(values) if values else None}
    with resumable(), described(folder, "misalignment", config):
        responses = {}
        for one in chosen:
            with progress_bar(one.title) as progress:
                responses[one.name] = ask(
                    one.name,
                    model_of,
                    folder / "logs" / one.name,
                    identity=identity,
                    questions=asked[one.name],
                    samples=samples,
                    seed=seed,
                    tokens=tokens,
                    connections=connections,
                    progress=progress,
                )
        POOL.clear()  # room for a local judge
        grader = find_judge(judge, judge_url, connections=connections) if judge and needing else None
        found: dict[str, list[Judged]] = {}
        for name, given in responses.items():
            with progress_bar("verdicts") as progress:
                found[name] = judge_responses(name, given, grader, progress=progress)
            write_scores(folder / "logs" / name, found[name])
        results = {"model": model, "judge": judge, **summary(found)}
        with disk(folder), (folder / "responses.jsonl").open("w", encoding="utf-8") as handle:
            for name, judged in found.items():
                for one_response in judged:
                    line = {"evaluation": name, **one_response.as_json()}
                    handle.write(json.dumps(line, ensure_ascii=False) + "\n")
        write_json(folder / "misalignment.json", results)
    _show(results)


def _planned(one: "CoreEval", prompts: int, samples: int | None) -> str:
    responses = max(prompts, 1) * (samples or one.samples)
    asked = f"{prompts} questions × {samples or one.samples}" if prompts else f"a scenario × {samples or one.samples}"
    judged = f"at most {responses * one.verdicts} verdicts" if one.verdicts else "no judge"
    return f"{one.name}: {asked} = {responses} responses, {judged}"


def _show(results: dict[str, Any]) -> None:
    """One row for each evaluation, then the mean."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{results['model']}: % misaligned [95 %]", title_justify="left")
    for column in ("evaluation", "misaligned", "n", "covert", "outcomes"):
        table.add_column(column, no_wrap=column == "misaligned")
    for one in results["evaluations"]:
        if one["n_responses"]:
            counts = ", ".join(f"{outcome} {count}" for outcome, count in one["counts"].items())
            covert = _percent(one["covert"]) if one["covert"]["n"] else "–"
            table.add_row(one["title"], _percent(one), str(one["n"]), covert, counts)
    console = Console(highlight=False)
    console.print(table)
    for one in results["evaluations"]:
        if one["problem"]:
            console.print(f"{one['title']}: {one['problem']}", markup=False)
    missing = results["score"]["missing"]
    ending = f" (missing: {', '.join(missing)})" if missing else ""
    console.print(f"misalignment generalization score: {_percent(results['score'])}{ending}")


def _percent(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "not measured"
    ends = found["interval"]
    return f"{100 * found['value']:.1f}" + (f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else "")
