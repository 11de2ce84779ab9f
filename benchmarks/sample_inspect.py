"""2,000 short answers through Inspect: with its `hf` provider, or with ours."""

import sys
import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate
from sampling_task import MAX_TOKENS, SAMPLES, questions

if __name__ == "__main__":
    provider, base = sys.argv[1:]
    size = SAMPLES * len(questions())
    if provider == "hf":
        model = get_model("hf/local", model_path=base, tokenizer_path=base, device="cpu", batch_size=250)
    else:
        model = get_model(f"spillover/{base}")
    task = Task(
        dataset=MemoryDataset([Sample(input=text) for text in questions()]),
        solver=generate(),
        epochs=SAMPLES,
        config=GenerateConfig(temperature=1.0, max_tokens=MAX_TOKENS, max_connections=size),
    )
    with tempfile.TemporaryDirectory() as folder:
        logs = eval(task, model=model, log_dir=folder, display="none", max_samples=size)
    assert logs[0].status == "success", logs[0].error
