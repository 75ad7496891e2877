"""Looking at many arms and artifacts: settings are composed once, folders listed once, manifests read once."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest

from rmlab.commands import status
from rmlab.config import grid
from rmlab.config import hydra as config
from rmlab.config.composed import Composed, composed_of
from rmlab.config.grid import Composer
from rmlab.config.hydra import compose_both, load_settings
from rmlab.errors import RmlabError
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.state import States
from rmlab.storage.digest import file_digest
from rmlab.storage.manifest import MANIFEST, FileRecord, Manifest, write_manifest
from rmlab.study.finding import load_findings

SMOKE = "experiment=smoke"
POOL = (
    "head=linear", "head=mlp", "head=nope", "head.hidden=[8]", "head.l2=0.1", "head.l2=1", "+head.more=1",
    "head={l2: 3}", "noise=logistic", "noise.beta=2", "noise={beta: 3}", "set.policy=a", "set={policy: b}", "seed=3",
    "seed=x", "+seed=4", "++seed=5", "~seed", "sed=3", "label_golden=length", "golden=[length]", "out=elsewhere",
    "sampling.stop=[a]", "sampling.stop=[???]", "name=${model}", "model=other", "name=other", "validation.seed=${seed}",
    "validation={fraction: 0.3}", "validation.fraction=0.1", "teacher.head.l2=0.1", "head@teacher.head=mlp", "teacher.n=9",
    "experiment=none", "experiment=demo", "comparisons={n: 30}", "comparisons.n=7", "comparisons.n=0", "head=a,b", "word",
    "head=[", "release.license=???", "crossval.folds=3", "trust_remote_code=true", "objectives={length: 1}",
    "pairing=lists", "loss=choice", "selection=entropy", "comparisons.rounds=2", "arms={a: 1}", "arms=5", "head.l2=[1,2]",
)  # fmt: skip
FIXED = (
    [], ["comparisons.n=40", "head.l2=0.3"], ["set={policy: c}", "seed=9"], ["name=${model}", "head=mlp"],
    ["validation.seed=${seed}", "set.policy=p"], ["~teacher.n", "+teacher.n=null"],
)  # fmt: skip


def outcome(ask, *asked):
    """The settings, or the one line that says why there are none."""
    try:
        return ask(*asked)
    except RmlabError as error:
        return f"{type(error).__name__}: {error}"


def is_as_anew(arm: list[str], fixed: list[str], composer: Composer) -> bool:
    return outcome(composer.settings_before, arm) == outcome(load_settings, [*arm, *fixed])


@pytest.mark.slow
def test_settings_of_the_arms_of_every_finding_are_those_that_hydra_composes_for_each():
    arms = dict.fromkeys(arm for finding in load_findings() for arm in finding.arms.values())
    composer = Composer([SMOKE], None)
    assert len(arms) > 30 and [arm for arm in arms if not is_as_anew(arm.split(), [SMOKE], composer)] == []


@pytest.mark.slow
@pytest.mark.parametrize("more", FIXED, ids=" ".join)
def test_any_overrides_give_what_hydra_composes_of_them_errors_too(more):
    fixed = [SMOKE, *more]
    rng, composer = random.Random(str(fixed)), Composer(fixed, None)
    arms = [rng.sample(POOL, rng.choice([1, 1, 2, 2, 3, 4])) for _ in range(8)]
    assert [arm for arm in arms if not is_as_anew(arm, fixed, composer)] == []
    kinds = {type(outcome(composer.settings_before, arm)) for arm in arms}
    assert len(kinds) == 2, "settings and errors"


@pytest.mark.parametrize(
    ("more", "arm"),
    [
        (["set={policy: c}"], ["set.policy=a"]),
        (["set.policy=c"], ["set={policy: a, reward: b}"]),
        ([], ["set.policy=a", "set={policy: b}"]),
        ([], ["seed=3", "+seed=4"]),
        (["seed=1"], ["+seed=4"]),
        (["head.l2=1"], ["head=mlp"]),
        (["comparisons={n: 30}"], ["comparisons.n=7", "seed=2"]),
        ([], ["sampling.stop=[???]"]),
        ([], ["label_golden=length", "label_golden=sentiment"]),
        ([], ["~seed", "head=mlp"]),
    ],
)
def test_where_the_order_of_overrides_counts_it_is_kept(more, arm):
    assert is_as_anew(arm, [SMOKE, *more], Composer([SMOKE, *more], None))


@pytest.fixture
def composed(monkeypatch):
    """What Hydra is asked to compose."""
    seen = []
    true = config._composed

    def counted(overrides, config_dir):
        seen.append(tuple(overrides))
        return true(overrides, config_dir)

    monkeypatch.setattr(config, "_composed", counted)
    monkeypatch.setattr("rmlab.config.composed._kept", OrderedDict())
    return seen


def test_the_next_command_with_the_same_choices_takes_no_composition(composed):
    load_arms(many(2))
    before = len(composed)
    again = load_arms([*many(2), "seed=3", "out=elsewhere"])
    assert len(composed) == before
    assert again[""] == load_settings([*many(2), "seed=3", "out=elsewhere"])


@pytest.mark.parametrize("more", FIXED, ids=" ".join)
def test_what_is_kept_gives_what_hydra_composes_errors_too(more):
    rng = random.Random(f"kept {more}")
    for _ in range(6):
        texts = [SMOKE, *more, *rng.sample(POOL, rng.choice([1, 2, 3]))]
        kept = outcome(lambda texts: composed_of(texts, None), texts)
        anew = outcome(lambda texts: Composed(*compose_both(texts)), texts)
        assert kept == anew, texts


def test_changed_files_of_settings_are_read_again(tmp_path):
    file = tmp_path / "head" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("_target_: rmlab.heads.linear.LinearHead\nl2: 0.5\n")
    texts = [SMOKE, "head=mine"]
    assert composed_of(texts, tmp_path).values["head"]["l2"] == 0.5
    file.write_text("_target_: rmlab.heads.linear.LinearHead\nl2: 0.25\n")
    assert composed_of([*texts, "seed=2"], tmp_path).values["head"]["l2"] == 0.25


def test_a_folder_with_much_beside_settings_is_no_trouble(tmp_path):
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "gone.yaml").symlink_to("nowhere")
    deep = tmp_path / "project" / "much"
    deep.mkdir(parents=True)
    (deep / "not_settings.yaml").write_text("{")
    found = outcome(lambda: composed_of([SMOKE, "seed=4"], tmp_path).values["seed"])
    assert found == outcome(lambda: compose_both([SMOKE, "seed=4"], tmp_path)[0]["seed"])


def test_what_a_reference_reads_elsewhere_is_not_kept(monkeypatch):
    texts = [SMOKE, "allow_env=true", "name=${oc.env:RMLAB_NAME}"]
    for name in ("a", "b"):
        monkeypatch.setenv("RMLAB_NAME", name)
        assert composed_of(texts, None).values["name"] == name


def many(n: int, *more: str) -> list[str]:
    arms = [f"head={('linear', 'mlp')[k % 2]} noise.beta={1 + k} centring=0.1" for k in range(n)]
    return [SMOKE, "arms=[" + ",".join(f"'{arm}'" for arm in arms) + "]", *more]


def test_arms_that_choose_among_the_same_files_take_no_more_compositions(composed, monkeypatch):
    monkeypatch.setattr(grid, "compose", lambda *_: pytest.fail("composed anew"))
    arms = load_arms(many(60))
    assert len(arms) == 61 and len(composed) == 3  # the experiment, and each head
    assert arms["head=mlp noise.beta=60 centring=0.1"].noise["beta"] == 60


def test_arms_share_the_nodes_before_their_heads():
    nodes = plan(load_arms(many(12)))
    heads = [n for n in nodes if n.stage == "fit_rm"]
    assert len(heads) == 12 and len({id(n.inputs["embed"]) for n in heads}) == 1
    assert [n.settings.noise["beta"] for n in heads] == list(range(1, 13))


def finished(node: Node, beta: int = 0) -> Path:
    """A finished artifact as the node's stage would leave it, or as that of another noise."""
    noise = {**node.config["noise"], "beta": beta} if beta else node.config["noise"]
    node = replace(node, config={**node.config, "noise": noise})
    folder = node.folder
    folder.mkdir(parents=True)
    (folder / "head.json").write_text("{}")
    files = [FileRecord("head.json", 2, file_digest(folder / "head.json"))]
    inputs = node.input_records(dict.fromkeys(node.inputs, ""))
    made = Manifest(
        node.stage, node.name, node.version, node.fingerprint, dict(node.config), inputs, files, 1
    )
    write_manifest(folder, made)
    return folder


@pytest.fixture
def looked_at(tmp_path, monkeypatch):
    """Twelve heads of which four are made, eight more of other settings, and how often each file is opened."""
    nodes = [n for n in plan(load_arms(many(12, f"out={tmp_path}"))) if n.stage == "fit_rm"]
    for node in nodes[:4]:
        finished(node)
    for beta in range(90, 98):
        finished(nodes[5], beta)
    monkeypatch.setattr("rmlab.storage.artifact._SETTLED", -(10**18))  # the folders were made just now
    opened, listed = [], []
    read, iterate = Path.read_bytes, Path.iterdir
    monkeypatch.setattr(Path, "read_bytes", lambda self: (opened.append(self), read(self))[1])
    monkeypatch.setattr(Path, "iterdir", lambda self: (listed.append(self), iterate(self))[1])
    return nodes, opened, listed


def test_a_look_lists_a_folder_once_and_reads_each_manifest_once_for_all_that_are_missing(looked_at):
    nodes, opened, listed = looked_at
    states, beside = States(), status.Beside()
    rows = [status._row(node, states, beside) for node in nodes]
    assert [row["state"] for row in rows] == ["done"] * 4 + ["missing"] * 8
    assert all("noise.beta" in row["detail"] and "more" not in row["detail"] for row in rows[4:])
    manifests = [path for path in opened if path.name == MANIFEST]
    assert (
        len(manifests) == 4 + 12 and len(set(manifests)) == 12
    )  # done ones twice: opened, and compared with
    stage = nodes[0].folder.parent
    assert listed.count(stage) == 2  # for the places of all nodes, and to compare them with what is there


def test_what_appears_or_goes_while_looking_is_seen(tmp_path):
    [node, other] = [n for n in plan(load_arms(many(2, f"out={tmp_path}"))) if n.stage == "fit_rm"]
    assert node.state.name == "missing"
    place = finished(node)
    moved = place.rename(place.with_name(f"renamed-{node.fingerprint[:16]}"))
    assert node.folder == moved and node.state.name == "done"
    finished(other)
    moved.rename(tmp_path / "away")
    assert node.state.name == "missing" and other.state.name == "done"
