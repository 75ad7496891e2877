"""A setting that is not there, or has several values where one is wanted: the line says what to type."""

from __future__ import annotations

import re
import shlex

import pytest

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.pipeline.plan import load_arms


def refusal(*overrides, config_dir=None):
    with pytest.raises(ConfigError) as found:
        load_settings(["experiment=smoke", *overrides], config_dir)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("heda=mlp", "did you mean head?"),
        ("head=mpl", "did you mean mlp?"),
        ("experiment=dmeo", "did you mean demo?"),
        ("sampling.n_trian=3", "did you mean sampling.n_train?"),
        ("noise.eror=0.1", "did you mean noise.error?"),
        ("resamples=100", "did you mean evaluation.resamples?"),
        ("n=4", "did you mean comparisons.n, teacher.n or demonstrations.n?"),
        ("sample.n_test=4", "did you mean sampling.n_test or prompts.n_test?"),
        ("hiden=[8]", "did you mean head.hidden?"),
        ("head.hidden=[8]", "head.hidden is of head=mlp, head=mlp_study or head=mlp_study_as_written: add head=mlp;"),
        ("hidden=[8]", "hidden is of head=mlp, head=mlp_study or head=mlp_study_as_written: write head=mlp head.hidden=..."),
        ("golden.format.kind=json", "golden.format.kind is of golden=format: add golden=format"),
        ("+sampling.n_trian=3", "did you mean sampling.n_train?"),
        ("+zzzz=3", "unknown setting 'zzzz'; `rmlab settings` lists all"),
    ],
)  # fmt: skip
def test_an_unknown_setting_names_the_one_that_was_meant(override, hint):
    line = refusal(override)
    assert hint in line
    assert "no such choice" in line or line.endswith("`rmlab settings` lists all")


def test_what_is_suggested_can_be_set():
    assert load_settings(["head=mlp", "head.hidden=[8]"]).head["hidden"] == [8]


def test_settings_of_a_config_dir_are_known(tmp_path):
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_text("_target_: mine.Head\nspikiness: 1  # how spiky\n")
    assert "spikiness is of head=mine: write head=mine head.spikiness=..." in refusal(
        "spikiness=2", config_dir=tmp_path
    )


def lines_of(message, command):
    """The command lines of a message that begin with these words."""
    found = re.findall(rf"rmlab {command} [^;]+", message)
    return [shlex.split(line)[2:] for line in found]


def test_several_heads_in_a_run_are_the_arms_or_the_sweep_that_the_message_types():
    given = ["seed=3", "head=linear,mlp", "loss=bradley_terry,hinge"]
    message = refusal(*given)
    [arms], [sweep] = lines_of(message, "run"), lines_of(message, "sweep")
    assert "--" not in message and sweep == ["experiment=smoke", *given]
    found = load_arms(arms)
    assert list(found)[1:] == [
        f"head={h} loss={x}" for h in ("linear", "mlp") for x in ("bradley_terry", "hinge")
    ]
    assert found[""].seed == 3 and found["head=mlp loss=hinge"].head["_target_"].endswith("Mlp")


def test_what_all_arms_share_is_only_swept(cli):
    message = refusal("sampling.n_train=3,4")
    assert not lines_of(message, "run")
    assert lines_of(message, "sweep") == [["experiment=smoke", "sampling.n_train=3,4"]]
    result = cli("run", "experiment=smoke", "head=linear,mlp")
    assert result.code == 2 and 'arms=["head=linear","head=mlp"]' in result.line


def test_a_value_with_a_comma_is_quoted_as_the_message_says():
    message = refusal("name=a,b")
    [quoted] = re.findall(r"part of the value: (.+)$", message)
    with pytest.raises(ConfigError, match="name: "):  # read as one value, which no name may be
        load_settings(shlex.split(quoted))
