"""rmlab bench: whatever is wrong with rows, files, calls and scores ends in one line, and nothing is written."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from suite_files import LENGTH, ROWS, dataset, file_of, write_rows

import rmlab
from rmlab import RewardModel
from rmlab.reward.model import RewardModel as Model


def without(column):
    return lambda row: {key: value for key, value in row.items() if key != column}


def but(**changed):
    return lambda row: {**row, **changed}


BAD_ROWS = [
    ("rewardbench", without("rejected"), "row 3: no 'rejected'"),
    ("rewardbench", but(chosen=None), "row 3: no 'chosen'"),
    ("rewardbench", but(chosen=7), "row 3: 'chosen' must be text, got int"),
    ("rewardbench", but(prompt=" "), "row 3: 'prompt' is empty"),
    ("rewardbench", without("prompt"), "row 3: no 'prompt'"),
    ("rewardbench", but(subset="hep-pyton"), "row 3: 'subset' is 'hep-pyton', which the suite does not have"),
    ("rewardbench", without("subset"), "row 3: no 'subset', and other rows have one"),
    ("rewardbench2", but(num_correct=2), "row 3: 'num_correct' is 2, but 'chosen' has 1 answers"),
    ("rewardbench2", but(num_correct=True), "row 3: 'num_correct' is True"),
    (
        "rewardbench2",
        but(total_completions=3),
        "row 3: 'total_completions' is 3, but 'chosen' and 'rejected' have 4",
    ),
    ("rewardbench2", but(rejected=[]), "row 3: 'rejected' has no answer"),
    ("rewardbench2", but(rejected=["a", None, "b"]), "row 3: answer 2 of 'rejected' is missing"),
    ("rewardbench2", but(chosen="a"), "row 3: 'chosen' is text, not a list"),
    ("rewardbench2", but(subset="Poetry"), "row 3: 'subset' is 'Poetry', which the suite does not have"),
    ("rewardbench2", but(subset="Ties"), "row 3: the id '2' of a row of Ties must be ref:N or tied:N"),
    ("rewardbench2", but(subset="Ties", id="ref:1"), "the id ref:1 of Ties is that of row 3 too"),
    ("rewardbench2", without("id"), "row 3: no 'id'"),
    ("rm-bench", but(chosen=["a", "b"]), "row 3: 'chosen' has 2 answers; the suite has 3 in each row"),
    ("rm-bench", but(domain="poetry"), "row 3: 'domain' is 'poetry', which the suite does not have"),
    ("rm-bench", without("domain"), "row 3: no 'domain', and other rows have one"),
    ("judgebench", but(label="A"), "row 3: 'label' is 'A', which the suite does not have"),
    ("judgebench", but(response_B=None), "row 3: no 'response_B'"),
    ("judgebench", but(question=""), "row 3: 'question' is empty"),
]


@pytest.mark.parametrize(
    ("suite", "change", "words"), BAD_ROWS, ids=lambda x: x[:50] if isinstance(x, str) else ""
)
def test_a_bad_row_is_named_and_nothing_is_written(cli, tmp_path, suite, change, words):
    rows = ROWS[suite]()
    rows[2] = change(rows[2])
    source, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    found = cli("bench", "--suite", suite, source, LENGTH, "--out", out)
    assert (found.code, words in found.line) == (3, True), found.line
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("other", ROWS)
def test_a_file_of_another_suite_says_which(cli, tmp_path, suite, other):
    found = cli("bench", "--suite", suite, file_of(tmp_path, other), LENGTH)
    if other == suite:
        assert found.code == 0
        return
    assert found.code == 3 and f"look like the suite {other}, not {suite}; give --suite {other}" in found.line


BAD_CALLS = [
    (("none.jsonl", LENGTH), 3, "none.jsonl does not exist"),
    (("empty.jsonl", LENGTH), 3, "empty.jsonl has no rows"),
    (("texts.jsonl", LENGTH), 3, "its columns (prompt, response) are of no suite; rewardbench needs"),
    (("rows.jsonl",), 2, "name what is judged: --head artifacts/fit_rm/NAME, or a golden reward"),
    (("rows.jsonl", "seed=1"), 2, "name what is judged"),
    (("rows.jsonl", LENGTH, "--head", "HEAD"), 2, "a head takes no settings, got golden=length"),
    (("rows.jsonl", LENGTH, "--device", "cpu"), 2, "give settings, such as device=cpu"),
    (("rows.jsonl", "golden=[length,sentiment]"), 2, "judges one golden reward, got length, sentiment"),
    (("rows.jsonl", "golden=weighted", "golden.weighted.weights={length:1}"), 2, "name one of its parts"),
    (("rows.jsonl", "golden=lenght"), 2, "golden=lenght: no such choice"),
    (("rows.jsonl", "golden=classifier", "golden.classifier.model=./none"), 3, "no such folder"),
    (("rows.jsonl", LENGTH, "--split", "test"), 2, "rows.jsonl is a file, which has no splits"),
    (("rows.jsonl", LENGTH, "--out", "x.csv"), 2, "--out x.csv: write a file that ends with .jsonl"),
    (("rows.jsonl", LENGTH, "--out", "rows.jsonl"), 2, "is the file that is scored"),
    (("rows.jsonl", "--head", "none"), 3, "no such folder"),
    (("rows.jsonl", "--head", "HEAD", "--base-model", "x"), 2, "reads no model"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), BAD_CALLS, ids=lambda x: " ".join(x) if isinstance(x, tuple) else ""
)
def test_a_bad_call_ends_in_one_line(cli, head, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS["rewardbench"]())
    write_rows(tmp_path / "texts.jsonl", [{"prompt": "a", "response": "b"}])
    (tmp_path / "empty.jsonl").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    found = cli("bench", "--suite", "rewardbench", *(str(head) if word == "HEAD" else word for word in words))
    assert (found.code, said in found.line) == (code, True), found.line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_all_that_is_wrong_is_told_at_once(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cli("bench", "--suite", "rewardbench", "none.jsonl", "--head", "none", "--out", "x.csv")
    assert found.code == 2 and found.err.count("rmlab: ") == 3


def test_scores_that_are_no_numbers_are_refused(cli, head, tmp_path, monkeypatch):
    source, out = file_of(tmp_path, "rewardbench"), tmp_path / "out.jsonl"
    (tmp_path / "odd_reward.py").write_text(
        "def reward(prompts, responses):\n    return [float('nan') if r.startswith('no') else 1.0 for r in responses]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    golden = ("golden=callable", "golden.callable.path=odd_reward.reward", "allow_modules=[odd_reward]")
    found = cli("bench", "--suite", "rewardbench", source, *golden, "--out", out)
    assert (
        found.code == 3
        and "gave no score for" in found.line
        and "row 1: answer 2 (the reward is nan)" in found.line
    )
    whole = Model.score_exchanges

    def broken(*arguments):
        scored = whole(*arguments)
        scored.score[3] = np.inf
        return scored

    monkeypatch.setattr(Model, "score_exchanges", broken)
    found = cli("bench", "--suite", "rewardbench", source, "--head", head, "--out", out)
    assert found.code == 3 and "gave NaN or infinity for" in found.line and "row 2: answer 2" in found.line
    assert not out.exists()


def test_a_head_of_imported_embeddings_reads_no_texts(cli, head, tmp_path):
    model = RewardModel.load(head)
    imported = replace(model.origin, embedder={"_name_": "file", "column": "embedding"})
    replace(model, origin=imported).save(tmp_path / "model")
    found = cli(
        "bench", "--suite", "rewardbench", file_of(tmp_path, "rewardbench"), "--head", tmp_path / "model"
    )
    assert found.code == 3 and "embeddings that were imported from a file" in found.line


@pytest.mark.parametrize(
    "place", ["../other.jsonl", "https://127.0.0.1:9/x.jsonl", "hf://datasets/a/b/x.jsonl"]
)
def test_a_card_leads_nowhere_else(cli, tmp_path, place):
    folder = dataset(tmp_path / "set", {"test": ROWS["rm-bench"]()})
    shutil.copy(folder / "test.jsonl", tmp_path / "other.jsonl")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("path: test.jsonl", f"path: '{place}'"))
    found = cli("bench", "--suite", "rm-bench", folder, LENGTH)
    assert found.code == 3 and f"names data outside of its folder ({place})" in found.line
    (folder / "README.md").write_text("---\n[\n---\n")
    assert "README.md cannot be read" in cli("bench", "--suite", "rm-bench", folder, LENGTH).line
    (folder / "README.md").unlink()
    many = "".join(f"- &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30))
    (folder / ".huggingface.yaml").write_text(
        f"x:\n- &a0 ['{place}']\n{many}configs:\n- config_name: default\n  data_files: *a29\n"
    )
    found = cli("bench", "--suite", "rm-bench", folder, LENGTH)
    assert f".huggingface.yaml names data outside of its folder ({place})" in found.line


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (
            ("rewardbench3", "rows.jsonl", LENGTH),
            {},
            "there is no suite rewardbench3; give one of rewardbench,",
        ),
        (("rewardbench", "rows.jsonl"), {}, "name what is judged"),
        (("rewardbench", "rows.jsonl", LENGTH), {"limit": 0}, "draw at least 1 prompt"),
        (("rewardbench", "rows.jsonl", LENGTH), {"long": "drop"}, "long must be cut or refuse"),
        (("rewardbench", "rows.jsonl", LENGTH, 3), {}, "an override must be text"),
    ],
)
def test_a_bad_call_from_python(tmp_path, monkeypatch, arguments, options, said):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS["rewardbench"]())
    with pytest.raises(rmlab.ConfigError, match=said):
        rmlab.bench(*arguments, **options)
