"""Prompts and demonstrations of one task, out of hh-rlhf's own files.

    python scripts/hh_tasks.py harmless-base/train.jsonl.gz harmless-base/test.jsonl.gz FOLDER/hh_harmless

Writes prompts.jsonl (`messages`, `split`, `group`) and demonstrations.jsonl (`messages`, ending with
what was chosen, of the train file alone), as experiments hh_harmless and hh_helpful read them. A prompt
counts once. A train prompt whose first human turn begins a test prompt too is left out, and counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rmlab.data.forms.items import read_items
from rmlab.errors import RmlabError
from rmlab.storage.files import write_text

Rows = list[dict[str, Any]]


def tasks(train: Path, test: Path) -> tuple[Rows, Rows, dict[str, int]]:
    """Prompts, demonstrations, and what was left out."""
    parts = {"train": read_items(train, "hh", "drop"), "test": read_items(test, "hh", "drop")}
    tested = {item.group for item in parts["test"].items}
    prompts: dict[str, dict[str, Any]] = {}
    demonstrations: dict[str, dict[str, Any]] = {}
    shared = 0
    for split, part in parts.items():
        for item in part.items:
            if split == "train" and item.group in tested:
                shared += 1
                continue
            key = json.dumps(item.messages)
            prompts.setdefault(key, {"messages": item.messages, "split": split, "group": item.group})
            if split == "train" and item.answers[0].text.strip():
                answer = {"role": "assistant", "content": item.answers[0].text.strip()}
                demonstrations.setdefault(key, {"messages": [*item.messages, answer]})
    unusable = sum(sum(part.left_out.values()) for part in parts.values())
    return list(prompts.values()), list(demonstrations.values()), {"shared": shared, "unusable": unusable}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    try:
        prompts, demonstrations, out = tasks(given.train, given.test)
    except RmlabError as error:
        print(f"hh_tasks: {error}", file=sys.stderr)
        return 3
    given.folder.mkdir(parents=True, exist_ok=True)
    _write(given.folder / "prompts.jsonl", prompts)
    _write(given.folder / "demonstrations.jsonl", demonstrations)
    n = {split: sum(p["split"] == split for p in prompts) for split in ("train", "test")}
    print(f"{n['train']:,} train and {n['test']:,} test prompts, {len(demonstrations):,} demonstrations")
    print(
        f"left out: {out['shared']:,} train records of test dialogues, "
        f"{out['unusable']:,} without information"
    )
    return 0


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
