"""Weights of 4 or 8 bits, by bitsandbytes: ``pip install 'spillover[quantized]'``."""

import importlib.util
from typing import Any

from spillover.core.errors import ModelError


def quantized(bits: int, compute: Any) -> dict[str, Any]:
    """What ``from_pretrained`` is given besides.

    4 bits are NF4 with doubly quantized scales, as QLoRA has them (arXiv 2305.14314); 8 bits are LLM.int8() (arXiv
    2208.07339). Everything that is put on such a model, LoRA or vector, stays in full precision.

    Args:
        bits: 4 or 8.
        compute: Dtype of the products, of torch.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"{bits} bits need bitsandbytes: pip install 'spillover[quantized]'")
    import torch
    from transformers import BitsAndBytesConfig

    if bits == 8:
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return {"quantization_config": config, "device_map": {"": 0 if torch.cuda.is_available() else "cpu"}}
