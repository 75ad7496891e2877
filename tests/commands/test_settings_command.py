"""`rmlab settings` and the help of stages: what can be set, from the files of conf/ alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rmlab.config.documented import Conf
from rmlab.config.hydra import unresolved
from rmlab.pipeline.stages import STAGES


def flat(config: dict, above: str = "") -> dict:
    """Every value by its dotted name."""
    found = {}
    for key, value in config.items():
        name = f"{above}.{key}" if above else key
        found |= flat(value, name) if isinstance(value, dict) and value else {name: value}
    return found


def test_every_setting_that_hydra_composes_is_listed_with_its_default_and_a_comment(cli):
    """The list is read from the text of the files; what is composed of them must agree with it."""
    composed = flat(unresolved())
    listed = {row["name"]: row for row in cli("settings", "--json").json["settings"]}
    for group in Conf.read().groups:
        listed |= {row["name"]: row for row in cli("settings", group, "--json").json["settings"]}
    wanted = {
        name: value
        for name, value in composed.items()
        if not name.endswith("_target_") and not name.startswith(("teacher.head.", "teacher.loss."))
    }
    assert set(wanted) == set(listed)
    assert [name for name, row in listed.items() if not row["comment"]] == []
    different = [name for name, value in wanted.items() if listed[name]["default"] != value]
    assert different == []


def test_every_option_and_every_section_has_a_comment():
    conf = Conf.read()
    options = [option for group in conf.groups.values() for option in group.options.values()]
    assert len(options) > 50 and {o.group for o in options} == set(conf.groups)
    assert [f"{o.group}={o.name}" for o in options if not o.comment] == []
    assert [name for name, d in conf.settings.items() if not d.comment] == []
    assert [name for name, group in conf.groups.items() if not group.comment or not group.chosen] == []


def test_groups_options_sections_settings_and_stages_are_listed(cli):
    shown = cli("settings", "head").out
    assert "head=linear *" in shown and "head=trees" in shown and "head.l2" in shown
    assert "widths of the hidden layers" in cli("settings", "head=mlp").out
    section = cli("settings", "sampling", "--json").json
    assert {row["name"]: row["default"] for row in section["settings"]}["sampling.n_test"] == 100
    assert section["groups"] == []
    [one] = cli("settings", "prompts.template", "--json").json["settings"]
    assert one["default"] == "plain", "that of the default prompts, not of the first file"
    assert "none: give one" in cli("settings", "golden=judge").out
    stage = cli("settings", "fit-rm", "--json").json
    assert [group["name"] for group in stage["groups"]] == ["head", "loss", "pairing", "noise", "selection"]
    assert {"comparisons.n", "seed", "teacher.n"} <= {row["name"] for row in stage["settings"]}
    both = cli("settings", "seed", "head=mlp", "--json").json
    assert [row["name"] for row in both["settings"]][:2] == ["seed", "head.hidden"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hed", "hed is no group, section, setting or stage; did you mean head?"),
        ("head.hiden", "did you mean head.hidden?"),
        ("head=mpl", "head=mpl: no such option; did you mean mlp?"),
        ("hed=mlp", "hed=mlp is no group"),
        ("zzzz", "zzzz is no group, section, setting or stage; `rmlab settings` lists all"),
    ],
)
def test_unknown_names_are_one_line_with_the_nearest(cli, name, message):
    result = cli("settings", name)
    assert result.code == 2 and message in result.line and result.out == ""


def test_options_of_your_own_are_listed_and_broken_ones_are_one_line(cli, tmp_path):
    (tmp_path / "head").mkdir()
    mine = tmp_path / "head" / "mine.yaml"
    mine.write_text("_target_: mine.Head  # my own head\nwidth: 3  # of it,\n          # in columns\n")
    found = cli("settings", "head=mine", "--config-dir", tmp_path, "--json").json
    assert found["settings"] == [{"name": "head.width", "default": 3, "comment": "of it, in columns"}]
    assert "my own head" in cli("settings", "head", "--config-dir", tmp_path).out
    for text, message in [
        ("a: [", "is not YAML"),
        ("- a\n", "holds no settings"),
        ("\udc80", "cannot be read"),
    ]:
        mine.write_text(text, errors="surrogateescape")
        result = cli("settings", "head=mine", "--config-dir", tmp_path)
        assert result.code == 2 and message in result.line


@pytest.mark.parametrize("stage", [s for s in STAGES if not s.command], ids=lambda s: s.typed)
def test_the_help_of_a_stage_names_what_decides_its_result(cli, stage):
    shown = " ".join(cli(stage.typed, "--help").out.split())
    conf = Conf.read()
    for name in stage.decided_by:
        title, comment = conf.brief(name)
        assert f"{title} " in shown and " ".join(comment.split()) in shown


def test_help_and_the_list_of_settings_load_nothing_heavy():
    code = (
        "import sys; sys.argv = ['rmlab', {0}]\nfrom rmlab.commands.guard import guarded\nfrom rmlab.cli import app\n"
        "assert guarded(app) == 0\n"
        "assert not {{'torch', 'pandas', 'pyarrow', 'hydra', 'omegaconf', 'numpy'}} & set(sys.modules)"
    )
    for words in ("'fit-rm', '--help'", "'settings', 'fit-rm'"):
        subprocess.run([sys.executable, "-c", code.format(words)], check=True, stdout=subprocess.DEVNULL)
