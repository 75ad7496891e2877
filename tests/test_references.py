"""Settings of a stranger refer to other settings, and to nothing that only this user knows."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from own_finding import MINE

from rmlab.config.hydra import Override, load_settings
from rmlab.config.quoting import override
from rmlab.errors import ConfigError
from rmlab.pipeline.plan import load_arms
from rmlab.sets.plan import plan_release
from rmlab.study.finding import load_findings
from rmlab.study.plan import plan_study

SECRET = "of-this-user-alone"
ASKED = "${oc.env:MY_SECRET}"


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("MY_SECRET", SECRET)


FILES = {
    "a setting": {"experiment/t.yaml": f"# @package _global_\nmodel: {ASKED}"},
    "a part of a text": {"experiment/t.yaml": f"# @package _global_\nmodel: a-{ASKED}"},
    "a name put together": {"experiment/t.yaml": "# @package _global_\ninput: env\nmodel: ${oc.${input}:MY_SECRET}"},
    "an argument": {"experiment/t.yaml": f"# @package _global_\nmodel: ${{set_choice:policy,{ASKED}}}"},
    "a text that is read again": {"experiment/t.yaml": "# @package _global_\nmodel: \"${oc.decode:'${oc.env:MY_SECRET}'}\""},
    "an arm": {"experiment/t.yaml": f"# @package _global_\narms: ['head=linear model={ASKED}']"},
    "an arm behind a backslash": {"experiment/t.yaml": f"# @package _global_\narms: ['head=linear model=\\{ASKED}']"},
    "a choice": {"experiment/t.yaml": f"# @package _global_\ndefaults:\n  - override /head: {ASKED}"},
    "a component": {"experiment/t.yaml": "# @package _global_\ndefaults:\n  - override /head: t", "head/t.yaml": f"_target_: {ASKED}"},
    "a part of a release": {"experiment/t.yaml": f"# @package _global_\nrelease: {{policies: ['a: model={ASKED}']}}"},
}  # fmt: skip


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_file_learns_nothing_of_the_environment(tmp_path, name):
    folder = written(tmp_path, FILES[name])
    with pytest.raises(ConfigError) as found:
        (plan_release if "release" in name else load_arms)(["experiment=t"], folder)
    assert SECRET not in str(found.value)
    if name not in ("a name put together", "a choice", "a text that is read again"):
        assert "${oc.env:...}" in str(found.value) and "allow_env=true" in str(found.value)


@pytest.mark.parametrize("part", ["fixed", "arms"])
def test_nor_does_a_finding(tmp_path, part):
    changes = {"fixed": [f"model={ASKED}"], "arms": {"linear": f"model={ASKED}", "trees": "head=trees"}}
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(yaml.safe_dump({**MINE, part: changes[part]}))
    with pytest.raises(ConfigError, match="allow_env=true") as found:
        plan_study(load_findings(["mine"], tmp_path), ["experiment=smoke"], 1, tmp_path)
    assert SECRET not in str(found.value)


def test_the_command_line_may_allow_it_and_no_file(tmp_path):
    folder = written(tmp_path, FILES["a setting"])
    assert load_settings(["experiment=t", "allow_env=true"], folder).model == SECRET
    assert {s.model for s in load_arms(["experiment=t", "allow_env=true"], folder).values()} == {SECRET}
    written(folder, {"experiment/t.yaml": f"# @package _global_\nallow_env: true\nmodel: {ASKED}"})
    for given_too in ([], ["allow_env=false"]):
        with pytest.raises(ConfigError, match="environment variable"):
            load_settings(["experiment=t", *given_too], folder)


@pytest.mark.parametrize(
    "reference", ["${now:%Y}", "${hydra:runtime.cwd}", "${oc.create:{a:1}}", "${mine:1}"]
)
def test_no_other_function_is_there(tmp_path, reference):
    OmegaConf.register_new_resolver("mine", lambda x: x, replace=True)
    folder = written(tmp_path, {"experiment/t.yaml": f'# @package _global_\nmodel: "{reference}"'})
    with pytest.raises(ConfigError, match="model has .*; settings may refer only to other settings"):
        load_settings(["experiment=t"], folder)
    assert OmegaConf.create({"a": "${mine:3}"}).a == 3, "the functions of others were taken away for good"


def test_references_to_settings_go_on(tmp_path):
    folder = written(tmp_path, {"experiment/t.yaml": '# @package _global_\nmodel: "m-${seed}-${sft.method}"'})
    assert load_settings(["experiment=t", "seed=5", "sft=none"], folder).model == "m-5-none"


@pytest.mark.parametrize("name", ["${oc.env:MY_SECRET}", "é", "a\\'b", "a\\", "50 %", "a:b"])
def test_a_folder_of_settings_may_have_any_name(tmp_path, name):
    folder = written(tmp_path / name, {"head/mine.yaml": "_target_: rmlab.heads.linear.Linear"})
    assert load_settings(["head=mine"], folder).head["_target_"].endswith("Linear")


HARD = st.sampled_from(
    [*"${}:\\'\"[](),=~%@!#&;|<>*?`^ \t\n\ré", "${", "null", "1", "e", ".", "-", "/", "\u202e"]
)
TEXT = st.lists(
    st.one_of(HARD, st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1
)


@settings(max_examples=25, deadline=None)
@given(TEXT.map("".join))
@example("${oc.env:MY_SECRET}.jsonl")
@example("\\${seed}'\\\\")
@example("$${seed}\\")
@example("é.jsonl")
@example("1_000")
@example("+inf")
@example("~/x")
@example("null")
@pytest.mark.slow
def test_any_text_comes_back_from_its_override(text):
    read = Override.parse(override("input", text))
    assert read.values == (read.text,)
    found = load_settings(["experiment=imported", read.text])
    assert found.input == found.prompts.path == text


def test_values_of_an_axis_are_quoted_one_by_one():
    axis = Override.parse(override("set.policy", "null", "1.0", "plain", "a,b"))
    assert [Override.parse(f"set.policy={v}").value for v in axis.values] == ["null", "1.0", "plain", "a,b"]
