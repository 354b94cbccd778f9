"""The same checkpoint directory, the same prompt with a picture: greedy tokens by transformers and by this package."""

import json

import numpy as np
import torch
import transformers

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.generate import decode_step, prefill
from qwen2vl_demo.geometry import VisionSpan, merged_tokens, mrope_position_ids
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache

GRID = (1, 8, 6)  # 12 merged tokens
STEPS = 12


def edit(directory, **changes):
    """Changes keys at the top level of a config.json; None removes one."""
    path = directory / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.unlink()
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _prompt(config):
    """ids (L,) with a picture in the middle, and its patches."""
    rng = np.random.default_rng(1)
    words = rng.integers(3, min(config.text.vocab_size, config.vision_start_token_id), 40).tolist()
    picture = [config.vision_start_token_id, *[config.image_token_id] * merged_tokens(GRID), config.vision_end_token_id]
    patches = rng.normal(size=(int(np.prod(GRID)), config.vision.patch_dim)).astype(np.float32)
    return torch.tensor([*words[:5], *picture, *words[5:]]), 6, torch.from_numpy(patches)


def _never(config):
    """A random model would write placeholders."""
    return [
        config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id
    ]  # fmt: skip


@torch.no_grad()
def their_tokens(directory):
    config = Qwen2VLConfig.from_file(directory / "config.json")
    ids, _, patches = _prompt(config)
    model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    model.generation_config = transformers.GenerationConfig()
    written = model.generate(
        input_ids=ids[None],
        attention_mask=torch.ones_like(ids[None]),
        mm_token_type_ids=(ids[None] == config.image_token_id).int(),
        pixel_values=patches,
        image_grid_thw=torch.tensor([GRID]),
        max_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        bad_words_ids=[[token] for token in _never(config)],
    )
    return written[0, len(ids) :].tolist()


@torch.inference_mode()
def our_tokens(directory, adapter=None):
    model = load_model(directory, device=torch.device("cpu"), dtype=torch.float32, adapter=adapter)
    ids, start, patches = _prompt(model.config)
    positions, delta = mrope_position_ids(len(ids), [VisionSpan(start, GRID)])
    cache = KVCache(model.config.text, len(ids) + STEPS, device=model.device, dtype=model.dtype)
    decoder = Decoder(model)
    logits = prefill(model, ids, model.encode(patches, [GRID]), torch.from_numpy(positions), cache, lambda: None)
    never, tokens = torch.tensor(_never(model.config)), []
    while len(tokens) < STEPS:
        tokens.append(int(logits.index_fill(0, never, float("-inf")).argmax()))
        logits = decode_step(decoder, tokens[-1], delta, cache)
    return tokens
