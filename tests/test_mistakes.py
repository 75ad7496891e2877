"""Mistakes that people make on the command line: the message, the exit code, and that nothing was run."""

from __future__ import annotations

import json
import shlex

import pytest

from rmlab.config import optional_packages

ROWS = [{"prompt": f"question {i}", "chosen": f"yes, {i}", "rejected": f"no, {i}"} for i in range(40)]
FILES = {
    "pairs.jsonl": ROWS,
    "prompts.jsonl": [{"prompt": f"Tell me about {i}."} for i in range(30)],
    "instructions.jsonl": [{"instruction": f"Tell me about {i}."} for i in range(30)],
    "broken.jsonl": [],
    "nothing.jsonl": [],
    "folder/notes.txt": [],
}
SMOKE = "run experiment=smoke"
FILE = f"{SMOKE} prompts=file"

# what is typed, the exit code, and parts of what is told, a line for each thing that is wrong
MISTAKES = [
    # commands and options
    ("runn experiment=smoke", 2, ["No such command 'runn'", "Did you mean 'run'?"]),
    (f"{SMOKE} --seed 3", 2, ["No such option: --seed", "as seed=VALUE"]),
    ("run --experiment smoke", 2, ["without dashes, as experiment=VALUE"]),
    (f"{SMOKE} --dry", 2, ["No such option: --dry", "--dry-run"]),
    (f"{SMOKE} 3", 2, ["'3' is not an override", "key=value"]),
    ("merge folder", 2, ["Missing argument"]),
    ("score pairs.jsonl", 2, ["Missing option '--head'"]),
    ("sweep experiment=smoke", 2, ["nothing to sweep", "seed=0,1,2"]),
    # names of settings and of choices
    (f"{SMOKE} heads=mlp", 2, ["'heads'", "did you mean head?"]),
    (f"{SMOKE} sampling.n_tset=3", 2, ["'sampling.n_tset'", "did you mean sampling.n_test?"]),
    (f"{SMOKE} {'a' * 300}=1", 2, ["too long"]),
    (f"{SMOKE} hidden=[8]", 2, ["'hidden'", "head=mlp"]),
    (f"{SMOKE} head.hidden=[8]", 2, ["'head.hidden'", "head=mlp"]),
    ("fit-rm experiment=smok", 2, ["experiment=smok: no such choice", "smoke"]),
    (f"{SMOKE} head=mpl", 2, ["head=mpl: no such choice", "mlp"]),
    (f"{SMOKE} loss=bt", 2, ["loss=bt: no such choice", "bradley_terry"]),
    (f"{SMOKE} +new=3", 2, ["'new'", "rmlab settings"]),
    # values
    (f"{SMOKE} seed=x", 2, ["seed", "integer", "'x'"]),
    (f"{SMOKE} dtype=fp16", 2, ["dtype", "'float16'"]),
    (f"{SMOKE} noise.error=0.7", 2, ["noise", "0.7", "[0, 0.5)"]),
    (f"{SMOKE} comparisons.n=0", 2, ["comparisons.n", "greater than or equal to 1"]),
    (f"{SMOKE} sampling.top_p=2", 2, ["sampling.top_p", "less than or equal to 1"]),
    (f"{SMOKE} workers=-1", 2, ["workers", "1 or more, or auto"]),
    (f"{SMOKE} seed=1,2", 2, ["seed=1,2", "rmlab sweep"]),
    (f"{SMOKE} head=linear,mlp", 2, ["head=linear,mlp", "arms="]),
    (
        f"{SMOKE} arms=[head=linear,head=mlp]",
        2,
        ["cannot read the override", '\'arms=["head=linear","head=mlp"]\''],
    ),
    (f"{SMOKE} arms={{a:1}}", 2, ["arms cannot be {a:1}", "rmlab settings arms"]),
    # what cannot run, known before it does
    (f"{SMOKE} comparisons.n=100000", 2, ["100000", "comparisons", "comparisons.n"]),
    (f"{SMOKE} device=cuda model=random-tiny", 3, ["shows no CUDA GPU", "device=cpu"]),
    (f"{SMOKE} out=s3://bucket/x", 2, ["is no local folder", "out=artifacts"]),
    (f"{SMOKE} sampler=vllm", 3, ["needs vllm", "pip install"]),
    (f"{SMOKE} model=folder sampler=transformers", 3, ["model=folder", "config.json"]),
    (f"{SMOKE} \"arms=['head=trees loss=hinge']\"", 2, ["add loss=classification"]),
    # files of one's own
    (FILE, 2, ["prompts.path=..."]),
    (f"{FILE} prompts.path=nowhere.jsonl", 3, ["nowhere.jsonl does not exist"]),
    ("run experiment=human_preferences", 2, ["input=FILE"]),
    ("inspect columns.prompt=ask", 2, ["--column prompt=ask"]),
    ("score pairs.jsonl --head folder columns.prompt=ask", 2, ["--column prompt=ask"]),
    ("settings sweep", 2, ["sweep is a command", "rmlab sweep --help"]),
    ("settings inspect", 2, ["inspect is a command"]),
    ("validate folder columns.prompt=ask", 2, ["takes options and no settings", "rmlab validate --help"]),
    ("inspect pairs.jsonl --column prompt=a --column prompt=b", 2, ["--column prompt= is given twice"]),
    ("inspect pairs.jsonl --column chosen=yes", 3, ["no column 'yes', which --column chosen names"]),
    (f"{SMOKE} golden=[1]", 2, ["a value is of a kind that cannot be there"]),
    (f"{SMOKE} head={{a:1}}", 2, ["head cannot be given so", "rmlab settings head"]),
    (
        f"{SMOKE} 'arms=[head=mlp head.hidden=[64,32],head=linear]'",
        2,
        ["""arms=["head=mlp head.hidden=[64,32]","head=linear"]"""],
    ),
    ("inspect .", 3, [". is no artifact"]),
    ("import nowhere.jsonl", 3, ["nowhere.jsonl does not exist"]),
    ("import nothing.jsonl", 3, ["nothing.jsonl has no rows"]),
    ("import broken.jsonl", 3, ["broken.jsonl, line 1: not JSON"]),
    ("import prompts.jsonl", 3, ["prompts without answers"]),
    ("import pairs.jsonl folder", 2, ["'folder' is not an override"]),
    (f"{SMOKE} golden=callable golden.callable.path=mine.score", 2, ["mine", "allow_modules=[mine]"]),
    # artifacts and heads
    ("inspect nowhere", 3, ["nowhere does not exist", "rmlab status"]),
    ("inspect folder", 3, ["folder is no artifact"]),
    ("verify nowhere", 3, ["nowhere does not exist"]),
    ("export nowhere --to trl", 2, ["nowhere", ".jsonl or .parquet"]),
    ("score pairs.jsonl --head nowhere", 3, ["nowhere is not an artifact"]),
    ("score pairs.jsonl --head folder", 3, ["folder holds no reward model", "give artifacts/fit_rm/NAME"]),
    ("validate folder", 3, ["folder is not"]),
    (f"eval-rm {SMOKE.removeprefix('run ')}", 3, ["rmlab sample"]),
]


def write_files(folder):
    """The files that the mistakes name."""
    for name, rows in FILES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "broken.jsonl").write_text('{"prompt": "a"\n')


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the files that the mistakes name, in which no model can be loaded."""
    from rmlab.models.compute import Compute

    def refuse(*_args, **_named):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(optional_packages, "is_installed", lambda package: package != "vllm")
    for name in ("load_model", "loaded", "load_tokenizer"):
        monkeypatch.setattr(Compute, name, refuse)
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_forty_and_each_is_another():
    assert len(MISTAKES) >= 40 and len({typed for typed, _, _ in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize(("typed", "code", "parts"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_told_before_anything_runs(cli, place, typed, code, parts):
    before = sorted(f for f in place.rglob("*") if f.is_file())
    done = cli(*shlex.split(typed))
    lines = [line for line in done.err.splitlines() if line.startswith("rmlab: ")]
    assert len(lines) == len(set(lines)) and all(len(line) < 500 for line in lines)
    told = "\n".join(lines)
    assert done.code == code, told
    assert [part for part in parts if part not in told] == [], told
    assert "Traceback" not in done.err and "starts" not in done.err
    # nothing was written but logs
    after = [f for f in place.rglob("*") if f.is_file() and "logs" not in f.relative_to(place).parts]
    assert sorted(after) == before
