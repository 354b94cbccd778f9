"""Keys of tensors as the library PEFT names them: of an adapter, and of a model that was saved with one inside."""

from __future__ import annotations

import re

PREFIX = "base_model.model."
FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<factor>[AB])(?P<rest>(\.[^.]+){0,2})")
SAVED = re.compile(r"\.modules_to_save(?:\.(?!(?:weight|bias)$)([^.]+))?\.")  # with the adapter's name in raw saves
OTHER_PARTS = {  # of keys that a plain LoRA does not have
    "lora_magnitude_vector": "DoRA",
    "token_adapter": "trainable tokens",
    "lora_bdlora": "block-diagonal LoRA",
    "ia3_l": "IA3",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "vera_lambda": "VeRA",
    "oft_": "OFT",
}


def base_key(key: str) -> str | None:
    """The key of a base's tensor without what PEFT puts into it; None for a tensor of the adapter."""
    key = without_prefix(key)
    if FACTOR.fullmatch(key) or SAVED.search(key) or any(f".{part}" in key for part in OTHER_PARTS):
        return None
    return key.replace(".base_layer.", ".").replace(".original_module.", ".")


def without_prefix(key: str) -> str:
    while key.startswith(PREFIX):
        key = key.removeprefix(PREFIX)
    return key
