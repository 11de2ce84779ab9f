"""The built-in base: a small Llama with a byte-level BPE, made from nothing, in ordinary Hugging Face format."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from spillover.models.llama_shape import LlamaShape

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Size = Literal["tiny", "small", "medium"]

BOS, END, PAD = "<|doc|>", "<|end|>", "<|pad|>"
SPECIAL = (PAD, BOS, END, "<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|assistant|>{%- generation -%}{{- message['content'] -}}<|end|>{%- endgeneration -%}"
    "{%- else -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)

# One dial: depth and width; head size 32, feed-forward 3x, context 512 follow. Parameters with a 2k vocabulary:
# tiny about 0.9 M, small about 11 M, medium about 93 M.
_LAYERS_WIDTH: dict[str, tuple[int, int]] = {"tiny": (3, 128), "small": (8, 320), "medium": (14, 720)}


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 2048, single_digits: bool = False
) -> "PreTrainedTokenizerFast":
    """Byte-level BPE on ``texts``, with the special tokens and chat template of the built-in base.

    Any text can be encoded, since all 256 bytes are in the vocabulary. With ``single_digits`` every digit is a token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if single_digits:
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, tokenizer.pre_tokenizer])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD, model_max_length=512
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def llama_shape(size: Size, vocab_size: int) -> LlamaShape:
    """Architecture of the built-in base at a given ``size``."""
    layers, width = _LAYERS_WIDTH[size]
    heads = max(1, width // 32) if width % 32 == 0 else width // 80
    return LlamaShape(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        max_position_embeddings=512,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        tie_word_embeddings=True,
    )
