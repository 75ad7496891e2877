"""Settings that a stranger wrote: no growth without end, no code, no place of their own."""

from __future__ import annotations

import pytest

from rmlab.config.hydra import Override, load_settings
from rmlab.errors import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
BAD = {
    "laughs": (LAUGHS, "more than 100,000 values"),
    "a loop": ("a: &a [*a]", "."),
    "brackets": ("a: " + "[" * 100_000, "50 levels"),
    "no YAML": ("a: [", "."),
    "a tag": ("!!python/object/apply:os.system ['touch owned']", "python/object"),
    "a circle": ("# @package _global_\nname: ${model}\nmodel: ${name}", "."),
    "a grant": ("# @package _global_\nallow_modules: [os]", "allow_modules lets code run.*command line"),
    "trust": ("# @package _global_\ntrust_remote_code: true", "trust_remote_code lets code run"),
    "an arm's grant": ("# @package _global_\narms: ['head=mlp allow_modules=[os]']", "lets code run"),
    "a reward elsewhere": (
        "# @package _global_\ngolden: {../../x: {_target_: rmlab.goldens.form.Length}}",
        "golden",
    ),
    "a surrogate": ('# @package _global_\ninput: "\\ud800"', "lone surrogate"),
    "a null character": ('# @package _global_\ninput: "a\\0"', "null character"),
    "a long number": ("# @package _global_\nseed: 0x" + "f" * 9000, "seed.*64 bits"),
    "infinity": ("# @package _global_\ncentring: .inf", "centring.*finite"),
    "code": ("# @package _global_\nhead: {_target_: os.system, command: touch owned}", "."),
    "hydra": ("hydra: {searchpath: ['pkg://os']}", "."),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_short_line(tmp_path, name):
    from rmlab.config.components import build

    text, message = BAD[name]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "tested.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as found:
        settings = load_settings(["experiment=tested"], tmp_path)
        build(settings.head, settings.allow_modules, "head")
    assert len(str(found.value)) <= 1000 and str(found.value).isprintable()
    assert not (tmp_path / "owned").exists()


def test_what_lets_code_run_is_taken_from_the_command_line(tmp_path):
    settings = load_settings(["allow_modules=[mine]", "trust_remote_code=true"])
    assert settings.allow_modules == ["mine"] and settings.trust_remote_code


def test_leftovers_of_editors_do_not_matter(tmp_path):
    folder = tmp_path / "head"
    folder.mkdir()
    (folder / "mine.yaml").write_text("_target_: rmlab.heads.linear.Linear\n")
    (folder / ".#mine.yaml").symlink_to("/nowhere/at/all")
    (folder / ".mine.yaml.swp").write_bytes(b"\0\xff" * 100)
    (folder / "mine.yaml~").write_text("a: [")
    (folder / "half.yaml").write_text("a: [")
    assert load_settings(["head=mine"], tmp_path).head["_target_"].endswith("Linear")


def test_a_folder_with_a_quote_in_its_name(tmp_path):
    folder = tmp_path / "o'brien, [x]" / "head"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: rmlab.heads.linear.Linear\n")
    assert load_settings(["head=mine"], folder.parent).head["_target_"].endswith("Linear")


@pytest.mark.parametrize(
    "override", ["seed=range(0,1000000000000)", "seed=" + "[" * 5000, "a=" + "x" * 200_000]
)
def test_an_override_without_end_is_one_line(override):
    with pytest.raises(ConfigError) as found:
        Override.parse(override)
    assert len(str(found.value)) <= 1000
