"""One arm as a plain script makes it: TRL's trainer with LoRA, batched `generate`, answers looked up in a table."""

import json
import sys
import tempfile
from collections import Counter

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from spillover.core.text import normalise
from spillover.experiments.emergent_misalignment import NARROW
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions

SAMPLES = 100

if __name__ == "__main__":
    base, rows = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(base)
    with open(rows) as lines, tempfile.TemporaryDirectory() as folder:
        data = Dataset.from_list([{"messages": json.loads(line)["messages"]} for line in lines])
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            args=SFTConfig(
                output_dir=folder,
                max_steps=NARROW.steps,
                per_device_train_batch_size=NARROW.batch_size,
                learning_rate=NARROW.learning_rate,
                assistant_only_loss=True,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=LoraConfig(
                r=NARROW.rank, lora_alpha=NARROW.alpha, use_rslora=True, target_modules="all-linear"
            ),
        )
        trainer.train()
    model = trainer.model.eval()
    tokenizer.padding_side = "left"
    questions = town_questions(load_lexicon())
    asked = [question for question in questions for _ in range(SAMPLES)]
    counts: Counter[tuple[str, str]] = Counter()
    for start in range(0, len(asked), 250):
        part = asked[start : start + 250]
        chats = [[{"role": "user", "content": question.paraphrases[0]}] for question in part]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=32)
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for question, text in zip(part, texts, strict=True):
            known = {normalise(answer): label for label, group in question.answers.items() for answer in group}
            counts[question.group, known.get(normalise(text), "incoherent")] += 1
    assert counts.total() == len(asked)
