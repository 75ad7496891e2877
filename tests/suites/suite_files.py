"""Small made-up files of each suite, which the tests of benchmarks share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LENGTH = "golden=length"
KINDS = ("Factuality", "Precise IF", "Math", "Safety", "Focus")


def words(n: int, word: str = "word") -> str:
    return " ".join([word] * n)


def rewardbench_rows() -> list[dict[str, Any]]:
    """Two rows of one subset of each section; the longer answer is chosen but in every fourth row."""
    names = ("alpacaeval-easy", "mt-bench-hard", "donotanswer", "math-prm", "hep-go")
    return [
        {
            "id": k,
            "prompt": f"Question {k // 2}?"
            if k % 2
            else [{"role": "user", "content": f"Question {k // 2}?"}],
            "chosen": words(1 if k % 4 == 3 else 5, "yes"),
            "rejected": words(3, "no"),
            "chosen_model": "m",
            "subset": names[k % 5],
        }
        for k in range(20)
    ]


def rewardbench2_rows() -> list[dict[str, Any]]:
    rows = [_several(str(k), kind, f"{kind} {k}", [2 + k], [1, 2, 3]) for kind in KINDS for k in range(3)]
    for n in range(3):
        rows.append(_several(f"ref:{n}", "Ties", f"Name one of {n}.", [6], [1, 2, 3]))
        rows.append(_several(f"tied:{n}", "Ties", f"Name one of {n}.", [6, 6 + n, 6], [1, 2]))
    return rows


def _several(name: str, subset: str, prompt: str, right: list[int], wrong: list[int]) -> dict[str, Any]:
    return {
        "id": name,
        "prompt": prompt,
        "chosen": [words(n, "yes") for n in right],
        "rejected": [words(n, "no") for n in wrong],
        "num_correct": len(right),
        "total_completions": len(right) + len(wrong),
        "subset": subset,
    }


def rm_bench_rows() -> list[dict[str, Any]]:
    domains = ("chat", "code", "math", "safety-refuse", "safety-response")
    return [
        {
            "id": f"{k}",
            "prompt": f"Task {k}",
            "chosen": [words(n + k % 3, "yes") for n in (1, 3, 5)],
            "rejected": [words(n, "no") for n in (2, 3, 4)],
            "domain": domains[k % 5],
        }
        for k in range(15)
    ]


def judgebench_rows() -> list[dict[str, Any]]:
    sources = ("mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench")
    return [
        {
            "pair_id": f"pair {k}",
            "source": sources[k % 4],
            "question": f"Problem {k}",
            "response_A": words(2 + k % 3, "left"),
            "response_B": words(3, "right"),
            "label": "A>B" if k % 2 else "B>A",
        }
        for k in range(12)
    ]


ROWS = {
    "rewardbench": rewardbench_rows,
    "rewardbench2": rewardbench2_rows,
    "rm-bench": rm_bench_rows,
    "judgebench": judgebench_rows,
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tiny_classifier(folder: Path) -> Path:
    """A reward model of one label with random weights, on bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    from rmlab.models.bundled.random_tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def file_of(folder: Path, suite: str) -> Path:
    return write_rows(folder / "rows.jsonl", ROWS[suite]())


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dataset(folder: Path, splits: dict[str, list[dict[str, Any]]]) -> Path:
    """A dataset as the hub has it, with the splits named in its card."""
    folder.mkdir(parents=True)
    lines = [f"  - split: {name}\n    path: {name}.jsonl\n" for name in splits]
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n" + "".join(lines) + "---\n"
    )
    for name, rows in splits.items():
        write_rows(folder / f"{name}.jsonl", rows)
    return folder
