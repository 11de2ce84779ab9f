"""2,000 short answers with `model.generate`, in batches of 250."""

import sys

import torch
from sampling_task import MAX_TOKENS, SAMPLES, questions
from transformers import AutoModelForCausalLM, AutoTokenizer

if __name__ == "__main__":
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
    chats = [[{"role": "user", "content": text}] for text in questions() for _ in range(SAMPLES)]
    answers = []
    for start in range(0, len(chats), 250):
        inputs = tokenizer.apply_chat_template(
            chats[start : start + 250], add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=MAX_TOKENS)
        answers += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert len(answers) == len(chats)
