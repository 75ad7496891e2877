from collections import OrderedDict
from pathlib import Path

import pytest

from rmlab.config import composed as composed_module
from rmlab.config import hydra as config
from rmlab.config.grid import points
from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError

SMOKE = "experiment=smoke"


def axes(*overrides, **how):
    return [point.axes for point in points([SMOKE, *overrides], **how)]


def test_all_combinations_the_last_axis_fastest():
    found = axes("head=linear,mlp", "noise.error=0.05,0.2", "centring=0.01", "seed=0,1,2")
    assert len(found) == 12
    assert found[0] == {"head": "linear", "noise.error": "0.05", "seed": "0"}
    assert [a["seed"] for a in found[:4]] == ["0", "1", "2", "0"]
    assert [a["head"] for a in found] == ["linear"] * 6 + ["mlp"] * 6


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("seed=range(0,3)", ["0", "1", "2"]),
        ("seed=choice(4,7)", ["4", "7"]),
        ("seed=choice(4)", ["4"]),  # an axis all the same, for scripts that fill in the values
        ("seed=3,3,5", ["3", "5"]),
        ("seed=0,1 ,2", ["0", "1", "2"]),
        ("head.l2=[0.1],[1.0,2.0]", ["[0.1]", "[1.0,2.0]"]),
        ("sampling.stop=['a b'],[\"c,d\"]", ["['a b']", '["c,d"]']),
        ("model='my model','x=1'", ["my model", "x=1"]),
        ("golden=[length],[sentiment,length]", ["[length]", "[sentiment,length]"]),
        ("label_golden=null,length", ["null", "length"]),
        ("++seed=0,1", ["0", "1"]),
    ],
)
def test_the_values_of_an_axis(axis, values):
    found = axes(axis)
    assert [list(a.values()) for a in found] == [[v] for v in values]


def test_a_quoted_comma_is_no_grid():
    assert axes("model='a,b'") == [{}]


@pytest.mark.parametrize(
    "grid",
    [
        ["head=linear,mlp", "noise.error=0.1,0.2", "seed=0,7"],
        ["head=mlp", "head.hidden=[8],[16,4]", "comparisons.candidates=null,900"],
        ["experiment=smoke,none", "comparisons.n=50,60", "prompts.path=choice('b c.jsonl')"],
        ["golden=[length],[sentiment]", "embedder.dimension=8,16"],
        ["model=${name},random-tiny", "name=one,two"],
        ["arms=[],['head=mlp']", "validation={fraction:0.1},{fraction:0.3}", "revision=choice(abc)"],
    ],
)
def test_settings_are_what_hydra_composes_for_each_point(grid):
    base = [] if any(o.startswith("experiment=") for o in grid) else [SMOKE]
    found = points([*base, *grid])
    assert len(found) >= 4
    for point in found[::-3]:
        assert point.settings == load_settings(point.overrides)


def test_a_value_that_a_choice_of_files_refers_to_is_resolved_anew(tmp_path: Path):
    """The default head has no reference, so that it alone does not show that `seed` is referred to."""
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "counting.yaml").write_text(
        "_target_: rmlab.heads.linear.Linear\nmax_iterations: ${comparisons.n}\n"
    )
    found = points([SMOKE, "head=linear,counting", "comparisons.n=11,12"], tmp_path)
    assert [p.settings.head["max_iterations"] for p in found] == [500, 500, 11, 12]


@pytest.mark.parametrize("reference", ["noise.beta", "noise.count"])
def test_a_choice_that_refers_to_another_is_composed_with_it(tmp_path: Path, reference: str):
    """beta is there in the default noise too, count in the chosen ones alone."""
    for folder, name, text in [
        ("head", "counting", f"_target_: rmlab.heads.linear.Linear\nmax_iterations: ${{{reference}}}\n"),
        ("noise", "one", "_target_: rmlab.noise.logistic.Logistic\nbeta: 11\ncount: 11\n"),
        ("noise", "two", "_target_: rmlab.noise.logistic.Logistic\nbeta: 12\ncount: 12\n"),
    ]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.yaml").write_text(text)
    found = points([SMOKE, "head=linear,counting", "noise=one,two"], tmp_path)
    assert [p.settings.head["max_iterations"] for p in found] == [500, 500, 11, 12]


@pytest.fixture
def composed(monkeypatch):
    """What Hydra is asked to compose."""
    seen = []

    def counted(overrides, config_dir=None):
        seen.append(tuple(overrides))
        return config.compose_both(overrides, config_dir)

    monkeypatch.setattr(composed_module, "compose_both", counted)
    monkeypatch.setattr(composed_module, "_kept", OrderedDict())
    return seen


def test_choices_that_do_not_touch_each_other_are_composed_once_each(composed):
    found = points([SMOKE, "head=linear,mlp,trees", "loss=bradley_terry,hinge", "pairing=same_prompt,lists"])
    assert len(found) == 12 and len(composed) == 1 + 3 + 2 + 2
    for point in found[::5]:
        assert point.settings == load_settings(point.overrides)


def test_choices_are_composed_once_for_all_values_that_they_do_not_refer_to(tmp_path: Path, composed):
    """The sampler refers to comparisons.n; no head does."""
    _write(tmp_path, "sampler/echo.yaml", "_target_: echo\npath: ${comparisons.n}\n")
    found = points([SMOKE, "sampler=echo", "comparisons.n=11,12,13", "head=mlp,trees"], tmp_path)
    assert len(composed) == 1 + 3 + 2  # all, each n, each head
    for point in found:
        assert point.settings == load_settings(point.overrides, tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        "_target_: rmlab.heads.linear.Linear\nmax_iterations: ${comparisons.n}\n",
        "_target_: rmlab.heads.linear.Linear\nmax_iterations: ${prompts_per_shard}\n",
        "# @package _global_\nprompts_per_shard: 13\nhead:\n  _target_: echo\n",
        "# @package _global_\nsampler:\n  path: 12\nhead:\n  _target_: echo\n",
    ],
)
def test_a_choice_that_touches_what_others_refer_to_is_composed_anew(tmp_path: Path, head: str):
    _write(tmp_path, "sampler/echo.yaml", "_target_: echo\npath: ${comparisons.n}\n")
    _write(tmp_path, "head/one.yaml", head)
    fixed = [SMOKE, "sampler=echo", "prompts_per_shard=${comparisons.n}"]
    found = points([*fixed, "comparisons.n=12,14", "head=linear,one"], tmp_path)
    for point in found:
        assert point.settings == load_settings(point.overrides, tmp_path)


def test_a_value_within_a_choice_that_others_refer_to_outlives_the_choice(tmp_path: Path):
    """500 is what the default head has, so that setting it there changes nothing."""
    _write(tmp_path, "head/one.yaml", "_target_: rmlab.heads.linear.Linear\nmax_iterations: 11\n")
    _write(tmp_path, "sampler/echo.yaml", "_target_: echo\nmax_iterations: 1\npath: ${.max_iterations}\n")
    found = points([SMOKE, "sampler=echo", "head.max_iterations=500,600", "head=linear,one"], tmp_path)
    assert [p.settings.head["max_iterations"] for p in found] == [500, 500, 600, 600]


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_a_fixed_setting_may_be_of_the_chosen_files_alone():
    assert [p.settings.head["hidden"] for p in points([SMOKE, "head=choice(mlp)", "head.hidden=[8]"])] == [
        [8]
    ]


def test_of_plain_overrides_the_last_counts():
    assert [p.settings.centring for p in points([SMOKE, "centring=1", "seed=0,1", "centring=2"])] == [2, 2]


def test_points_share_no_state():
    first, second = points([SMOKE, "head.l2=[0.1],[1.0]"])
    assert first.settings.head["l2"] == [0.1] and second.settings.head["l2"] == [1.0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=0,1", "seed=2"], "'seed' is given twice; write its values in one: key=a,b"),
        (["seed=range(0,0)"], "seed=range(0,0) has no values; give it some: seed=a,b"),
        (["nois.error=0.1,0.2"], "unknown setting 'nois.error'"),
        (["head=linear,nope"], "head=nope: no such choice; there is: "),
        (["seed=0,x"], "seed=x: seed: Input should be a valid integer"),
        (
            ["head=mlp,trees", "head.hidden=[8]", "seed=0,1"],
            "head=trees seed=0: unknown setting 'head.hidden'",
        ),
        (["head=glob(*)"], "cannot list the values of head=glob(*)"),
        (["centring=interval(0,1)"], "cannot list the values of centring=interval(0,1)"),
        (["seed=0,"], "cannot read the override seed=0,"),
        (["seed"], "cannot read the override seed "),
        (["~seed=0,1"], "seed: Field required"),
    ],
)
def test_a_grid_that_cannot_be_is_one_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        points([SMOKE, *overrides])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
