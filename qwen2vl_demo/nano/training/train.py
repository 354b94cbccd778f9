"""Trains nano from nothing: `python -m qwen2vl_demo.nano.training.train --minutes 90 --out runs/nano`.

Two stages in one run. First the vision transformer alone learns to say what lies under each merged token (dense
labels: a hundred times more signal a picture than an answer gives). Then the language model learns to answer, several
questions a picture, and in the end both learn together. The dense labels go on at a small weight, and layers of the
language model are asked where each merged token lies, what a part of an answer is about (one attention head is shown)
and in which box. Both stages last a share of the minutes asked for, whatever the machine. Stopped runs go on where
their last checkpoint stands; the best checkpoint by held-out score is kept beside the last one.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as RawTokenizer
from torch import nn
from torch.utils.data import DataLoader

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import load_model
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.evaluation.evaluate import evaluate, format_table
from qwen2vl_demo.nano.tokenizer import extend_tokenizer, train_tokenizer, vocabulary_texts, write_tokenizer
from qwen2vl_demo.nano.training.batches import Batch, Conversations
from qwen2vl_demo.nano.training.grow import grown
from qwen2vl_demo.nano.training.muon import Muon
from qwen2vl_demo.nano.training.objective import Lesson
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

LANGUAGE_RATE = 2e-3
VISION_RATE = 1.5e-3  # while it learns alone
VISION_SHARE = 0.7  # of that when it learns to answer, ...
FROZEN = 0.05  # ... after this share of the stage: before, the language model learns to use what it has
MERGER_FIRST = 0.08  # share of the vision stage in which a model that sees only turns its merged tokens to new heads
SAVE_SECONDS = 180
HEADS = Path("training/heads.safetensors")  # in a checkpoint, below it: whoever runs the model does not load them
WARM_UP, DECAY_FROM = 0.02, 0.15  # shares of a stage: the rate rises before the first and falls after the second


def rate_at(share: float) -> float:
    """Factor on the learning rate when `share` of a stage is over: up, flat, then down to a fiftieth."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    return 1.0 if share < DECAY_FROM else max(0.02, (1 - share) / (1 - DECAY_FROM))


class Trainer:
    def __init__(
        self,
        out: Path,
        minutes: float,
        dense_share: float,
        device: str,
        seed: int,
        samples_per_check: int = 60,
        start_from: Path | None = None,
        compiled: bool = False,
    ) -> None:
        """`start_from` is a checkpoint directory whose weights, tokenizer and heads a new run begins with."""
        self.out, self.minutes, self.dense_share, self.device, self.seed = out, minutes, dense_share, device, seed
        self.samples_per_check = samples_per_check  # conversations of each kind
        out.mkdir(parents=True, exist_ok=True)
        raw = self._tokenizer(start_from)
        self.raw_tokenizer = raw
        self.tokenizer = Tokenizer.from_directory(out / "tokenizer")
        self.template = ChatTemplate.from_directory(out / "tokenizer")
        torch.manual_seed(seed)
        self.model = Qwen2VL(nano_config(raw)).to(device)
        self.model.visual.apply(partial(_start, spread=0.05))
        self.model.model.apply(partial(_start, spread=0.02))
        self.new_heads = start_from is not None and not (start_from / HEADS).exists()
        if start_from is not None:
            known = load_model(start_from, device=torch.device(device), dtype=torch.float32)
            self.model.load_state_dict(grown(known.state_dict(), self.model.state_dict(), start_from, raw))
        if compiled:  # what lies between the matrix products, joined: a fifth faster, after a minute
            for layer in self.model.model.layers:
                for name in ("mlp", "input_layernorm", "post_attention_layernorm"):
                    layer.get_submodule(name).compile(dynamic=True)
            for block in self.model.visual.blocks:
                block.get_submodule("mlp").compile(dynamic=True)
        self.lesson = Lesson(self.model, self._token_of, device)
        if start_from is not None and not self.new_heads:
            self._take_heads(load_file(start_from / HEADS, device=device))
        vision, language = self.model.visual, self.model.model
        matrices = [[p for p in part.parameters() if p.ndim == 2] for part in (vision.blocks, language.layers)]
        rest = [
            [p for p in part.parameters() if all(p is not m for m in known)]
            for part, known in zip((vision, language), matrices, strict=True)
        ]
        # The heads go with the language model: they learn while the vision transformer rests, so that what they ask of
        # it later is worth learning.
        rest[1] += self.lesson.heads.parameters()
        # Two groups each: first the vision transformer's, then the language model's.
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon([{"params": p} for p in matrices]),
            torch.optim.AdamW([{"params": p} for p in rest], betas=(0.9, 0.98), weight_decay=0.05),
        ]
        self.elapsed, self.step, self.best = 0.0, 0, 0.0
        self._resume()

    def _take_heads(self, known: dict[str, torch.Tensor]) -> None:
        """Those that ask what they asked then; the others begin anew."""
        own = self.lesson.heads.state_dict()
        same = {name for name, value in own.items() if name in known and known[name].shape == value.shape}
        self.lesson.heads.load_state_dict({name: known[name] if name in same else value for name, value in own.items()})

    def _token_of(self, word: str) -> int | None:
        for text in (f" {word}", word):
            ids = self.tokenizer.encode_text(text)
            if len(ids) == 1 and word:
                return ids[0]
        return None

    def _tokenizer(self, start_from: Path | None) -> RawTokenizer:
        path = self.out / "tokenizer" / "tokenizer.json"
        if not path.exists():
            texts = vocabulary_texts(1500, self.seed)
            if start_from is None:
                raw = train_tokenizer(texts)
            else:
                raw = extend_tokenizer(RawTokenizer.from_file(str(start_from / "tokenizer.json")), texts)
            write_tokenizer(raw, path.parent)
        return RawTokenizer.from_file(str(path))

    def _resume(self) -> None:
        path = self.out / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.lesson.heads.load_state_dict(state["heads"])
        for optimizer, known in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(known)
        self.elapsed, self.step, self.best = state["elapsed"], state["step"], state["best"]
        print(f"going on at step {self.step}, {self.elapsed / 60:.1f} minutes in", flush=True)

    def save(self) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "heads": self.lesson.heads.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "elapsed": self.elapsed,
            "step": self.step,
            "best": self.best,
        }
        unfinished = self.out / "last.pt.part"
        torch.save(state, unfinished)
        unfinished.replace(self.out / "last.pt")

    @property
    def dense_seconds(self) -> float:
        return self.minutes * 60 * self.dense_share

    def batches(self, dense: bool, workers: int) -> DataLoader:
        # A new seed a start: a resumed run must not see the same pictures again.
        data = Conversations(
            self.tokenizer, self.template, self.model.config, seed=self.seed + 1000 + self.step, dense_only=dense
        )
        return DataLoader(data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)

    def train(self, workers: int, check_minutes: float) -> None:
        for dense in (True, False):
            until = self.dense_seconds if dense else self.minutes * 60
            begin = 0.0 if dense else self.dense_seconds
            if self.elapsed >= until:
                continue
            self._stage(dense, begin, until, workers, check_minutes * 60)
        print("done", flush=True)

    def _stage(self, dense: bool, begin: float, until: float, workers: int, check: float) -> None:
        meter: dict[str, list[float]] = {}
        logged = checked = saved = last = time.monotonic()
        for batch in self.batches(dense, workers):
            share = (self.elapsed - begin) / (until - begin)
            factor = rate_at(share)
            for optimizer in self.optimizers:
                vision, language = optimizer.param_groups
                frozen = not dense and share < FROZEN
                vision["lr"] = VISION_RATE * factor * (1.0 if dense else 0.0 if frozen else VISION_SHARE)
                language["lr"] = LANGUAGE_RATE * factor
            if dense and self.new_heads and share < MERGER_FIRST:
                self.optimizers[0].param_groups[0]["lr"] = 0.0
            if batch.kind == "mosaic" and frozen:
                continue
            for name, value in self.learn(batch, dense or batch.kind == "mosaic", frozen).items():
                meter.setdefault(name, []).append(value)
            self.step += 1
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if now - logged > 20:
                line = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in sorted(meter.items()))
                print(f"{self.elapsed / 60:6.1f} min  step {self.step:6d}  rate {factor:.2f}  {line}", flush=True)
                meter, logged = {}, now
            if now - checked > check or self.elapsed >= until:
                if not dense:
                    self._check()
                checked = last = time.monotonic()  # the time of a check is not training time
            if now - saved > SAVE_SECONDS or self.elapsed >= until:
                self.save()
                saved = time.monotonic()
            if self.elapsed >= until:
                return

    def learn(self, batch: Batch, dense: bool, frozen: bool = False) -> dict[str, float]:
        """One step, of the vision transformer alone if `dense`, without it if `frozen`; the parts of the loss."""
        loss, report = self.lesson.loss(batch, dense, frozen)
        self.model.zero_grad(set_to_none=True)
        self.lesson.heads.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for o in self.optimizers for g in o.param_groups for p in g["params"]], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        return report

    def _check(self) -> None:
        self.lesson.forget()
        table = evaluate(self.model, self.tokenizer, self.template, seed=1, samples_per_kind=self.samples_per_check)
        score = sum(row.accuracy for row in table) / len(table)
        print(format_table(table), f"mean over families {score:.3f}", sep="\n", flush=True)
        with (self.out / "log.jsonl").open("a") as log:
            record = {row.family: round(row.accuracy, 4) for row in table}
            log.write(json.dumps({"minutes": self.elapsed / 60, "step": self.step, "score": score, **record}) + "\n")
        if score >= self.best:
            self.best = score
            write_checkpoint(self.model, self.raw_tokenizer, self.out / "best")
            (self.out / "best" / HEADS).parent.mkdir(exist_ok=True)
            save_file(self.lesson.heads.state_dict(), self.out / "best" / HEADS)


def _start(module: nn.Module, *, spread: float) -> None:
    """Initial weights: small ones let the language model learn where to look much sooner."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=spread)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="checkpoints and log; resumed when there")
    parser.add_argument("--minutes", type=float, default=90, help="training time in all, over all resumed runs")
    parser.add_argument("--dense-share", type=float, default=0.15, help="share of it for the vision stage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--check-minutes", type=float, default=6, help="between two evaluations")
    parser.add_argument("--start-from", type=Path, help="a checkpoint, such as assets/nano, that a new run begins with")
    parser.add_argument("--compile", action="store_true", help="compile what can be; wants a C++ compiler")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trainer = Trainer(
        options.out,
        options.minutes,
        options.dense_share,
        options.device,
        options.seed,
        start_from=options.start_from,
        compiled=options.compile,
    )
    trainer.train(options.workers, options.check_minutes)


if __name__ == "__main__":
    main()
