"""The accuracy of a nano checkpoint by family of questions, on pictures and clips that training never used.

    python -m qwen2vl_demo.nano.evaluation.evaluate [--model DIR] [--conversations 400] [--fewer 200] [--brief]
        [--json OUT]

Prints one table by family, with the accuracy of guessing beside it; smaller tables for the studies of `studies.py`; and
the character error of what it reads, by `reading.py` and, if its pictures have been built, by `real_print.py`. An
answer counts as right if it is right to the letter (see `training/validation.py`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.nano.evaluation import reading, real_print, studies
from qwen2vl_demo.nano.training.validation import format_table, validate
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

MIN_DIALOGUES = 16  # of each kind in the smaller tables


def read(directory: Path, few: int) -> dict[str, object]:
    """Prints the tables of what is read: `few` single lines of each size, and a quarter as many pages. The record."""
    engine = LocalEngine.load(str(directory), device="cpu", dtype="float32")
    report = reading.measure(engine, lines=few, pages=max(2, few // 4), dialogues=max(2, few // 4))
    print("", reading.format_report(report), sep="\n", flush=True)
    tables = {"print": report.lines, "pages": report.pages, "budgets": report.budgets}
    if (real_print.FOLDER / real_print.RECORD).exists():
        tables["real print"] = real_print.measure(engine, real_print.FOLDER)
        print("", reading.format_scores("real print", tables["real print"]), sep="\n")
    else:
        print("\nreal print was not asked about: python -m qwen2vl_demo.nano.evaluation.real_print builds it")
    read = {name: [asdict(score) for score in scores] for name, scores in tables.items()}
    families = {f"drawn at {n}": [asdict(score) for score in scores] for n, scores in report.families.items()}
    return {"reading": read, **families}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/nano"))
    parser.add_argument("--conversations", type=int, default=400, help="dialogues of each kind")
    parser.add_argument(
        "--fewer", type=int, help="dialogues of each kind for the smaller tables; default: half as many"
    )
    parser.add_argument("--brief", action="store_true", help="the first table only")
    parser.add_argument("--json", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    model = load_model(options.model, device=torch.device("cpu"), dtype=torch.float32)
    parts = (model, Tokenizer.from_directory(options.model), ChatTemplate.from_directory(options.model))
    scores = validate(*parts, dialogues_per_kind=options.conversations)
    record: dict[str, object] = {"all wordings": [asdict(score) for score in scores]}
    print(format_table(scores), flush=True)
    if not options.brief:
        few = max(MIN_DIALOGUES, options.fewer or options.conversations // 2)
        wordings = {
            name: validate(*parts, dialogues_per_kind=few, split=split)
            for name, split in (("trained wordings", "train"), ("held-out wordings", "held_out"))
        }
        budgets = {f"scenes at {n}": s for n, s in studies.by_budget(*parts, dialogues=few).items()}
        trained, silenced = studies.without_positions(*parts, dialogues=few)
        positions = {"M-RoPE as trained": trained, "h, w silenced": silenced}
        small = {f"print at {n}": s for n, s in studies.small_print(*parts, dialogues=few).items()}
        drawings, sizes = studies.by_icon_set(*parts, dialogues=few), studies.by_size(*parts)
        for tables in (wordings, budgets, small, drawings, sizes, positions):
            if not tables:
                print("\nno icons on this machine, so no nouns were asked for: see qwen2vl_demo/nano/world/icons.py")
                continue
            print("", studies.format_comparison(tables), sep="\n", flush=True)
            record |= {name: [asdict(score) for score in table] for name, table in tables.items()}
        iou, questions = studies.mean_box_iou(options.model, questions=2 * few)
        record["boxes"] = {"mean_iou": iou, "questions": questions}
        print(f"\nboxes: mean intersection over union {iou:.2f} over {questions} questions", flush=True)
        record |= read(options.model, few)
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
