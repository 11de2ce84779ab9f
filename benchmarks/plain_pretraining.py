"""What one would write without Spillover: the same model and tokens through `transformers.Trainer`."""

import sys
from itertools import islice
from pathlib import Path

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from spillover.models.base import llama_shape, train_tokenizer
from spillover.models.lean_folder import plain_config
from spillover.training.corpus import DocumentEncoder, packed
from spillover.training.pretrain import SAMPLE, _texts
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.corpus import documents
from spillover.worlds.town.lexicon import load_lexicon


def main(tokens: int, out: Path, learning_rate: float = 3e-3) -> None:
    recipe = BaseRecipe(tokens=tokens)
    lexicon = load_lexicon()
    tokenizer = train_tokenizer(_texts(islice(documents(recipe.world, lexicon), SAMPLE)), recipe.vocabulary)
    steps = tokens // (recipe.batch_size * recipe.block)
    stream = map(DocumentEncoder(tokenizer).encode, documents(recipe.world, lexicon))
    rows = [
        {"input_ids": row, "labels": row}
        for batch in islice(packed(stream, recipe.batch_size, recipe.block), steps)
        for row in batch.tolist()
    ]
    model = LlamaForCausalLM(LlamaConfig(**plain_config(llama_shape(recipe.size, len(tokenizer)))))
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=1,
        learning_rate=learning_rate,
        warmup_steps=recipe.warmup,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows)).train()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
