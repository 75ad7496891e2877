from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from rmlab.config.components import as_component, build, component_name, meaningful, recorded_name
from rmlab.config.hydra import compose, load_settings
from rmlab.errors import ConfigError, InputError


@dataclass(frozen=True)
class Own:
    size: int = 1
    batch: int = field(default=8, metadata={"runtime": True})

    def __post_init__(self):
        if self.size < 0:
            raise ValueError("size is negative: use 0 or more")


def own(**parameters):
    return {"_target_": f"{__name__}.Own", **parameters}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("heda=mlp", "unknown setting 'heda'"),
        ("head=mpl", "head=mpl: no such choice; there is: .*linear.*mlp"),
        ("experiment=dmo", "experiment=dmo: no such choice; there is: .*demo"),
        ("sampling.n_trian=3", "unknown setting 'sampling.n_trian'"),
        ("sampling.n_train=many", r"sampling.n_train: .*integer.* \(got 'many'\)"),
        ("sampling.top_p=1.5", "sampling.top_p: .*less than or equal to 1"),
        ("sampling.long_prompts=keep", "sampling.long_prompts: .*'drop' or 'cut'"),
        ("label_golden=beauty", "not one of the golden rewards: sentiment"),
        ("name=../evil", "name: "),
        ("seed", "is not an override"),
        ("head.hidden=[", r"cannot read the override head.hidden=\[ .*quote it"),
    ],
)
def test_a_wrong_setting_is_one_line_that_helps(override, message):
    with pytest.raises(ConfigError, match=message) as found:
        load_settings([override])
    assert "\n" not in str(found.value)


def test_every_shipped_choice_composes():
    from rmlab.paths import shipped

    filled = {
        "prompts": "prompts.path=x",
        "sampler": "sampler.path=x",
        "demonstrations": "demonstrations.path=x",
        "embedder": "embedder.path=x",
    }
    for file in sorted(shipped("conf").glob("*/*.yaml")):
        group, choice = file.parent.name, file.stem
        if group == "study":  # findings: read by rmlab.study, not by Hydra
            continue
        extra = [f"{filled[group]}"] if choice in ("file", "responses") and group in filled else []
        if group == "selection":
            extra = ["comparisons.rounds=2"]  # in one round there is nothing to select
        if group == "golden":
            needed = {"file": "path=x", "classifier": "model=x", "judge": "model=x", "callable": "path=x.y",
                      "weighted": "weights={x: 1}"}  # fmt: skip
            extra = [f"golden.{choice}.{needed[choice]}"] if choice in needed else []
        if group == "experiment" and "\ninput: ???" in file.read_text():
            extra = ["input=x"]
        if choice == "embedding_set":  # asks what is in its input; tests/sets has some
            with pytest.raises(InputError, match="x is not an embedding set"):
                load_settings([f"{group}={choice}", *extra])
            continue
        load_settings([f"{group}={choice}", *extra])


def test_the_last_of_two_overrides_counts():
    assert load_settings(["head=mlp", "seed=1", "head=linear", "seed=2"]).seed == 2
    assert load_settings(["head=mlp", "head=linear"]).head["_target_"].endswith("Linear")


def test_own_settings_come_from_config_dir(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\nseed: 7\n")
    settings = load_settings(["experiment=mine"], tmp_path)
    assert (settings.name, settings.seed) == ("mine", 7)
    with pytest.raises(ConfigError, match="is not a folder"):
        load_settings([], tmp_path / "none")


def test_components_outside_rmlab_need_leave():
    with pytest.raises(ConfigError, match=f"outside rmlab; allow it with 'allow_modules=\\[{__name__}\\]'"):
        build(own(), (), "golden.own")
    assert build(own(size=3), (__name__,)) == Own(3)
    with pytest.raises(ConfigError, match="outside rmlab"):
        build({"_target_": "rmlabevil.x.Y"}, ())
    with pytest.raises(ConfigError, match="not a dataclass"):
        build({"_target_": "os.path.join"}, ("os",))
    with pytest.raises(ConfigError, match="cannot import"):
        build({"_target_": "rmlab.nothing.Here"}, ())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"sizes": 1}, "x.sizes: Own has no such parameter"), ({"size": "a"}, "x.size: .*integer")],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ConfigError, match=message):
        build(own(**parameters), (__name__,), "x")


def test_a_component_s_own_check_is_shown():
    with pytest.raises(ConfigError, match="size is negative: use 0 or more"):
        build(own(size=-1), (__name__,), "x")


def test_run_time_knobs_do_not_count():
    assert meaningful(own(batch=64), (__name__,)) == meaningful(own(batch=2), (__name__,))
    assert meaningful(own(size=2), (__name__,)) != meaningful(own(), (__name__,))
    assert meaningful(own(size=1), (__name__,)) == meaningful(own(), (__name__,))


def test_every_setting_has_a_comment():
    from rmlab.paths import shipped

    for file in shipped("conf").rglob("*.yaml"):
        if file.parent.name in ("experiment", "study") or file.name == "full_study.yaml":
            continue
        for line in file.read_text().splitlines():
            is_value = ":" in line and not line.lstrip().startswith(("#", "-", "_target_", "defaults"))
            if is_value and not line.rstrip().endswith(":"):
                assert "#" in line, f"{file}: {line}"


def test_compose_is_plain_data():
    assert type(compose()) is dict


def test_every_component_of_conf_has_a_name_that_its_module_does_not_decide():
    """The name is that of its file in conf/, or of the file that has the same class with other parameters."""
    for group in ("pairing", "noise", "selection", "head", "loss", "sampler", "embedder", "golden"):
        files = {file.stem: yaml.safe_load(file.read_text()) for file in Path(f"conf/{group}").glob("*.yaml")}
        names = {stem: component_name(component) for stem, component in files.items()}
        assert set(names.values()) <= {*files, "sequence_classifier"}
        for stem, name in names.items():
            alike = [s for s, c in files.items() if c["_target_"] == files[stem]["_target_"]]
            assert {names[s] for s in alike} == {name}
        assert len({files[s]["_target_"] for s in files}) == len(set(names.values()))


def test_identity_has_the_name_of_an_own_component_and_the_path_of_a_foreign_one():
    assert meaningful({"_target_": "rmlab.losses.pairs.Hinge", "margin": 2})["_name_"] == "hinge"
    assert meaningful(own(), [__name__])["_name_"] == f"{__name__}.Own"


def test_records_of_before_components_had_names_are_read():
    old = {"_target_": "rmlab.goldens.sequence_classifier.SequenceClassifier", "layer": 3}
    assert recorded_name(old) == "sequence_classifier"
    assert recorded_name({"_target_": "mine.goldens.Own"}) == "mine.goldens.Own"
    again = as_component({"_target_": "rmlab.losses.hinge.Hinge", "margin": 2.0}, "loss")
    assert build(again) == build({**again, "_target_": "rmlab.losses.pairs.Hinge"})
    with pytest.raises(ConfigError, match="loss=gone is not known to this version of rmlab"):
        as_component({"_name_": "gone"}, "loss")
