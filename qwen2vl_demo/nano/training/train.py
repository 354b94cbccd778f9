"""Train nano from scratch: `python -m qwen2vl_demo.nano.training.train --minutes 90 --out runs/nano`.

A run has two stages. In the vision stage the vision transformer learns alone, from dense labels: what each merged token
shows, which is a hundred times as much signal per picture as an answer. In the answer stage the language model learns
to answer several questions per picture, at first with the vision transformer frozen. The dense labels stay as an
auxiliary loss, and layers of the language model are supervised with the position of each merged token, what each part
of an answer is about (for one attention head), and its box.

Each stage lasts a share of the given minutes, however fast the machine is. A stopped run resumes from its last
checkpoint, `last.pt`; the checkpoint with the best validation score is kept in `best/`.

On a GPU, with drawings and typefaces at hand (`world/icons.py`, `world/fonts.py`) and a core for each worker:

    python -m qwen2vl_demo.nano.training.train --start-from assets/nano --device cuda --workers 15 --batch-scale 8 \\
        --minutes 8.5 --dense-share 0.22 --check-minutes 10

Validation at the end and files take about a minute more.
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

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.tokenizer import extend_tokenizer, train_tokenizer, vocabulary_texts, write_tokenizer
from qwen2vl_demo.nano.training.batches import Batch
from qwen2vl_demo.nano.training.grow import grow_weights
from qwen2vl_demo.nano.training.muon import Muon
from qwen2vl_demo.nano.training.objective import TrainingLoss
from qwen2vl_demo.nano.training.schedule import FROZEN, MERGER_FIRST, rates_at
from qwen2vl_demo.nano.training.stream import BatchStream
from qwen2vl_demo.nano.training.validation import format_table, validate
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

SAVE_SECONDS = 60
HEADS = Path("training/heads.safetensors")  # in a checkpoint; in a subfolder, so that no other program loads it


class Trainer:
    """A training run in a directory: its model, objective, optimizers and progress."""

    def __init__(
        self,
        out: Path,
        minutes: float,
        dense_share: float,
        device: str,
        seed: int,
        dialogues_per_check: int = 60,
        start_from: Path | None = None,
        compiled: bool = False,
        batch_scale: int = 1,
    ) -> None:
        """`start_from` is a checkpoint directory whose weights, tokenizer and auxiliary heads a new run starts with.

        If `out` holds a `last.pt`, the run is resumed from it.
        """
        self.out, self.minutes, self.dense_share, self.device, self.seed = out, minutes, dense_share, device, seed
        self.batch_scale, self.dialogues_per_check = batch_scale, dialogues_per_check  # dialogues of each kind
        if self.device.startswith("cuda"):
            torch.set_float32_matmul_precision("high")
        out.mkdir(parents=True, exist_ok=True)
        raw = self.raw_tokenizer = self._tokenizer(start_from)
        self.tokenizer = Tokenizer.from_directory(out / "tokenizer")
        self.template = ChatTemplate.from_directory(out / "tokenizer")
        torch.manual_seed(seed)
        self.model = Qwen2VL(nano_config(raw))
        self.model.visual.apply(partial(_init_weights, std=0.05))
        self.model.model.apply(partial(_init_weights, std=0.02))
        self.new_heads = start_from is not None and not (start_from / HEADS).exists()
        if start_from is not None:
            old = load_model(start_from, device=torch.device("cpu"), dtype=torch.float32)
            self.model.load_state_dict(grow_weights(old.state_dict(), self.model.state_dict(), start_from, raw))
        self.model.to(device)
        mrope = self.model.model.mrope  # not a module
        mrope.axes, mrope.frequencies = mrope.axes.to(device), mrope.frequencies.to(device)
        if compiled:  # fuses the operations between the matrix products: a fifth faster, after a minute of compilation
            for layer in self.model.model.layers:
                for name in ("mlp", "input_layernorm", "post_attention_layernorm"):
                    layer.get_submodule(name).compile(dynamic=True)
            for block in self.model.visual.blocks:
                block.get_submodule("mlp").compile(dynamic=True)
        self.objective = TrainingLoss(self.model, self._token_of, device)
        if start_from is not None and not self.new_heads:
            self._load_heads(load_file(start_from / HEADS, device=device))
        vision, language = self.model.visual, self.model.model
        matrices = [[p for p in part.parameters() if p.ndim == 2] for part in (vision.blocks, language.layers)]
        rest = [
            [p for p in part.parameters() if all(p is not m for m in in_muon)]
            for part, in_muon in zip((vision, language), matrices, strict=True)
        ]
        # The heads share the language model's group: they are trained while the vision transformer is frozen, so that
        # their gradients are useful once it is not.
        rest[1] += self.objective.heads.parameters()
        # Each has two parameter groups: the vision transformer's, then the language model's.
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon([{"params": p} for p in matrices]),
            torch.optim.AdamW(
                [{"params": p} for p in rest], betas=(0.9, 0.98), weight_decay=0.05, fused=device.startswith("cuda")
            ),
        ]
        self.elapsed, self.step, self.best = 0.0, 0, 0.0
        self.progress = torch.zeros(()).share_memory_()  # share of the stage, which the processes that draw read
        self._resume()

    def _load_heads(self, saved: dict[str, torch.Tensor]) -> None:
        """Load the saved tensors whose shape has not changed; the others keep their initial values."""
        initial = self.objective.heads.state_dict()
        same = {name for name, value in initial.items() if name in saved and saved[name].shape == value.shape}
        self.objective.heads.load_state_dict(
            {name: saved[name] if name in same else value for name, value in initial.items()}
        )

    def _token_of(self, word: str) -> int | None:
        """The id of a word that is a single token, preferably with a leading space."""
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
        self.objective.heads.load_state_dict(state["heads"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.elapsed, self.step, self.best = state["elapsed"], state["step"], state["best"]
        print(f"going on at step {self.step}, {self.elapsed / 60:.1f} minutes in", flush=True)

    def save(self) -> None:
        """Write `last.pt`, from which a run is resumed; atomically, as training may be stopped at any time."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "heads": self.objective.heads.state_dict(),
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
        # The seed depends on the step, so that a resumed run does not see the same pictures again.
        seed = self.seed + 1000 + self.step
        data = BatchStream(self.tokenizer, self.template, seed, dense, self.batch_scale, self.progress)
        if workers > 4:  # each tensor that waits would take a file descriptor
            torch.multiprocessing.set_sharing_strategy("file_system")
        return DataLoader(
            data,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.device.startswith("cuda"),
        )

    def train(self, workers: int, check_minutes: float) -> None:
        """Run what remains of both stages, validating every `check_minutes` of the answer stage."""
        for dense in (True, False):
            until = self.dense_seconds if dense else self.minutes * 60
            begin = 0.0 if dense else self.dense_seconds
            if self.elapsed >= until:
                continue
            self._stage(dense, begin, until, workers, check_minutes * 60)
        print("done", flush=True)

    def _stage(self, dense: bool, begin: float, until: float, workers: int, check: float) -> None:
        meter: dict[str, list[torch.Tensor]] = {}
        logged = checked = saved = last = time.monotonic()
        for batch in self.batches(dense, workers):
            meter.setdefault("waited", []).append(torch.tensor(time.monotonic() - last))
            share = (self.elapsed - begin) / (until - begin)
            self.progress.fill_(share)
            frozen, rates = not dense and share < FROZEN, rates_at(share, dense)
            for optimizer, of_groups in zip(self.optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, of_groups, strict=True):
                    group["lr"] = rate
            if dense and self.new_heads and share < MERGER_FIRST:
                self.optimizers[0].param_groups[0]["lr"] = 0.0
            if batch.kind == "dense" and frozen:
                continue
            for name, value in self.learn(batch, dense or batch.kind == "dense", frozen).items():
                meter.setdefault(name, []).append(value)
            self.step += 1
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if now - logged > 20:
                means = {name: torch.stack(values).nanmean().item() for name, values in sorted(meter.items())}
                line = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items() if mean == mean)
                print(f"{self.elapsed / 60:6.1f} min  step {self.step:6d}  rate {rates[1][1]:.1e}  {line}", flush=True)
                meter, logged = {}, now
            if now - checked > check or self.elapsed >= until:
                if not dense and check > 0:
                    self.check()
                checked = last = time.monotonic()  # validation does not count as training time
            if now - saved > SAVE_SECONDS or self.elapsed >= until:
                self.save()
                saved = time.monotonic()
            if self.elapsed >= until:
                return

    def learn(self, batch: Batch, dense: bool, frozen: bool = False) -> dict[str, torch.Tensor]:
        """One optimization step; arguments and result as of `TrainingLoss.loss`."""
        loss, report = self.objective.loss(batch.to(torch.device(self.device)), dense, frozen)
        self.model.zero_grad(set_to_none=True)
        self.objective.heads.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for o in self.optimizers for g in o.param_groups for p in g["params"]], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        return report

    def check(self) -> None:
        """Validate, log the scores, and keep the weights if they are the best so far."""
        self.objective.clear_captured()
        scores = validate(
            self.model, self.tokenizer, self.template, seed=1, dialogues_per_kind=self.dialogues_per_check
        )
        score = sum(family.accuracy for family in scores) / len(scores)
        print(format_table(scores), f"mean over families {score:.3f}", sep="\n", flush=True)
        with (self.out / "log.jsonl").open("a") as log:
            record = {family.family: round(family.accuracy, 4) for family in scores}
            log.write(json.dumps({"minutes": self.elapsed / 60, "step": self.step, "score": score, **record}) + "\n")
        if score >= self.best:
            self.best = score
            write_checkpoint(self.model, self.raw_tokenizer, self.out / "best")
            (self.out / "best" / HEADS).parent.mkdir(exist_ok=True)
            save_file(self.objective.heads.state_dict(), self.out / "best" / HEADS)


def _init_weights(module: nn.Module, *, std: float) -> None:
    """Initialise a layer. Small weights let the language model learn much sooner what to attend to."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/nano"), help="folder of checkpoints and log; a run in it is resumed"
    )
    parser.add_argument(
        "--minutes", type=float, default=90, help="total training time, including earlier parts of a resumed run"
    )
    parser.add_argument("--dense-share", type=float, default=0.15, help="share of the time for the vision stage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that generate training data")
    parser.add_argument("--check-minutes", type=float, default=6, help="minutes between two validations; 0 for none")
    parser.add_argument(
        "--start-from", type=Path, help="a checkpoint, such as assets/nano, whose weights a new run starts with"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile parts of the model; needs a C++ compiler")
    parser.add_argument("--batch-scale", type=int, default=1, help="how many times as large as a CPU's batches are")
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
        batch_scale=options.batch_scale,
    )
    trainer.train(options.workers, options.check_minutes)


if __name__ == "__main__":
    main()
