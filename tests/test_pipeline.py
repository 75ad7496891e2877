import pytest
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError
from rmlab.pipeline.plan import _arm_name, load_arms, plan
from rmlab.pipeline.run import run_nodes

SMOKE = "experiment=smoke"


def prints(*overrides):
    """(stage, name) -> fingerprint"""
    return {(n.stage, n.name): n.fingerprint for n in plan(load_arms([SMOKE, *overrides]))}


def changed(*overrides):
    """The stages whose fingerprint an override changes."""
    before, after = set(prints().values()), plan(load_arms([SMOKE, *overrides]))
    return sorted({n.stage for n in after if n.fingerprint not in before})


def test_inputs_come_before_what_reads_them():
    nodes = plan(load_arms([SMOKE]))
    seen = set()
    for node in nodes:
        assert all(n.fingerprint in seen for n in node.inputs.values())
        seen.add(node.fingerprint)
    assert [n.stage for n in nodes] == [
        "prompts", "sft", "sample", "annotate", "annotate", "embed",
        "fit_rm", "fit_rm", "fit_rm", "fit_rm", "eval_rm", "report",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "knob", ["out=elsewhere", "device=cpu", "prompts_per_shard=3", "sft.checkpoint_steps=7"]
)
def test_run_time_knobs_change_no_result(knob):
    assert changed(knob) == []


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("seed=3", ["eval_rm", "fit_rm", "report"]),
        ("noise.beta=3", ["eval_rm", "fit_rm", "report"]),
        ("evaluation.resamples=700", ["eval_rm", "report"]),
        ("embedder.dimension=32", ["embed", "eval_rm", "fit_rm", "report"]),
        ("label_golden=length", ["eval_rm", "fit_rm", "report"]),
        ("sft.rank=8", ["annotate", "embed", "eval_rm", "fit_rm", "report", "sample", "sft"]),
        ("generation_seed=1", ["annotate", "embed", "eval_rm", "fit_rm", "report", "sample", "sft"]),
        ("sampling.top_p=0.9", ["annotate", "embed", "eval_rm", "fit_rm", "report", "sample"]),
    ],
)
def test_a_setting_changes_what_depends_on_it_and_no_more(override, stages):
    assert changed(override) == stages


def test_a_user_s_override_beats_the_arms_and_equal_arms_count_once():
    names = [n.name for n in plan(load_arms([SMOKE, "head=mlp"])) if n.stage == "fit_rm"]
    assert names == ["mlp-bradley_terry", "mlp-classification"]


def test_arms_are_told_apart_by_what_they_change():
    arms = "arms=['head=linear pairing=cross_prompt','head=linear noise.beta=5']"
    names = [n.name for n in plan(load_arms([SMOKE, arms])) if n.stage == "fit_rm"]
    assert names == ["linear-bradley_terry.pairing_cross_prompt", "linear-bradley_terry.beta_5"]


def test_no_arm_is_lost_to_another_of_the_same_name():
    arms = "arms=['noise.beta=0.5','noise.beta=1.5','embedder.dimension=[8]','head.l2=a/b','a.x=1','b.x=1']"
    settings = load_settings([SMOKE])
    named = [_arm_name(settings, arm) for arm in load_settings([SMOKE, arms]).arms]
    assert named[:4] == [
        "linear-bradley_terry.beta_0.5",
        "linear-bradley_terry.beta_1.5",
        "linear-bradley_terry.dimension_8",
        "linear-bradley_terry.l2_a_b",
    ]
    two = "arms=['pairing=cross_prompt pairing.choice=random noise.beta=2','noise.beta=2 seed=5 seed=0']"
    names = [n.name for n in plan(load_arms([SMOKE, two])) if n.stage == "fit_rm"]
    assert len(names) == len(set(names)) == 2
    twins = {"": settings, "noise.beta=2": load_settings([SMOKE, "noise.beta=2"])}
    twins["validation.beta=2"] = load_settings([SMOKE, "noise.beta=3"])
    names = [n.name for n in plan(twins) if n.stage == "fit_rm"]
    assert names == ["linear-bradley_terry.beta_2", "linear-bradley_terry.beta_2-2"]


def test_arms_may_have_embeddings_of_their_own():
    arms = "arms=['head=linear','head=linear embedder.dimension=16']"
    nodes = plan(load_arms([SMOKE, arms]))
    assert sum(n.stage == "embed" for n in nodes) == 2
    assert len(next(n for n in nodes if n.stage == "eval_rm").inputs) == 3 + 2 + 2


def test_arms_that_could_not_be_compared_are_refused():
    with pytest.raises(ConfigError, match="changes sample; all arms must be judged on the same"):
        plan(load_arms([SMOKE, "arms=['head=mlp','sampling.n_test=3']"]))
    with pytest.raises(ConfigError, match="changes validation"):
        plan(load_arms([SMOKE, "arms=['head=mlp','validation.fraction=0.5']"]))


def test_no_arms_is_one_arm():
    names = [n.name for n in plan(load_arms([SMOKE, "arms=[]"])) if n.stage == "fit_rm"]
    assert names == ["linear-bradley_terry"]


def test_the_prompts_file_counts_by_content_not_by_name(tmp_path):
    from rmlab.paths import user_path

    copy = tmp_path / "openings.jsonl"
    copy.write_bytes(user_path("shipped:prompts/openings.jsonl").read_bytes())
    demonstrations = "demonstrations.path=shipped:demonstrations/openings.jsonl"
    assert changed(f"prompts.path={copy}", demonstrations) == []
    with copy.open("a") as file:
        file.write('{"prompt": "One more", "split": "test"}\n')
    assert "prompts" in changed(f"prompts.path={copy}", demonstrations)


def test_without_sft_the_model_itself_is_the_policy():
    nodes = {n.stage: n for n in plan(load_arms([SMOKE, "sft=none"]))}
    assert "sft" not in nodes
    assert nodes["sample"].sources["model"].identity.startswith("carried:random-tiny")


def test_a_stage_alone_needs_its_inputs(tmp_path):
    nodes = [n for n in plan(load_arms([SMOKE, f"out={tmp_path}"])) if n.stage == "annotate"]
    with pytest.raises(InputError, match="annotate needs prompts .*`rmlab sample`"):
        run_nodes(nodes, "test", quiet=True, alone=True)


def test_quick_scoring_names_the_heads_that_have_such_a_form_whatever_their_embeddings(
    cli, tmp_path, monkeypatch
):
    monkeypatch.setattr("rmlab.evaluation.score.WORTH_TRYING", 1)
    monkeypatch.setattr("rmlab.heads.fitted.quick.AGREEMENT", 0.5)  # a few responses give few directions
    mlp = "head=mlp head.hidden=[1024,512] head.epochs=2"
    arms = f"arms=['{mlp}','{mlp} embedder.dimension=32','head=linear']"
    made = cli("run", *SMALL, "sft=none", arms, "evaluation.scoring=quick", f"out={tmp_path}", "--json")
    [judged] = [stage for stage in made.json["stages"] if stage["stage"] == "eval_rm"]
    quick = judged["metrics"]["quick"]
    assert len(quick) == 2 and all(name.startswith("mlp-") for name in quick)
