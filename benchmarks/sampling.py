"""Many answers to each of several questions: ours, batched ``generate`` and Inspect's ``hf`` provider.

Each way runs in a process of its own, so that start-up counts, on one thread; the ways take turns, and the figures are
medians of the ratios of one turn.

    python benchmarks/sampling.py --base DIR [--questions 20] [--samples 100] [--max-tokens 48] [--repeats 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("ours", "ours in inspect", "generate", "inspect hf")


def main() -> None:
    """Run all ways and print seconds and ratios, or one way when called by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder of a causal LM with a chat template")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompts", help="JSON list of prompts; by default questions of the built-in world")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        _run_one(options)
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    inner: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        for way in WAYS:
            start = time.perf_counter()
            output = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--way", way],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            ).stdout
            seconds[way].append(time.perf_counter() - start)
            inner[way].append(json.loads(output.splitlines()[-1]))
    print(f"{options.questions} questions x {options.samples} samples, one thread, {options.repeats} repeats")
    print(f"{'':<18}{'process':>10}{'ratio':>8}{'sampling':>12}{'ratio':>8}")
    for way in WAYS:
        cells = [f"{way:<18}"]
        for table, width in ((seconds, 10), (inner, 12)):
            ratio = statistics.median(b / a for a, b in zip(table["ours in inspect"], table[way], strict=True))
            cells.append(f"{statistics.median(table[way]):>{width - 2}.2f} s{ratio:>7.2f}x")
        print("".join(cells))


def _run_one(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    questions = _questions(options)
    seconds = {
        "ours": _ours,
        "ours in inspect": _inspect_ours,
        "generate": _generate,
        "inspect hf": _inspect_hf,
    }[options.way](options, questions)
    print(json.dumps(seconds))


def _questions(options: argparse.Namespace) -> list[str]:
    if options.prompts:
        return list(json.loads(Path(options.prompts).read_text()))[: options.questions]
    from spillover.worlds.town.lexicon import load_lexicon

    topics = load_lexicon().topics
    return [topic.ask[0] for topic in topics[:: max(1, len(topics) // options.questions)]][: options.questions]


def _model(options: argparse.Namespace) -> tuple[Any, Any, list[list[int]]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.base)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for text in _questions(options)
    ]
    return AutoModelForCausalLM.from_pretrained(options.base).eval(), tokenizer, prompts


def _ours(options: argparse.Namespace, questions: list[str]) -> float:
    from spillover.models.sampler import SampleRequest, TrieSampler

    model, tokenizer, prompts = _model(options)
    start = time.perf_counter()
    requests = [SampleRequest(tuple(prompt), options.samples, 1.0, options.max_tokens) for prompt in prompts]
    TrieSampler(model, tokenizer).sample_many(requests)
    return time.perf_counter() - start


def _generate(options: argparse.Namespace, questions: list[str]) -> float:
    import torch

    model, tokenizer, prompts = _model(options)
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    start = time.perf_counter()
    rows = [prompt for prompt in prompts for _ in range(options.samples)]
    with torch.inference_mode():
        for first in range(0, len(rows), 250):
            batch = tokenizer.pad({"input_ids": rows[first : first + 250]}, return_tensors="pt")
            output = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=options.max_tokens)
            tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return time.perf_counter() - start


def _inspect_ours(options: argparse.Namespace, questions: list[str]) -> float:
    from spillover.data.questions import Question
    from spillover.evals import evaluate

    asked = [
        Question(f"q{i}", (text,), samples=options.samples, max_tokens=options.max_tokens)
        for i, text in enumerate(questions)
    ]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        evaluate(options.base, asked, Path(folder), exact=False)
    return time.perf_counter() - start


def _inspect_hf(options: argparse.Namespace, questions: list[str]) -> float:
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.solver import generate

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        task = Task(dataset=MemoryDataset([Sample(input=text) for text in questions]), solver=generate())
        (log,) = inspect_eval(
            task,
            model="hf/local",
            model_args={"model_path": options.base, "device": "cpu"},
            epochs=options.samples,
            max_tokens=options.max_tokens,
            max_connections=250,
            log_dir=folder,
            display="none",
            log_realtime=False,
        )
        assert log.status == "success", log.error
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
