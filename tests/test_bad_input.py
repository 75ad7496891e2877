"""What goes wrong for people: one line, the right exit code, nothing lost, and the next run continues."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from resealed import rewrite
from small_settings import SMALL

from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.stages import STAGES as TABLE
from rmlab.storage.writer import Writer

ELSEWHERE = ("crossval", "heldout", "frontier", "sweep", "sweep_report", "study")  # not of SMALL
STAGES = tuple(s.name for s in TABLE if s.name not in ELSEWHERE)
PART = "part-00000.parquet"


def write_prompts(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def run_on(cli, tmp_path, file, *more):
    base = (
        "experiment=smoke",
        "prompts=file",
        "prompts.template=plain",
        "sft=none",
        f"out={tmp_path / 'out'}",
    )
    return cli("run", *base, f"prompts.path={file}", "prompts.n_train=null", "prompts.n_test=null", *more)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("heda=mlp", "unknown setting 'heda'"),
        (
            "head=mpl",
            "no such choice; there is: directions, laplace, linear, mlp, mlp_study, mlp_study_as_written, trees",
        ),
        ("head.l3=1", "unknown setting 'head.l3'"),
        ("sampler.batch_size=many", "sampler.batch_size"),
    ],
)
def test_a_typo_is_found_before_anything_runs(cli, tmp_path, override, message):
    result = cli("run", *SMALL, "sampler=transformers", "arms=[]", f"out={tmp_path}", override)
    assert result.code == 2 and message in result.line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_upstream_stage_is_named_with_its_command(cli, tmp_path):
    result = cli("fit-rm", *SMALL, f"out={tmp_path}")
    needed = [line.partition(" for these settings")[0] for line in result.err.splitlines()]
    assert result.code == 3 and needed[0] == "rmlab: fit_rm needs sample" and len(needed) == 3
    assert "`rmlab sample`" in result.err.splitlines()[0]


@pytest.fixture
def copied(small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "a")
    return tmp_path / "a"


def test_an_unreadable_table_is_one_line(cli, copied):
    part = next((copied / "embed").glob(f"*/{PART}"))
    whole = bytearray(part.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    part.write_bytes(bytes(whole))
    shutil.rmtree(copied / "fit_rm")
    result = cli("fit-rm", *SMALL, f"out={copied}")
    assert result.code == 3 and f"rmlab verify --repair {part.parent}" in result.line
    assert cli("embed", *SMALL, f"out={copied}", "--force").code == 0
    assert cli("fit-rm", *SMALL, f"out={copied}").code == 0


def test_a_table_with_the_wrong_schema_is_one_line(cli, copied):
    part = next((copied / "annotate").glob(f"sentiment-*/{PART}"))
    rewrite(
        part, pq.read_table(part).rename_columns(["prompt_id", "response_id", "reward", "points", "failure"])
    )
    shutil.rmtree(copied / "fit_rm")
    result = cli("fit-rm", *SMALL, f"out={copied}")
    assert result.code == 3 and "score" in result.line and part.parent.name in result.line


def test_scores_or_embeddings_that_are_missing_are_counted(cli, copied):
    for stage, word in (("annotate", "no score for 1 responses"), ("embed", "no embedding for 1 responses")):
        for part in (copied / stage).glob(f"*/{PART}"):
            table = pq.read_table(part)
            train = pq.read_table(next((copied / "sample").glob(f"*/{PART}")))
            drop = train.filter(pa.compute.field("split") == "train")["response_id"][0]
            rewrite(part, table.filter(pa.compute.field("response_id") != drop))
        shutil.rmtree(copied / "fit_rm", ignore_errors=True)
        result = cli("fit-rm", *SMALL, f"out={copied}")
        assert result.code == 3 and word in result.line
        assert cli(stage, *SMALL, f"out={copied}", "--force").code == 0


def test_duplicate_prompt_ids(cli, tmp_path):
    rows = [{"prompt_id": "a", "prompt": "x"}, {"prompt_id": "a", "prompt": "y"}]
    result = run_on(cli, tmp_path, write_prompts(tmp_path / "p.jsonl", *rows))
    assert result.code == 3 and "row 2: prompt_id a repeats row 1" in result.line


def test_an_empty_prompt(cli, tmp_path):
    result = run_on(cli, tmp_path, write_prompts(tmp_path / "p.jsonl", {"prompt": "a"}, {"prompt": " "}))
    assert result.code == 3 and "row 2: 'prompt' is empty" in result.line


def test_a_file_that_is_not_utf_8(cli, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n')
    result = run_on(cli, tmp_path, path)
    assert result.code == 3 and "line 2: not UTF-8" in result.line


def test_nothing_half_imported_is_taken_for_whole(cli, tmp_path):
    path = write_prompts(tmp_path / "p.jsonl", {"prompt": "a"}, {"prompt": ""})
    assert run_on(cli, tmp_path, path).code == 3
    assert not list((tmp_path / "out").rglob("manifest.json"))


def long_prompts(tmp_path, n_long):
    rows = [{"prompt": f"prompt {i} " + "x" * (600 if i < n_long else 3)} for i in range(24)]
    for i, row in enumerate(rows):
        row["split"] = "test" if i % 2 else "train"
    return write_prompts(tmp_path / "p.jsonl", *rows)


REAL = (
    "sampler=transformers",
    "golden=length",
    "sampling.max_new_tokens=60",
    "sampling.n_train=4",
    "sampling.n_test=4",
)
MANY = (
    "comparisons.n=5",
    "generation_seed=1",
    "comparisons.n_validation=2",
    "evaluation.resamples=20",
    "arms=[]",
)


@pytest.mark.parametrize("how", ["drop", "cut"])
def test_prompts_longer_than_the_context_are_counted(cli, tmp_path, how):
    path = long_prompts(tmp_path, 6)
    result = run_on(cli, tmp_path, path, *REAL, *MANY, f"sampling.long_prompts={how}", "--json")
    assert result.code == 0, result.err
    sample = next(s for s in result.json["stages"] if s["stage"] == "sample")
    dropped, cut = (6, 0) if how == "drop" else (0, 6)
    assert (sample["counts"]["prompts_dropped"], sample["counts"]["prompts_cut"]) == (dropped, cut)
    assert sample["rows"] == 4 * (24 - dropped)
    assert [w for w in sample["warnings"] if "prompts" in w] == [sample["warnings"][0]]
    assert "6 prompts over the limit" in result.err


def test_no_prompt_that_fits_is_one_line(cli, tmp_path):
    result = run_on(cli, tmp_path, long_prompts(tmp_path, 24), *REAL, *MANY)
    assert result.code == 3 and "no prompt fits the context" in result.line


def test_more_new_tokens_than_the_context(cli, tmp_path):
    result = run_on(cli, tmp_path, long_prompts(tmp_path, 1), *REAL, *MANY, "sampling.max_new_tokens=600")
    assert result.code == 3 and "leaves no room for a prompt" in result.line


def test_a_model_folder_without_a_tokenizer(cli, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("token*", "special*"))
    result = cli("run", *SMALL, f"out={tmp_path / 'o'}", f"model={folder}")
    assert result.code == 3 and "no tokenizer" in result.line and "save_pretrained" in result.line


def test_a_model_folder_without_a_pad_token_works(cli, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    args = ("sampler=transformers", "embedder=transformers", "sft=none", "golden=length")
    args = (*args, "sampling.max_new_tokens=60")
    result = cli("run", *SMALL, f"out={tmp_path / 'o'}", f"model={folder}", *args, "--json")
    assert result.code == 0, result.err


def test_a_tokenizer_without_any_token_to_pad_with(cli, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("pad_token", "bos_token", "eos_token", "unk_token"):
        config.pop(name, None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    result = cli(
        "run", *SMALL, f"out={tmp_path / 'o'}", f"model={folder}", "sampler=transformers", "sft=none"
    )
    assert result.code == 3 and "no pad, end or unknown token" in result.line


def test_a_model_that_is_nowhere(cli, tmp_path):
    result = cli("run", *SMALL, f"out={tmp_path}", "model=./no/such/folder")
    assert result.code == 3 and "no such folder" in result.line


def test_a_hub_that_cannot_be_reached(cli, tmp_path):
    result = cli("run", *SMALL, f"out={tmp_path}", "model=someone/some-model")
    assert result.code == 3 and "someone/some-model" in result.line and "local folder" in result.line


class Broken:
    """Lets n writes of one stage through, then fails."""

    def __init__(self, monkeypatch, stage, error, method, after=0):
        original, self.left = getattr(Writer, method), after

        def write(writer, *args, **kwargs):
            if writer.path.parent.name == stage:
                if self.left == 0:
                    raise error
                self.left -= 1
            return original(writer, *args, **kwargs)

        monkeypatch.setattr(Writer, method, write)


def same_tables(a: Path, b: Path) -> None:
    files = sorted(p.relative_to(a) for p in a.rglob("*.parquet"))
    assert list(b.rglob("manifest.json")) and files == sorted(p.relative_to(b) for p in b.rglob("*.parquet"))
    for name in files:
        assert_frame_equal(pd.read_parquet(a / name), pd.read_parquet(b / name), check_exact=True)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["interrupt", "full disk"])
def test_a_stage_that_is_stopped_goes_on(cli, monkeypatch, small_run, tmp_path, stage, kind):
    error = KeyboardInterrupt() if kind == "interrupt" else OSError(errno.ENOSPC, "No space left on device")
    command = "sample" if stage == "prompts" else stage.replace("_", "-")
    args = (command, *SMALL, f"out={tmp_path / 'o'}")
    copy_done(small_run, tmp_path / "o", ["sft"] if stage == "prompts" else STAGES[: STAGES.index(stage)])
    with monkeypatch.context() as patch:
        Broken(patch, stage, error, "commit")
        result = cli(*args)
    assert result.code == (130 if kind == "interrupt" else 1)
    assert "same command" in result.line and ("no space left" in result.line) == (kind != "interrupt")
    assert not list((tmp_path / "o" / stage).glob("*/manifest.json"))
    assert cli(*args).code == 0
    same_tables(small_run / stage, tmp_path / "o" / stage)


def copy_done(source: Path, target: Path, stages) -> None:
    for stage in stages:
        shutil.copytree(source / stage, target / stage)


SHARDED = (*SMALL, "sft=none", "golden=sentiment", "prompts_per_shard=4")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The artifacts of a run in shards that nothing stopped."""
    out = tmp_path_factory.mktemp("uninterrupted")
    run_nodes(plan(load_arms([*SHARDED, f"out={out}"])), "test", quiet=True)
    return out


@pytest.mark.parametrize("stage", ["sample", "annotate", "embed"])
def test_shards_that_are_done_are_not_done_again(cli, monkeypatch, uninterrupted, tmp_path, stage):
    args = ("run", *SHARDED)
    with monkeypatch.context() as patch:
        Broken(patch, stage, KeyboardInterrupt(), "part", after=2)
        assert cli(*args, f"out={tmp_path / 'o'}").code == 130
    [folder] = (tmp_path / "o" / stage).iterdir()
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}
    assert len(before) == 2
    assert cli(*args[:-1], "prompts_per_shard=5", f"out={tmp_path / 'o'}").code == 0
    after = {p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}
    assert len(after) == 5 and all(after[name] == at for name, at in before.items())
    same_tables(uninterrupted, tmp_path / "o")
    counts = [
        json.loads(next((out / stage).glob("*/manifest.json")).read_text())["counts"]
        for out in (uninterrupted, tmp_path / "o")
    ]
    assert counts[0] == counts[1]


def test_sft_goes_on_from_its_checkpoint(cli, monkeypatch, tmp_path):
    from transformers import Trainer

    args = ("run", *SMALL, "sft.batch_size=1", "sft.checkpoint_steps=2", "sft.dropout=0.1", "sft.epochs=2")
    assert cli(*args, f"out={tmp_path / 'whole'}").code == 0
    original, steps = Trainer.training_step, []

    def step(trainer, *rest, **more):
        steps.append(trainer.state.global_step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return original(trainer, *rest, **more)

    monkeypatch.setattr(Trainer, "training_step", step)
    assert cli(*args, f"out={tmp_path / 'o'}").code == 130
    assert cli(*args, f"out={tmp_path / 'o'}").code == 0
    assert steps[6:] == [4, 5, 6, 7]
    weights = [
        next((tmp_path / x / "sft").glob("*/model/model.safetensors")).read_bytes() for x in ("whole", "o")
    ]
    assert weights[0] == weights[1]
    same_tables(tmp_path / "whole", tmp_path / "o")


SHUTDOWN = """
import atexit, os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    atexit.register(os.kill, os.getpid(), number)
from rmlab.cli import main
main()
"""


def test_a_signal_after_the_end_changes_nothing(tmp_path):
    for arguments, code in ((["--version"], 0), (["sample", "seed=x"], 2)):
        done = subprocess.run([sys.executable, "-c", SHUTDOWN, *arguments], cwd=tmp_path, capture_output=True,
                              text=True, timeout=120, check=False,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
        assert (done.returncode, len(done.stderr.splitlines())) == (code, int(code > 0)), done


WITHIN_EXEC = """
import os, signal, sys
from rmlab.stages import prompts
prompts.run = lambda job: exec("os.kill(os.getpid(), signal.SIGINT)", {"os": os, "signal": signal})
from rmlab.cli import main
main()
"""


def test_an_interrupt_within_exec_ends_with_the_promised_code(tmp_path):
    (tmp_path / "within.py").write_text(WITHIN_EXEC)
    command = [sys.executable, "-m", "within", "sample", *SMALL, "sft=none"]  # -m: as `python -m rmlab`
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    assert done.returncode == 130 and "rmlab: interrupted" in done.stderr and "Traceback" not in done.stderr


WITHIN_DESTRUCTOR = """
import os, signal, time
from rmlab.stages import prompts

class Goes:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

def run(job):
    Goes()
    time.sleep(60)
    print("was not interrupted")

prompts.run = run
from rmlab.cli import main
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_python_ignores_is_raised_again(name, tmp_path):
    command = [sys.executable, "-c", WITHIN_DESTRUCTOR.format(name=name), "sample", *SMALL, "sft=none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    assert done.returncode == 130 and "rmlab: interrupted" in done.stderr, done
    assert "ignored" not in done.stderr and "Traceback" not in done.stderr and "not inter" not in done.stdout


def test_an_interrupt_that_a_library_swallows_ends_the_run_at_the_next_stage(cli, monkeypatch, tmp_path):
    from rmlab.stages import prompts

    made = prompts.run

    def swallow(job):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt:
                continue
        made(job)

    monkeypatch.setattr(prompts, "run", swallow)
    result = cli("run", *SMALL, f"out={tmp_path}")
    assert result.code == 130 and "interrupted" in result.line
    assert [p.name for p in tmp_path.iterdir() if p.name != "logs"] == ["prompts"]
    monkeypatch.setattr(prompts, "run", made)
    assert cli("sample", *SMALL, "sft=none", f"out={tmp_path}").code == 0


@pytest.mark.alone
def test_a_real_interrupt_ends_with_one_line_and_code_130(tmp_path):
    args = [
        *SMALL,
        "sampler=transformers",
        "sft=none",
        "sampling.n_test=900",
        "prompts_per_shard=1",
        "sampling.max_new_tokens=400",
    ]
    command = [sys.executable, "-m", "rmlab", "run", *args, f"out={tmp_path}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    for _ in range(600):
        time.sleep(0.1)
        if list(tmp_path.glob("sample/*/part-00000.parquet")):  # past all imports, drawing
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("rmlab: interrupted")


def test_an_unexpected_error_is_one_line_too(cli, monkeypatch, tmp_path):
    Broken(monkeypatch, "prompts", ZeroDivisionError("oh"), "part")
    result = cli("run", *SMALL, f"out={tmp_path}")
    assert result.code == 1 and "unexpected ZeroDivisionError: oh" in result.line


def test_trees_do_not_fit_every_loss(cli, tmp_path):
    args = ("sft=none", "arms=['head=trees loss=hinge']", f"out={tmp_path}")
    result = cli("run", *SMALL, *args)
    assert result.code == 2 and "loss=classification" in result.line and "loss=bradley_terry" in result.line


def test_more_comparisons_than_there_are(cli, tmp_path):
    result = cli("run", *SMALL, "sft=none", "comparisons.n=100000", f"out={tmp_path}")
    assert result.code == 2 and "lower comparisons.n" in result.line and not list(tmp_path.iterdir())


def test_a_golden_reward_that_never_varies(cli, tmp_path):
    path = write_prompts(tmp_path / "p.jsonl", *({"prompt": f"p {i}", "response": f"r {i} {k}", "score": 1}
                                                 for i in range(12) for k in range(3)))  # fmt: skip
    result = cli("run", "experiment=own_responses", f"input={path}", f"out={tmp_path / 'o'}", "embedder=hashing",
                 "comparisons.n=10", "comparisons.n_validation=3")  # fmt: skip
    assert result.code == 3 and "equal golden rewards" in result.line


def test_one_test_prompt_has_no_interval_and_says_so(cli, tmp_path):
    small = [o for o in SMALL if not o.startswith("prompts.n_test")]
    result = cli("run", *small, "prompts.n_test=1", "sft=none", f"out={tmp_path}")
    assert result.code == 0 and "there is one test prompt, so nothing has an interval" in result.err
