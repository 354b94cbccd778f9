"""Both sides of a comparison on the same random weights: our engine, and transformers' Qwen2-VL.

The shapes are those of the released checkpoints; text is tokenized by nano's tokenizer, so that nothing is downloaded.
The two models share their tensors, so that a comparison needs no more memory than one model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from qwen2vl_demo.bench.measure import Unequal
from qwen2vl_demo.bench.packages import needed
from qwen2vl_demo.checkpoint.placement import Placement
from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions, Result
from qwen2vl_demo.model.decoder import WeightKind
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.processing.tokenizer import Tokenizer
from qwen2vl_demo.released import RELEASED
from qwen2vl_demo.resources import NANO

BLOCK = 16_777_259  # random numbers that are drawn; a prime, so that the rows of a matrix do not repeat in step
GAIN = 1.5  # of a product with random weights: enough for attention that is not uniform and answers of different tokens

_2B, _7B = RELEASED["2B"], RELEASED["7B"]
SHAPES: dict[str, tuple[VisionConfig, TextConfig]] = {
    "2b": (_2B.vision, _2B.text),
    "7b": (_7B.vision, _7B.text),
    # The 2B's widths with a quarter of its layers, for shared or slow machines. What is outside the layers (patch
    # embedding, merger, output layer) takes a larger share than in the true shape.
    "2b_quarter": (replace(_2B.vision, depth=8), replace(_2B.text, num_layers=7)),
    "small": (
        VisionConfig(depth=4, embed_dim=128, num_heads=2, mlp_ratio=4, out_dim=256),
        TextConfig(256, 4, 4, 2, 688, 8192, (8, 12, 12), tie_word_embeddings=True),
    ),
    # As many layers as the released ones and hardly any arithmetic: what remains is the overhead of the host.
    "host": (
        VisionConfig(depth=2, embed_dim=64, num_heads=2, mlp_ratio=2, out_dim=64),
        TextConfig(64, 28, 2, 1, 128, 8192, (4, 6, 6), tie_word_embeddings=True),
    ),
}


def shape_config(shape: str) -> Qwen2VLConfig:
    """The configuration of a shape, with the special ids of nano's tokenizer."""
    vision, text = SHAPES[shape]
    return replace(Qwen2VLConfig.from_file(NANO / "config.json"), vision=vision, text=text)


def random_model(shape: str, device: torch.device, dtype: torch.dtype) -> Qwen2VL:
    with torch.device("meta"):
        model = Qwen2VL(shape_config(shape))
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    block = block.mul_(GAIN * model.config.text.hidden_size**-0.5).to(device, dtype)
    state: dict[str, Tensor] = {}
    at = 0
    for name, empty in model.state_dict().items():
        made = torch.empty(empty.shape, device=device, dtype=dtype)
        flat = made.view(-1)
        done = 0
        while done < len(flat):
            step = min(len(flat) - done, BLOCK - at)
            flat[done : done + step] = block[at : at + step]
            done, at = done + step, (at + step) % BLOCK
        state[name] = made.add_(1) if empty.ndim == 1 and not name.endswith("bias") else made
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def engine_of(model: Qwen2VL, decode: WeightKind = "same") -> LocalEngine:
    """Our engine with this model, nano's tokenizer and the released pixel limits; no token ends an answer."""
    processor = Processor(
        model.config, ImageConfig(), Tokenizer.from_directory(NANO), ChatTemplate.from_directory(NANO)
    )
    placement = Placement(model.device, model.dtype, f"{model.device}; random weights", decode)
    return LocalEngine(model, processor, name="bench", placement=placement, end_tokens=frozenset())


def transformers_of(model: Qwen2VL) -> Any:
    """transformers' model on the same tensors. Raises UserError where it is not installed."""
    transformers = needed("transformers")
    from transformers.models.qwen2_vl import modeling_qwen2_vl as theirs

    config = transformers.Qwen2VLConfig.from_dict(model.config.to_dict())
    with torch.device("meta"):
        peer = transformers.Qwen2VLForConditionalGeneration(config)
    state = {}
    for name, tensor in model.state_dict().items():
        name = f"model.{name}" if name.startswith("visual.") else name.replace("model.", "model.language_model.", 1)
        state[name] = tensor
    state.setdefault("lm_head.weight", state["model.language_model.embed_tokens.weight"])
    peer.load_state_dict(state, strict=True, assign=True)
    inner = peer.model
    inner.language_model.rotary_emb = theirs.Qwen2VLRotaryEmbedding(config=inner.language_model.config)
    inner.visual.rotary_pos_emb = theirs.Qwen2VLVisionRotaryEmbedding(inner.visual.config)
    left = [name for name, tensor in [*peer.named_parameters(), *peer.named_buffers()] if tensor.is_meta]
    assert not left, f"transformers' model has tensors that were not filled: {left[:3]}"
    peer.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
    return peer.to(model.device).requires_grad_(False).eval()


@dataclass(frozen=True)
class Greedy:
    """The tokens of an answer and how fast they came."""

    tokens: tuple[int, ...]
    rate: float  # tokens per second after the first one


def our_answer(engine: LocalEngine, messages: Sequence[Message], new_tokens: int) -> Result:
    """The result of the engine's stream, as the page runs it."""
    result = None
    for chunk in engine.stream(messages, GenerationOptions(max_new_tokens=new_tokens)):
        result = chunk.result or result
    assert result is not None and result.new_tokens == new_tokens
    return result


def our_rate(engine: LocalEngine, messages: Sequence[Message], new_tokens: int) -> float:
    return (new_tokens - 1) / our_answer(engine, messages, new_tokens).timings["decode"]


def our_tokens(engine: LocalEngine, messages: Sequence[Message], new_tokens: int) -> tuple[int, ...]:
    """Greedy tokens of the engine's stream: on a GPU those of the captured step."""
    result = our_answer(engine, messages, new_tokens)
    assert result.trace is not None
    ids = engine.sampled(result.trace, result.text)
    assert ids is not None and len(ids) == new_tokens
    return tuple(ids.tolist())


def peer_inputs(engine: LocalEngine, messages: Sequence[Message]) -> dict[str, Any]:
    """The arguments of transformers' generate for the same prompt, without the pixels."""
    prompt = engine.prompt(messages, GenerationOptions())
    ids = torch.from_numpy(prompt.trace.input_ids)[None].to(engine.model.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if prompt.media:
        inputs["image_grid_thw"] = torch.tensor([m.grid_thw for m in prompt.media], device=ids.device)
        inputs["mm_token_type_ids"] = (ids == engine.model.config.image_token_id).int()
    return inputs


class _Clock:
    """A streamer that records when each token came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Required of a streamer."""


@torch.inference_mode()
def peer_answer(peer: Any, inputs: dict[str, Any], new_tokens: int) -> Greedy:
    """Runs transformers' generate, greedy; the rate is that between its first token and its last."""
    clock = _Clock()
    given = dict(inputs)
    if "pixel_values" in given:
        given["pixel_values"] = given["pixel_values"].to(peer.device, peer.dtype)
    out = peer.generate(**given, max_new_tokens=new_tokens, min_new_tokens=new_tokens, streamer=clock)
    tokens = tuple(out[0, inputs["input_ids"].shape[1] :].tolist())
    _, first, *_, last = clock.times if new_tokens > 1 else (0.0, 0.0, 1.0)  # the first call has the prompt
    return Greedy(tokens, (new_tokens - 1) / (last - first))


def same_tokens(ours: Sequence[int], peer: Sequence[int], what: str) -> str:
    if tuple(ours) != tuple(peer):
        raise Unequal(f"{what}: ours chose the tokens {list(ours)} and transformers {list(peer)}; nothing was timed.")
    return f"the same {len(tuple(ours))} greedy tokens ({what})"


def picture(seed: int, size: tuple[int, int]) -> PIL.Image.Image:
    """A picture of a size (height, width) that is neither flat nor noise: smooth shapes with grain, by seed."""
    rng = np.random.default_rng(seed)
    rough = PIL.Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((size[1], size[0]), PIL.Image.Resampling.BICUBIC)).astype(np.int16)
    return PIL.Image.fromarray((smooth + rng.integers(-8, 8, smooth.shape)).clip(0, 255).astype(np.uint8))
