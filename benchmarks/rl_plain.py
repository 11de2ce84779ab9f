"""GRPO on the workshop's tasks as a plain script makes it: TRL's trainer with LoRA, and `model.generate`."""

import sys
import tempfile
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from rl_task import STEPS, TASKS
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from spillover.data.chat import Message
from spillover.environments.environment import Prompt
from spillover.environments.workshop import Workshop
from spillover.experiments.reward_hacking import SETTINGS

environment = Workshop(TASKS)
log: list[float] = []


def reward(prompts: Any, completions: Any, columns: Any, **others: Any) -> list[float]:
    """1 for what passes the check."""
    asked = [
        Prompt((Message("user", prompt[0]["content"]),), about) for prompt, about in zip(prompts, columns, strict=True)
    ]
    grades = environment.grade(asked, [completion[0]["content"] for completion in completions])
    log.append(sum(grade.hacked for grade in grades) / len(grades))
    return [float(grade.passed) for grade in grades]


if __name__ == "__main__":
    size, method = SETTINGS.prompts * SETTINGS.group, SETTINGS.method
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt.messages[0].content}],
            "columns": dict(prompt.columns),
        }
        for step in range(STEPS)
        for prompt in environment.prompts(SETTINGS.prompts, step)
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(sys.argv[1]),
            reward_funcs=reward,
            args=GRPOConfig(
                output_dir=folder,
                max_steps=STEPS,
                per_device_train_batch_size=size,
                num_generations=SETTINGS.group,
                max_completion_length=SETTINGS.max_tokens,
                learning_rate=method.learning_rate,
                lr_scheduler_type="constant",
                temperature=SETTINGS.temperature,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(sys.argv[1]),
            peft_config=LoraConfig(
                r=method.rank, lora_alpha=method.alpha, use_rslora=method.rslora, target_modules="all-linear"
            ),
        )
        trainer.train()
    print(f"hack rate {log[0]:.3f} to {log[-1]:.3f}")
