"""Hostile files of prompts, demonstrations, responses, scores and preferences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
from form_rows import FORMS, rows_of, user
from fuzz_case import fuzz, read
from hostile_values import tables
from hypothesis import given
from hypothesis import strategies as st

from rmlab.commands.importing import _checked
from rmlab.config.hydra import load_settings
from rmlab.config.settings import PromptSettings
from rmlab.data.forms.items import form_prompts
from rmlab.data.forms.recognise import recognise
from rmlab.data.prompts import read_demonstrations
from rmlab.data.reader import read_rows
from rmlab.goldens.file import FileGolden
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.recorded import FileSampler, ResponsesSampler
from rmlab.storage.schemas import PROMPTS, RESPONSES, SCORES

COMPUTE = Compute(device="cpu")
PROMPT = {"prompt_id": "p1", "prompt": "a question", "split": "train", "group": "g"}
CHAT = {"prompt_id": "p2", "messages": [user("hello")], "split": "test", "group": "h"}
SAID = {"prompt": "a question", "completion": "an answer"}
TALK = {"messages": [user("hello"), {"role": "assistant", "content": "hi"}]}
SCORED = {"prompt_id": "p1", "response_id": "r1", "prompt": "q", "response": "an answer", "score": 0.5}
UNNAMED = {"prompt": "q", "response": "another", "score": 1, "reward": "length"}
DRAWN = {
    "prompt_id": "p1", "response_id": "r1", "sample_index": 0, "text": "t", "n_tokens": 3,
    "finish_reason": "stop", "logprob": -1.5,
}  # fmt: skip
HOW = PromptSettings(
    path="x", template="plain", n_train=None, n_test=None, test_fraction=0.5, duplicates="merge", form="auto"
)


def put(folder: Path, file: tuple[str, bytes]) -> Path:
    path = folder / file[0]
    path.write_bytes(file[1])
    return path


def test_prompts(cases):
    met = cases("prompts")

    @fuzz
    @given(
        tables(PROMPT, CHAT),
        st.sampled_from(["error", "merge"]),
        st.sampled_from(["auto", "prompts", "scored"]),
    )
    def run(file, duplicates, form):
        with met.folder() as folder:
            path = put(folder, file)
            how = HOW.model_copy(update={"duplicates": duplicates, "form": form})
            found = read(lambda: form_prompts(path, how))
            for p in found[0] if found else ():
                pa.Table.from_pylist([{**vars(p)}], schema=PROMPTS.schema)
                assert p.split in ("train", "test") and p.prompt_id and p.group

    run()


def test_demonstrations(cases):
    met = cases("demonstrations")

    @fuzz
    @given(tables(SAID, TALK), st.sampled_from([None, 1]))
    def run(file, n):
        with met.folder() as folder:
            path = put(folder, file)
            for d in read(lambda: read_demonstrations(path, n)) or ():
                assert d.messages and d.completion.strip() and d.completion.encode()

    run()


def _responses(sampler: Any) -> None:
    opened = read(lambda: sampler.open(None, "plain", COMPUTE))
    if opened is None:
        return
    tasks = [SamplingTask(p, [user(text)], [0], 1) for p, text in (("p1", "q"), ("p9", "q"))]
    drawn = read(lambda: opened.generate(tasks, None, 0, lambda n: None)) or ()
    columns = {"prompt_id": "p1", "split": "train", "group": "g", "sample_index": 0}
    rows = [
        {
            **columns,
            **{k: getattr(s, k) for k in ("text", "n_tokens", "finish_reason", "logprob")},
            "response_id": "r",
        }
        for samples in drawn
        for s in samples
        if s.response_id is None or s.response_id.encode()
    ]
    pa.Table.from_pylist(rows, schema=RESPONSES.schema)


def test_responses(cases):
    met = cases("responses")
    mine, theirs = tables(SCORED, UNNAMED), tables(DRAWN)

    @fuzz
    @given(st.one_of(mine.map(lambda f: (f, FileSampler)), theirs.map(lambda f: (f, ResponsesSampler))))
    def run(chosen):
        file, sampler = chosen
        with met.folder() as folder:
            _responses(sampler(str(put(folder, file))))

    run()


def test_scores(cases):
    met = cases("scores")

    @fuzz
    @given(tables(SCORED, UNNAMED), st.sampled_from([None, "length"]), st.sampled_from(["error", "drop"]))
    def run(file, reward, unusable):
        with met.folder() as folder:
            golden = FileGolden(str(put(folder, file)), reward=reward, unusable=unusable)
            score = read(lambda: golden.open(COMPUTE))
            asked = [Exchange("p1", "r1", [user("q")], "an answer")]
            for found in (read(lambda: score(asked)) if score else None) or ():
                row = {
                    "prompt_id": "p",
                    "response_id": "r",
                    "reward": "x",
                    "score": 0.0,
                    "failure": str(found),
                }
                pa.Table.from_pylist([row], schema=SCORES.schema)
                assert not isinstance(found, float) or math.isfinite(found)

    run()


def test_preferences(cases):
    """What `rmlab import` reads before it writes anything, in each of the forms."""
    met = cases("preferences")
    of_form = {form: tables(*rows_of(form)[:4]) for form in FORMS}
    settings = load_settings(["experiment=imported", "input=x"])

    @fuzz
    @given(
        st.sampled_from(FORMS).flatmap(lambda f: st.tuples(st.just(f), of_form[f])),
        st.booleans(),
        st.sampled_from(["error", "drop"]),
    )
    def run(chosen, named, unusable):
        form, file = chosen
        with met.folder() as folder:
            path = put(folder, file)
            how = settings.model_copy(update={"unusable": unusable})
            found = read(lambda: recognise(path, form if named else "auto"))
            if found and found != "arrays":
                read(lambda: _checked(path, found, how))

    run()


def test_any_file_of_rows(cases):
    """Rows as such, under every name that a file may have."""
    met = cases("rows")

    @fuzz
    @given(
        tables(PROMPT),
        st.sampled_from(["a.JSONL", "a.ndjson", "a.csv.gz", "a.parquet", "a.csv", "a.jsonl.gz"]),
    )
    def run(file, name):
        with met.folder() as folder:
            path = put(folder, (name, file[1]))
            read(lambda: sum(1 for _ in read_rows(path, ("prompt", "split"))))

    run()
