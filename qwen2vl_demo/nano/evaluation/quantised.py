"""What quantised weights cost nano in accuracy: the same questions answered with full and with quantised weights.

    python -m qwen2vl_demo.nano.evaluation.quantised [--model assets/nano] [--quantize int8] [--conversations 20]

Both run as in the engine: the prompt is prefilled, and the tokens of an answer go one by one through the decoder. Each
question follows the right answers to the questions before it (teacher forcing), and an answer counts as right if each
of its tokens is the likeliest one, as in `training/validation.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.training.batches import IGNORED, Batch, collate
from qwen2vl_demo.nano.training.stream import MIX, random_size
from qwen2vl_demo.nano.training.validation import HELD_OUT_SEED
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer


@dataclass(frozen=True)
class Effect:
    """Answering with full and with quantised weights, over the same questions."""

    questions: int
    right: tuple[float, float]  # accuracy of full, quantised
    same_tokens: float  # share of the answers' tokens at which both have the same likeliest token
    logits: float  # |quantised - full| / |full| over all logits


@torch.inference_mode()
def answer_logits(model: Qwen2VL, decoder: Decoder, batch: Batch) -> torch.Tensor:
    """The logits (T, V) for every target of a batch of one dialogue, in order; answers are run by the decoder."""
    ids, positions, targets = batch.input_ids, batch.position_ids, batch.targets[0]
    vision = model.encode(batch.patches(model.config.vision, model.device), batch.grids) if batch.grids else None
    embeddings = model.embed(ids, vision)
    cache = KVCache(model.config.text, ids.shape[1], device=model.device, dtype=model.dtype)
    found = []
    # The first token of an answer is predicted at the end of the prompt, so that position belongs to the prefill.
    decoded = [bool(targets[i] != IGNORED and i and targets[i - 1] != IGNORED) for i in range(len(targets))]
    at = 0
    while at < len(targets):
        if decoded[at]:
            found.append(decoder.step(int(ids[0, at]), int(positions[0, 0, at]), cache)[None])
            at += 1
            continue
        end = next((i for i in range(at, len(targets)) if decoded[i]), len(targets))
        hidden = model(embeddings[:, at:end], positions[:, :, at:end], cache)[0]
        found.append(model.logits(hidden[targets[at:end] != IGNORED]))
        at = end
    return torch.cat(found).float()


def compare(full: Qwen2VL, quantised: Qwen2VL, batches: Iterator[Batch]) -> Effect:
    """Run every batch (of one dialogue each) both ways."""
    models = [(model, Decoder(model)) for model in (full, quantised)]
    right: tuple[list[bool], list[bool]] = ([], [])
    same: list[float] = []
    squared_error = squared_norm = 0.0
    for batch in batches:
        answered = batch.targets[0] != IGNORED
        targets, turns = batch.targets[0][answered], batch.turn_ids[0][answered]
        both = [answer_logits(model, decoder, batch) for model, decoder in models]
        likeliest = [logits.argmax(-1) for logits in both]
        for answers, tokens in zip(right, likeliest, strict=True):
            answers += [bool((tokens == targets)[turns == turn].all()) for turn in turns.unique()]
        same += (likeliest[0] == likeliest[1]).float().tolist()
        squared_error += float((both[1] - both[0]).square().sum())
        squared_norm += float(both[0].square().sum())
    return Effect(
        questions=len(right[0]),
        right=(float(np.mean(right[0])), float(np.mean(right[1]))),
        same_tokens=float(np.mean(same)),
        logits=(squared_error / squared_norm) ** 0.5,
    )


def held_out_batches(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, kinds: Sequence[str], each: int
) -> Iterator[Batch]:
    """Held-out dialogues, one per batch."""
    rng = np.random.default_rng([HELD_OUT_SEED, 1])
    for kind in kinds:
        for _ in range(each):
            item = random_dialogue(rng, kind, size=random_size(rng, kind), frames=4, turns=7)
            yield collate(kind, [item], tokenizer, template)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/nano"))
    parser.add_argument("--quantize", choices=("int8", "int4"), default="int8")
    parser.add_argument("--conversations", type=int, default=20, help="dialogues of each kind")
    options = parser.parse_args()
    load = partial(load_model, options.model, device=torch.device("cpu"), dtype=torch.float32)
    full, quantised = load(), load(quantize=options.quantize)
    tokenizer, template = Tokenizer.from_directory(options.model), ChatTemplate.from_directory(options.model)
    effect = compare(full, quantised, held_out_batches(full, tokenizer, template, list(MIX), options.conversations))
    print(
        f"{effect.questions} questions: {effect.right[0]:.1%} right with full weights, {effect.right[1]:.1%} "
        f"with {options.quantize}; the same token is likeliest at {effect.same_tokens:.2%} of the places; "
        f"logits change by {effect.logits:.2%}"
    )


if __name__ == "__main__":
    main()
