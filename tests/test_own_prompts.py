"""Own prompts and own rewards by the obvious command: what is planned, what is called what, what is refused."""

from __future__ import annotations

import json
import sys

import pytest
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.pipeline.plan import load_arms, plan

OWN = "prompts=file", "prompts.path={path}", "model=random-tiny"


@pytest.fixture
def own(tmp_path):
    """Overrides for 30 chat prompts of one's own."""
    path = tmp_path / "mine.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"Tell me of number {i}."}]} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [word.format(path=path) for word in OWN]


@pytest.fixture
def rewards(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(
        "def brief(prompts, responses): return [-float(len(r)) for r in responses]\n"
        "def polite(prompts, responses): return [float(r.count('e')) for r in responses]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield ["golden=callable", "allow_modules=[my_rewards]"]
    sys.modules.pop("my_rewards", None)


def stages(overrides):
    return [node.stage for node in plan(load_arms(overrides))]


def test_own_prompts_are_not_fine_tuned_on_demonstrations_of_other_prompts(own):
    assert "sft" not in stages(own)
    assert load_settings(own).sft.method == "none"


def test_demonstrations_that_are_given_are_learnt_from(own, tmp_path):
    (tmp_path / "d.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    given = [*own, f"demonstrations.path={tmp_path / 'd.jsonl'}"]
    assert "sft" in stages(given) and load_settings(given).sft.method == "lora"
    assert load_settings([*given, "demonstrations=file", "sft=full"]).sft.method == "full"
    assert "sft" not in stages([*given, "sft=none"])
    assert "sft" in stages([*own, "demonstrations=openings"])


@pytest.mark.parametrize("kind", ["openings", "questions"])
def test_shipped_prompts_come_with_demonstrations_of_their_kind(kind):
    settings = load_settings([f"prompts={kind}"])
    assert settings.sft.method == "lora"
    assert settings.demonstrations.path == f"shipped:demonstrations/{kind}.jsonl"


def test_fine_tuning_that_is_asked_for_needs_demonstrations(own, cli):
    with pytest.raises(ConfigError, match="sft=lora learns from demonstrations, and there are none"):
        load_settings([*own, "sft=lora"])
    result = cli("sft", *own)
    assert result.code == 3 and "no demonstrations: demonstrations.path=FILE" in result.line


def test_prompts_of_a_config_dir_come_without_demonstrations(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.yaml").write_text(
        "path: x\ntemplate: chat\nn_train: null\nn_test: null\ntest_fraction: 0.2\nduplicates: error\n"
    )
    assert load_settings(["prompts=mine"], tmp_path).sft.method == "none"


def test_a_function_is_called_by_the_name_that_is_given_for_it(rewards):
    one = [*rewards, "golden.callable.path=my_rewards.brief"]
    assert list(load_settings(one).golden) == ["callable"]
    named = load_settings([*one, "golden.callable.name=shortness", "label_golden=shortness"])
    assert list(named.golden) == ["shortness"] and named.labelling == "shortness"
    again = load_settings([*rewards, "golden.callable.path=[my_rewards.brief]"])
    assert list(again.golden) == ["brief"]


def test_several_functions_are_several_rewards(rewards):
    several = [
        "golden=[length,callable,weighted]",
        rewards[1],
        "golden.callable.path=[my_rewards.brief,my_rewards.polite]",
        "golden.weighted.weights={brief: 1, polite: 2}",
    ]
    found = load_settings(several).golden
    assert list(found) == ["length", "brief", "polite", "weighted"]
    assert [found[name]["path"] for name in ("brief", "polite")] == ["my_rewards.brief", "my_rewards.polite"]
    named = load_settings([*several[1:3], "golden=[length,callable]", "golden.callable.name=[a,b]"]).golden
    assert list(named) == ["length", "a", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("golden.callable.path=[m.f,m.g] golden.callable.name=a", "must be a list of as many names"),
        ("golden.callable.path=[m.f,m.g] golden.callable.name=[a]", "must be a list of as many names"),
        ("golden.callable.path=[]", "has 0 functions"),
        ("golden.callable.path=[m.f,n.f]", "two golden rewards are called f; name your functions with"),
        ("golden=[length,callable] golden.callable.path=m.f golden.callable.name=length", "two golden rewards"),
        ("golden.callable.path=m.f golden.callable.name=[a,b]", "give one name"),
        ("golden.callable.path=m.f golden.callable.name=../evil", "golden"),
    ],
)  # fmt: skip
def test_names_that_fit_no_functions_are_refused(words, message):
    with pytest.raises(ConfigError, match=message) as found:
        load_settings(["golden=callable", *words.split()])
    assert "\n" not in str(found.value)


def test_rewards_of_ones_own_are_run_and_reported_under_their_names(cli, own, rewards, tmp_path):
    small = [word for word in SMALL if not word.startswith(("demonstrations", "arms"))]
    result = cli(
        "run", *small, *own, *rewards, "golden.callable.path=[my_rewards.brief,my_rewards.polite]", "seed=5",
        "arms=['head=linear']", f"out={tmp_path / 'out'}", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "sft" not in {row["stage"] for row in result.json["stages"]}
    names = {folder.name.rpartition("-")[0] for folder in (tmp_path / "out" / "annotate").iterdir()}
    assert names == {"brief", "polite"}


def test_a_missing_module_is_said_with_where_it_is_looked_for(cli, own, rewards, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = [
        "status",
        *own,
        "golden=callable",
        "golden.callable.path=unseen.reward",
        "allow_modules=[unseen]",
    ]
    result = cli(*words)
    assert result.code == 2 and "PYTHONPATH=FOLDER rmlab ..." in result.line
    (tmp_path / "here" / "unseen.py").write_text("raise SystemExit(7)\n")
    result = cli(*words)
    assert result.code == 2 and "unseen lies in the current folder" in result.line
    assert "PYTHONPATH=. rmlab ..." in result.line
