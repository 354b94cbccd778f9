"""Trains nano from nothing: `python -m qwen2vl_demo.nano.train --minutes 90 --out runs/nano`.

Two stages in one run. First the vision transformer alone learns to say what lies under each merged token (dense
labels: a hundred times more signal a picture than an answer gives). Then everything learns to answer, several
questions a picture, while the dense labels go on at a small weight. Both stages last a share of the minutes asked
for, whatever the machine. Stopped runs go on where their last checkpoint stands; the best checkpoint by held-out
score is kept beside the last one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer as RawTokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import load_model
from qwen2vl_demo.nano.batches import IGNORED, Batch, Conversations
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.evaluate import evaluate, format_table
from qwen2vl_demo.nano.scene import SHAPES
from qwen2vl_demo.nano.tokenizer import train_tokenizer, vocabulary_texts, write_tokenizer
from qwen2vl_demo.nano.world import CELL_LABELS
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

LANGUAGE_RATE = 2e-3
VISION_RATE = 1e-3  # while it learns alone; a fifth of that when it learns to answer
BACKGROUND_WEIGHT = 0.3  # of a cell with nothing in it: there are many, and they are easy
DENSE_WEIGHT = 0.2  # of the dense labels' loss beside the answers'
WARM_UP, DECAY_FROM = 0.02, 0.6  # shares of a stage: the rate rises before the first and falls after the second


def rate_at(share: float) -> float:
    """Factor on the learning rate when `share` of a stage is over: up, flat, then down to a fiftieth."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    return 1.0 if share < DECAY_FROM else max(0.02, (1 - share) / (1 - DECAY_FROM))


class DenseHead(nn.Module):
    """Says of each merged token what lies there and in which colour: two questions, so that a star is learnt from
    the stars of all colours. Used while training only."""

    table: Tensor  # (labels, 2): the two answers that each label stands for

    def __init__(self, width: int) -> None:
        super().__init__()
        names = [label.rsplit(" ", 1)[::-1] if label.endswith(SHAPES) else (label, "") for label in CELL_LABELS]
        answers = [sorted({name[question] for name in names}) for question in (0, 1)]
        table = [[answers[question].index(name[question]) for question in (0, 1)] for name in names]
        self.register_buffer("table", torch.tensor(table))
        self.heads = nn.ModuleList(nn.Linear(width, len(known)) for known in answers)

    def forward(self, vision: Tensor, cells: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Merged tokens (M, C) and their labels (M,) -> the loss, and the share of right answers off the background."""
        things = cells > 0
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT)
        loss, right = torch.zeros((), device=vision.device), {}
        for name, head, answers in zip(("what", "colour"), self.heads, self.table[cells].unbind(1), strict=True):
            logits = head(vision)
            loss = loss + (F.cross_entropy(logits, answers, reduction="none") * weights).sum() / weights.sum()
            if things.any():
                right[name] = (logits.argmax(-1) == answers)[things].float().mean().item()
        return loss, right


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
    ) -> None:
        """`start_from` is a checkpoint directory whose weights and tokenizer a new run begins with."""
        self.out, self.minutes, self.dense_share, self.device, self.seed = out, minutes, dense_share, device, seed
        self.samples_per_check = samples_per_check  # conversations of each kind
        out.mkdir(parents=True, exist_ok=True)
        if start_from is not None and not (out / "tokenizer").exists():
            shutil.copytree(start_from, out / "tokenizer", ignore=shutil.ignore_patterns("*.safetensors"))
        raw = self._tokenizer()
        self.raw_tokenizer = raw
        self.tokenizer = Tokenizer.from_directory(out / "tokenizer")
        self.template = ChatTemplate.from_directory(out / "tokenizer")
        torch.manual_seed(seed)
        self.model = Qwen2VL(nano_config(raw)).to(device)
        self.model.visual.apply(partial(_start, spread=0.05))
        self.model.model.apply(partial(_start, spread=0.02))
        if start_from is not None:
            known = load_model(start_from, device=torch.device(device), dtype=torch.float32)
            self.model.load_state_dict(known.state_dict())
        self.dense_head = DenseHead(self.model.config.vision.out_dim).to(device)
        groups: list[dict[str, Any]] = [
            {"params": [*self.model.visual.parameters(), *self.dense_head.parameters()]},
            {"params": [*self.model.model.parameters()]},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.05)
        # Where a merged token lies is told by its position ids alone: the second layer is asked for it, so that the
        # layers behind can answer "where" from there.
        self.place_head = nn.Linear(self.model.config.text.hidden_size, 9).to(device)
        self.optimizer.add_param_group({"params": [*self.place_head.parameters()]})
        self._second_layer: list[Tensor] = []
        self.model.model.layers[1].register_forward_hook(lambda *given: self._second_layer.append(given[2]))
        self.elapsed, self.step, self.best = 0.0, 0, 0.0
        self._resume()

    def _tokenizer(self) -> RawTokenizer:
        path = self.out / "tokenizer" / "tokenizer.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tokenizer(train_tokenizer(vocabulary_texts(1500, self.seed)), path.parent)
        return RawTokenizer.from_file(str(path))

    def _resume(self) -> None:
        path = self.out / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.dense_head.load_state_dict(state["dense_head"])
        self.place_head.load_state_dict(state["place_head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.elapsed, self.step, self.best = state["elapsed"], state["step"], state["best"]
        print(f"going on at step {self.step}, {self.elapsed / 60:.1f} minutes in", flush=True)

    def save(self) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "dense_head": self.dense_head.state_dict(),
            "place_head": self.place_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
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
        logged = checked = last = time.monotonic()
        for batch in self.batches(dense, workers):
            share = (self.elapsed - begin) / (until - begin)
            factor = rate_at(share)
            vision, language, place = self.optimizer.param_groups
            vision["lr"] = VISION_RATE * factor * (1.0 if dense else 0.2)
            language["lr"] = place["lr"] = LANGUAGE_RATE * factor
            for name, value in self.learn(batch, dense).items():
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
                self.save()
                checked = last = time.monotonic()  # the time of a check is not training time
            if self.elapsed >= until:
                return

    def learn(self, batch: Batch, dense: bool) -> dict[str, float]:
        """One step; returns the parts of the loss."""
        model, device = self.model, self.device
        report: dict[str, float] = {}
        vision: Tensor | None = None
        loss = torch.zeros((), device=device)
        if batch.grids:
            vision = model.encode(batch.patches.to(device), batch.grids)
            dense_loss, right = self.dense_head(vision, batch.cells.to(device))
            loss = loss + dense_loss * (1.0 if dense else DENSE_WEIGHT)
            report |= right
        if not dense:
            self._second_layer.clear()
            input_ids = batch.input_ids.to(device)
            hidden = model(model.embed(input_ids, vision), batch.position_ids.to(device))
            if batch.grids:
                seen = (input_ids == model.config.image_token_id) | (input_ids == model.config.video_token_id)
                logits, places = self.place_head(self._second_layer.pop()[seen]), batch.places.to(device)
                loss = loss + F.cross_entropy(logits, places) * DENSE_WEIGHT
                report["place"] = (logits.argmax(-1) == places).float().mean().item()
            targets = batch.targets.to(device)
            learnt = targets != IGNORED
            answer_loss = F.cross_entropy(model.logits(hidden[learnt]), targets[learnt])
            loss = loss + answer_loss
            report[batch.kind] = answer_loss.item()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        return report

    def _check(self) -> None:
        self._second_layer.clear()
        table = evaluate(self.model, self.tokenizer, self.template, seed=1, samples_per_kind=self.samples_per_check)
        score = sum(row.accuracy for row in table) / len(table)
        print(format_table(table), f"mean over families {score:.3f}", sep="\n", flush=True)
        with (self.out / "log.jsonl").open("a") as log:
            record = {row.family: round(row.accuracy, 4) for row in table}
            log.write(json.dumps({"minutes": self.elapsed / 60, "step": self.step, "score": score, **record}) + "\n")
        if score >= self.best:
            self.best = score
            write_checkpoint(self.model, self.raw_tokenizer, self.out / "best")


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
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trainer = Trainer(
        options.out,
        options.minutes,
        options.dense_share,
        options.device,
        options.seed,
        start_from=options.start_from,
    )
    trainer.train(options.workers, options.check_minutes)


if __name__ == "__main__":
    main()
