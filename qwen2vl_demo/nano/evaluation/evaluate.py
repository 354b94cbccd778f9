"""How often nano is right, by family, on pictures and clips that it has never seen.

    python -m qwen2vl_demo.nano.evaluation.evaluate [--model DIR] [--conversations 400] [--fewer 200] [--brief]
        [--json OUT]

An answer counts as right if it is right to the letter. Greedy decoding writes exactly the expected answer if and
only if the likeliest token is the expected one at every place of it, so that one pass over a conversation scores
all of its answers; each question then stands behind the right answers to the ones before.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.dialogue.generator import FAMILIES, sample
from qwen2vl_demo.nano.training.batches import IGNORED, MIX, Batch, collate, random_frames, random_size
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

HELD_OUT_SEED = 7_000_000  # training draws from other seeds
BATCHES_OF = 16  # conversations, at least, in each of the smaller tables


@dataclass(frozen=True)
class Row:
    family: str
    questions: int
    accuracy: float
    chance: float  # of a guess among the answers that are plausible for the question


@torch.inference_mode()
def score(model: Qwen2VL, batch: Batch) -> Iterable[tuple[str, bool, float]]:
    """(family, right, chance) of every turn of a batch."""
    vision = model.encode(batch.patches, batch.grids) if batch.grids else None
    hidden = model(model.embed(batch.input_ids.to(model.device), vision), batch.position_ids.to(model.device))
    targets = batch.targets.to(model.device)
    learnt = targets != IGNORED
    right = torch.ones_like(targets, dtype=torch.bool)
    right[learnt] = model.logits(hidden[learnt]).argmax(-1) == targets[learnt]
    for row, item in enumerate(batch.samples):
        for index, turn in enumerate(item.turns):
            here = batch.turn_ids[row].to(model.device) == index
            yield turn.family, bool(right[row][here].all()), 1 / turn.choices


def evaluate(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    seed: int = 0,
    samples_per_kind: int = 60,
    phrasings: str = "all",
) -> list[Row]:
    """Draws conversations of every kind from held-out seeds and scores each of their turns."""
    training = model.training
    model.eval()
    rng = np.random.default_rng([HELD_OUT_SEED, seed])

    def batches() -> Iterator[Batch]:
        for kind, (_, size_of_batch) in MIX.items():
            for _ in range(max(1, samples_per_kind // size_of_batch)):
                size = random_size(rng, kind)
                frames = random_frames(rng, size)
                items = [
                    sample(rng, kind, size=size, frames=frames, turns=7, phrasings=phrasings)
                    for _ in range(size_of_batch)
                ]
                yield collate(kind, items, tokenizer, template, model.config)

    rows = scored(model, batches())
    model.train(training)
    return rows


def scored(model: Qwen2VL, batches: Iterable[Batch]) -> list[Row]:
    """The table of all turns of the batches by family, in the order of FAMILIES."""
    results: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for batch in batches:
        for family, right, chance in score(model, batch):
            results[family].append((right, chance))
    rows = []
    for family in FAMILIES:
        if answers := results.get(family):
            accuracy, chance = (float(mean) for mean in np.mean(answers, axis=0))
            rows.append(Row(family, len(answers), accuracy, chance))
    return rows


def format_table(rows: list[Row]) -> str:
    lines = [f"{'family':<12} {'right':>7} {'chance':>7} {'questions':>9}"]
    lines += [f"{r.family:<12} {r.accuracy:>7.1%} {r.chance:>7.1%} {r.questions:>9}" for r in rows]
    return "\n".join(lines)


def side_by_side(tables: dict[str, list[Row]]) -> str:
    """The share of right answers by family, one column a table."""
    families = [f for f in FAMILIES if all(any(r.family == f for r in rows) for rows in tables.values())]
    lines = [f"{'family':<12}" + "".join(f" {name:>16}" for name in tables)]
    for family in families:
        shares = [next(r.accuracy for r in rows if r.family == family) for rows in tables.values()]
        lines.append(f"{family:<12}" + "".join(f" {share:>16.1%}" for share in shares))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/nano"))
    parser.add_argument("--conversations", type=int, default=400, help="of each kind")
    parser.add_argument("--fewer", type=int, help="of each kind for the smaller tables; half as many if not given")
    parser.add_argument("--brief", action="store_true", help="the first table only")
    parser.add_argument("--json", type=Path, help="write the tables there too")
    options = parser.parse_args()
    from qwen2vl_demo.model.weights import load_model
    from qwen2vl_demo.nano.evaluation import studies

    model = load_model(options.model, device=torch.device("cpu"), dtype=torch.float32)
    parts = (model, Tokenizer.from_directory(options.model), ChatTemplate.from_directory(options.model))
    rows = evaluate(*parts, samples_per_kind=options.conversations)
    record: dict[str, object] = {"all wordings": [asdict(row) for row in rows]}
    print(format_table(rows), flush=True)
    if not options.brief:
        few = max(BATCHES_OF, options.fewer or options.conversations // 2)
        words = {
            name: evaluate(*parts, samples_per_kind=few, phrasings=split)
            for name, split in (("trained wordings", "train"), ("held-out wordings", "held_out"))
        }
        budgets = {f"scenes at {n}": r for n, r in studies.by_budget(*parts, conversations=few).items()}
        trained, silenced = studies.without_places(*parts, conversations=few)
        places = {"M-RoPE as trained": trained, "h, w silenced": silenced}
        small = {f"print at {n}": r for n, r in studies.small_print(*parts, conversations=few).items()}
        drawings, sizes = studies.by_drawings(*parts, conversations=few), studies.by_size(*parts)
        for tables in (words, budgets, small, drawings, sizes, places):
            if not tables:
                print("\nno icons on this machine, so no nouns were asked for: see qwen2vl_demo/nano/icons.py")
                continue
            print("", side_by_side(tables), sep="\n", flush=True)
            record |= {name: [asdict(row) for row in table] for name, table in tables.items()}
        overlap, asked = studies.box_fit(options.model, questions=2 * few)
        record["boxes"] = {"mean_iou": overlap, "questions": asked}
        print(f"\nboxes: mean intersection over union {overlap:.2f} over {asked} questions")
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
