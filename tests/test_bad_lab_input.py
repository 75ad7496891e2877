"""What cannot be fitted or judged: one line that says what to change, the right exit code, nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from resealed import rewrite
from small_settings import SMALL

PART = "part-00000.parquet"
BEFORE_HEADS = ("prompts", "sft", "sample", "annotate", "embed")


@pytest.fixture(scope="module")
def read_only(small_run, tmp_path_factory) -> Path:
    """Everything before the heads: for errors that write nothing."""
    out = tmp_path_factory.mktemp("bad") / "artifacts"
    for stage in BEFORE_HEADS:
        shutil.copytree(small_run / stage, out / stage)
    return out


@pytest.fixture
def lab(read_only, tmp_path) -> Path:
    """The same, to be spoilt."""
    shutil.copytree(read_only, tmp_path / "a")
    return tmp_path / "a"


def refused(cli, out: Path, *overrides: str, stage: str = "fit-rm", arms: str = "arms=[]") -> tuple[int, str]:
    """Exit code and the one line; there is no finished artifact of the stage."""
    result = cli(stage, *SMALL, arms, f"out={out}", *(o for some in overrides for o in some.split()))
    assert result.code != 0, result.out
    made = stage.replace("-", "_")
    assert not list((out / made).glob("*/manifest.json")), "something that looks whole was written"
    assert not list((out / made).rglob("*.tmp"))
    assert "unexpected" not in result.line and "\n" not in result.line
    return result.code, result.line


def fits(cli, out: Path, *overrides: str) -> None:
    result = cli("fit-rm", *SMALL, "arms=[]", f"out={out}", *(o for some in overrides for o in some.split()))
    assert result.code == 0, result.err


SETTINGS = {
    "selection=entropy": "set comparisons.rounds to 2 or more",
    "selection=d_optimal comparisons.rounds=1": "set comparisons.rounds to 2 or more",
    "comparisons.rounds=61": "comparisons: rounds=61 is more than n=60; lower comparisons.rounds",
    "comparisons.rounds=2 comparisons.candidates=59": "raise comparisons.candidates or lower comparisons.n",
    "comparisons.rounds=0": "comparisons.rounds: Input should be greater than or equal to 1",
    "selection=entropy comparisons.rounds=2 comparisons.n=20 pairing=lists loss=plackett_luce": "set pairing=same_prompt",
    "selection=coreset comparisons.rounds=2 comparisons.n=20 pairing=unpaired loss=unpaired": "set pairing=same_prompt",
    "selection=entropy comparisons.rounds=2 comparisons.n=20 head=trees loss=classification": "use head=linear, mlp or laplace",
    "pairing=lists comparisons.n=20": "bradley_terry compares 2 responses, not 4: use",
    "pairing=lists comparisons.n=20 loss=soft_labels": "loss=choice, plackett_luce or all_pairs",
    "pairing=lists comparisons.n=20 pairing.answer=choice loss=plackett_luce": "use loss=choice or pairing.answer=ranking",
    "pairing=lists comparisons.n=20 pairing.answer=choice loss=all_pairs": "use loss=choice or pairing.answer=ranking",
    "pairing=lists comparisons.n=20 loss=choice head=directions": "use head=linear or head=mlp",
    "pairing=lists comparisons.n=20 loss=choice head=trees": "use head=linear or head=mlp",
    "pairing=unpaired comparisons.n=20": "bradley_terry compares 2 responses, not 1: use",
    "pairing=unpaired comparisons.n=20 loss=choice": "use pairing=lists, or loss=unpaired",
    "pairing=same_prompt loss=unpaired": "use pairing=unpaired, or loss=classification",
    "pairing=lists pairing.k=1": "k is 1: use at least 2",
    "pairing.choice=alike": "random",
    "head=trees loss=hinge": "add loss=classification",
    "head=trees loss=classification centring=0.1": "add loss=classification centring=0",
    "head=laplace loss=distributional": "set loss=bradley_terry or head=linear",
    "head=laplace loss=hinge head.l2=1": "set loss=bradley_terry or head=linear",
    "head=laplace head.l2=0": "l2 must be > 0",
    "loss=noise_corrected head.l2=0": "set head.l2 or head.weight_decay > 0",
    "loss=noise_corrected head.l2=[0,1]": "set head.l2 or head.weight_decay > 0",
    "loss=noise_corrected head=mlp head.weight_decay=0": "set head.l2 or head.weight_decay > 0",
    "loss=noise_corrected head.l2=0 ensemble.members=2": "set head.l2 or head.weight_decay > 0",
    "loss=distributional ensemble.members=2": "set ensemble.resample=false",
    "ensemble.members=0": "ensemble.members",
    "ensemble.combine=median": "'mean', 'min' or 'lcb'",
    "ensemble.k=inf": "ensemble.k",
    "centring=-1": "centring",
    "noise.error=0.5": "use a rate in [0, 0.5)",
    "noise=crowd noise.errors=[0.1,0.6]": "use one rate in [0, 0.5) or more",
    "noise=crowd noise.per_comparison=4": "use 1 to 3, or null for all",
    "noise=random_flips noise.rate=1.5": "use a share in [0, 1]",
    "head.l2=[]": "l2 must be one or more finite numbers",
}


@pytest.mark.parametrize("overrides", SETTINGS)
def test_settings_that_do_not_go_together(cli, read_only, overrides):
    code, line = refused(cli, read_only, overrides)
    assert code == 2 and SETTINGS[overrides] in line


BUDGETS = {
    "comparisons.n=101": "asked for 101 comparisons, but only 100 distinct same-prompt pairs exist: lower comparisons.n",
    "comparisons.n=5000 pairing=cross_prompt": "distinct cross-prompt pairs exist: lower comparisons.n",
    "pairing=response_sets": "and 10 prompts have two responses: set comparisons.n=null for a pair of each",
    "comparisons.n=110 comparisons.budget=all": "gives 22 of comparisons.n=110 to validation, but validation prompts allow 20",
    "comparisons.n=51 pairing=lists loss=choice": "only 50 distinct random lists of 4 exist: lower comparisons.n",
    "comparisons.n=51 pairing=unpaired loss=unpaired": "only 50 distinct responses exist: lower comparisons.n",
    "comparisons.n=20 pairing=lists pairing.k=6 loss=choice": "no prompt has more than 5: lower pairing.k",
    "comparisons.rounds=2 comparisons.n=101": "comparisons.n=101 is more than the 100 distinct comparisons there are",
    "comparisons.rounds=2 comparisons.candidates=101": "comparisons.candidates=101 is more than the 100 distinct",
    "validation.fraction=0.99": "lower comparisons.n or sample more responses",
}


@pytest.mark.parametrize("overrides", BUDGETS)
def test_more_than_the_responses_allow(cli, read_only, overrides):
    code, line = refused(cli, read_only, overrides)
    assert code == 2 and BUDGETS[overrides] in line


USELESS = {
    "pairing=response_sets pairing.equal_n=true comparisons.n=null": "fewer than 10 pairs are too few for a head",
    "comparisons.rounds=2 comparisons.n=100": "without ties are fewer than comparisons.n=100; raise comparisons.candidates or lower",
    "pairing=unpaired loss=unpaired comparisons.n=20 noise.threshold=-1000 noise.beta=100": "were found good; a head needs answers of both kinds",
    "pairing=unpaired loss=unpaired comparisons.n=20 noise.threshold=1000 noise.beta=100": "were found not good; a head needs",
    "pairing=unpaired loss=unpaired comparisons.n=20 noise=none noise.threshold=-9 head=trees": "answers of both kinds",
}


@pytest.mark.parametrize("overrides", USELESS)
def test_responses_that_no_head_can_be_fitted_on(cli, read_only, overrides):
    code, line = refused(cli, read_only, overrides)
    assert code == (2 if "equal_n" in overrides else 3) and USELESS[overrides] in line  # 2: told by the plan


def one(out: Path, stage: str, name: str = "*") -> Path:
    """The part of the only artifact of a stage."""
    [part] = (out / stage).glob(f"{name}/{PART}")
    return part


def ids_of(out: Path, split: str) -> list[str]:
    table = pq.read_table(one(out, "sample"))
    return table.filter(pa.compute.field("split") == split)["response_id"].to_pylist()


def vectors(table: pa.Table) -> np.ndarray:
    column = table["embedding"].combine_chunks()
    return np.array(column.flatten()).reshape(-1, column.type.list_size)


def with_vectors(table: pa.Table, x: np.ndarray) -> pa.Table:
    kind = pa.list_(pa.field("item", pa.from_numpy_dtype(x.dtype), nullable=False), x.shape[1])
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), type=kind)
    return table.set_column(table.schema.get_field_index("embedding"), "embedding", column)


def spoil_embeddings(out: Path, ids: list[str], value: float) -> None:
    part = one(out, "embed")
    table = pq.read_table(part)
    x = vectors(table).copy()
    x[np.isin(table["response_id"].to_pylist(), ids), 1] = value
    rewrite(part, with_vectors(table, x))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_no_numbers(cli, lab, value):
    spoil_embeddings(lab, ids_of(lab, "train"), value)
    for more in ("", "head=mlp", "head=trees loss=classification", "head=laplace", "head=directions"):
        code, line = refused(cli, lab, more)
        assert code == 3 and "NaN or infinity" in line and "embed" in line
    assert cli("embed", *SMALL, f"out={lab}", "--force").code == 0
    fits(cli, lab)


def test_an_embedding_that_is_no_number_and_is_not_compared(cli, lab):
    """It is scored to normalise the rewards, so it is found all the same."""
    spoil_embeddings(lab, ids_of(lab, "train")[::7], np.nan)
    code, line = refused(cli, lab, "comparisons.n=4", "comparisons.n_validation=4 head.l2=1")
    assert code == 3 and "NaN or infinity" in line


@pytest.mark.parametrize("split", ["test", "train"])
def test_an_embedding_that_is_no_number_at_the_judging(cli, lab, split):
    """Of train prompts the regression on golden scores reads them all."""
    fits(cli, lab)
    spoil_embeddings(lab, ids_of(lab, split)[3:6], np.nan)
    code, line = refused(cli, lab, stage="eval-rm")
    assert code == 3 and "NaN" in line and "embed" in line


def spoil_scores(out: Path, change) -> None:
    part = one(out, "annotate", "sentiment-*")
    table = pq.read_table(part)
    scores = change(table["score"].to_numpy().copy(), table["response_id"].to_pylist())
    rewrite(part, table.set_column(table.schema.get_field_index("score"), "score", scores))


@pytest.mark.parametrize(
    "how",
    [
        "",
        "pairing=cross_prompt",
        "pairing.choice=diverse",
        "pairing=lists loss=choice comparisons.n=20",
        "pairing=unpaired loss=unpaired comparisons.n=20",
        "noise=random_flips",
        "noise=largest_margin_flips",
        "noise=crowd",
        "noise=none",
        "noise.scale=1",
        "noise.keep_ties=true",
        "comparisons.rounds=2 selection=entropy comparisons.n=20",
    ],
)
def test_golden_rewards_that_never_vary(cli, lab, how):
    spoil_scores(lab, lambda score, ids: pa.array(np.full(len(score), 2.5)))
    code, line = refused(cli, lab, how)
    assert code == 3 and (
        "equal golden rewards" in line or "golden rewards are equal" in line or "threshold" in line
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_golden_rewards_that_are_no_numbers(cli, lab, value):
    bad = ids_of(lab, "train")[:2]
    spoil_scores(
        lab,
        lambda score, ids: pa.array(
            [value if i in bad else float(s) for i, s in zip(ids, score)], pa.float64()
        ),
    )
    found = cli("fit-rm", *SMALL, "arms=[]", f"out={lab}", "noise=random_flips")
    assert found.code == 0, found.err
    assert "2 responses that golden reward sentiment failed on are left out" in found.err


def test_an_error_rate_that_no_noise_gives(cli, lab):
    """Golden rewards that differ by the least a double can."""
    spoil_scores(lab, lambda score, ids: pa.array(np.arange(len(score)) * 5e-324))
    code, line = refused(cli, lab, "noise.error=0.3")
    assert code == 3 and "no beta gives the error 0.3: use a rate further from 0 and 0.5" in line


def test_parts_of_embeddings_that_do_not_go_together(cli, lab):
    part = one(lab, "embed")
    table = pq.read_table(part)
    half = table.num_rows // 2
    rest = table.slice(half)
    rewrite(part, table.slice(0, half))
    second = part.with_name("part-00001.parquet")
    rewrite(second, rest)
    fits(cli, lab, "head.l2=1")
    for other, what in (
        (vectors(rest)[:, :-3], "numbers, but the parts before it vectors of 64 float32 numbers"),
        (vectors(rest).astype(np.float16), "vectors of 64 float16 numbers"),
    ):
        rewrite(second, with_vectors(rest, other))
        shutil.rmtree(lab / "fit_rm")
        code, line = refused(cli, lab, "head.l2=1")
        assert code == 3 and second.name in line and what in line and "`rmlab embed` again" in line


def test_a_head_of_another_width(cli, lab):
    fits(cli, lab)
    part = one(lab, "embed")
    table = pq.read_table(part)
    rewrite(part, with_vectors(table, vectors(table)[:, :-3]))
    code, line = refused(cli, lab, stage="eval-rm")
    assert (
        code == 3
        and "this head scores embeddings of width 64, got" in line
        and "embed with the model" in line
    )


def test_a_head_that_was_tampered_with(cli, lab):
    fits(cli, lab)
    [head] = (lab / "fit_rm").glob("*/head/head.safetensors")
    data = bytearray(head.read_bytes())
    data[-1] ^= 1
    head.write_bytes(bytes(data))
    code, line = refused(cli, lab, stage="eval-rm")
    assert code == 3 and "its content is not what was written" in line and "rmlab verify --repair" in line


@pytest.mark.parametrize("stage", ["annotate", "embed"])
def test_judging_without_the_scores_or_embeddings_of_some(cli, lab, stage):
    fits(cli, lab)
    part = one(lab, stage, "sentiment-*" if stage == "annotate" else "*")
    table = pq.read_table(part)
    missing = ids_of(lab, "test")[:3]
    rewrite(part, table.filter(pa.array([i not in missing for i in table["response_id"].to_pylist()])))
    code, line = refused(cli, lab, stage="eval-rm")
    assert code == 3 and "for 3 responses" in line


def test_one_response_a_prompt(cli, tmp_path):
    """No pair within a prompt; pairs across prompts can be fitted and judged, best of 1 being the mean."""
    few = (
        "sft=none",
        "golden=length",
        "prompts.n_train=20",
        "sampling.n_train=1",
        "sampling.n_test=1",
        "comparisons.n=20",
        "comparisons.n_validation=3",
    )
    result = cli("run", *SMALL, *few, "arms=[]", f"out={tmp_path}")
    assert (
        result.code == 2
        and "every prompt has one response: sample at least 2, or use pairing=cross_prompt" in result.line
    )
    assert not list((tmp_path / "fit_rm").glob("*/manifest.json"))
    result = cli("run", *SMALL, *few, "arms=[]", f"out={tmp_path}", "pairing=cross_prompt", "--json")
    assert result.code == 0, result.err
    best = result.json["evaluation"]["best_of_n"]
    assert {arm["n"] for arm in best.values()} == {1} and len({arm["value"] for arm in best.values()}) == 1
    metrics = next(s for s in result.json["stages"] if s["stage"] == "eval_rm")
    table = pq.read_table(Path(metrics["path"]) / "metrics.parquet").to_pandas()
    within = table[table["metric"].isin(["spearman", "kendall", "accuracy"])]
    assert within["value"].isna().all() and (within["n_prompts"] == 0).all()
