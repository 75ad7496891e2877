"""Hostile settings: YAML in a folder of --config-dir, and overrides on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fuzz_case import fuzz, read
from hostile_values import TEXTS, damaged
from hypothesis import given
from hypothesis import strategies as st

from rmlab.config.components import build
from rmlab.config.grid import points
from rmlab.config.hydra import load_settings
from rmlab.config.quoting import quoted

TARGETS = (
    "os.system", "builtins.eval", "builtins.exec", "subprocess.run", "subprocess.Popen", "pickle.loads", "os.remove",
    "rmlab.heads.linear.os.system", "rmlab.cli.sys", "rmlab.paths.Path", "rmlab.config.hydra.importlib.import_module",
    "rmlab.heads.linear.Linear", "rmlab", "rmlab.", ".", "..", "rmlab..x", "hydra.utils.call", "", "rmlab.data.reader.read_rows",
    "rmlab.commands.guard.guarded", "rmlab.heads.linear.", "os", "torch.load", "yaml.unsafe_load", "rmlab.\u0000",
)  # fmt: skip
INTERPOLATIONS = (
    "${oc.env:HOME}", "${oc.env:NONE}", "${oc.decode:'[1, 2'}", "${oc.decode:${head}}", "${head}", "${.x}", "${...a}",
    "${head.x}", "${hydra:runtime.cwd}", "${x:1}", "${", "${${", "${oc.create:{a: 1}}", "${oc.select:a,${b}}", "${oc.dict.keys:head}",
    "${set_file:prompts,/etc}", "${set_file:prompts,null}", "${set_choice:nothing,/tmp}", "${set_choice}", "${oc.deprecated:a}",
    "${a}${a}", "${" * 400 + "}" * 400, "${oc.decode:" + "[" * 500 + "}", "???", "${now:%Y}",
)  # fmt: skip
YAML = {
    "a tag": "!!python/object/apply:os.system ['touch owned']",
    "a name": "!!python/name:os.system",
    "a module": "!!python/module:os",
    "laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "a loop": "a: &a [*a]",
    "deep": "a: " + "[" * 100_000,
    "deep and closed": "a: " + "[" * 900 + "]" * 900,
    "a binary": "a: !!binary |\n  R0lGODlhDAAMAIQAAP",
    "a set": "? a\n? b",
    "dates": "seed: 2020-01-01",
    "a hex number": "seed: 0x" + "f" * 9000,
    "sixty": "seed: 1" + ":59" * 3000,
    "digits": "seed: " + "9" * 6000,
    "infinity": "centring: .inf",
    "nan": "centring: .nan",
    "tabs": "a:\n\t- b",
    "nothing": "",
    "a list": "- a\n- b",
    "a text": "text",
    "two documents": "a: 1\n---\nb: 2",
    "null": "null",
    "a surrogate": 'name: "\\ud800"',
    "a null character": 'input: "\\0"',
    "a long text": "name: " + "x" * 300_000,
    "numbers as keys": "1: 2\n3.5: 4\nnull: 5\ntrue: 6",
    "a mapping as key": "? {a: 1}\n: 2",
    "traversal": "defaults:\n  - override /head: ../../x",
    "a default of elsewhere": "defaults:\n  - /etc/passwd@x: y",
    "a default of a default": "defaults:\n  - /experiment: tested",
    "defaults of nothing": "defaults: 3",
    "hydra": "hydra:\n  run:\n    dir: /tmp/owned\n  searchpath: [pkg://os, file:///]",
    "a package": "# @package ../../x\na: 1",
    "a grant": "allow_modules: [os, builtins, subprocess]\ntrust_remote_code: true",
    "an arm's grant": "arms: ['allow_modules=[os] head._target_=os.system']",
    "a golden of elsewhere": "golden:\n  ../../owned: {_target_: rmlab.goldens.form.Length}",
    "a circle": "a: ${b}\nb: ${a}\nname: ${a}",
    "directives": "head: {_target_: os.system, _recursive_: true, _convert_: all, _partial_: true, _args_: [touch owned]}",
    "nested": "head: {_target_: rmlab.heads.linear.Linear, l2: {_target_: os.system, command: touch owned}}",
    "in a list": "golden: {a: {_target_: rmlab.goldens.weighted.Weighted, weights: [{_target_: os.system}]}}",
    "a callable": "golden: {a: {_target_: rmlab.goldens.callable.Callable, path: os.system}}",
}  # fmt: skip
KEYS = (
    "head._target_", "head", "loss._target_", "golden", "golden.sentiment._target_", "golden.sentiment", "seed", "name", "arms",
    "allow_modules", "prompts.path", "out", "hydra.run.dir", "hydra.searchpath", "hydra", "_target_", "sampling.stop",
    "comparisons", "+x", "++head.x", "~head", "~", "head@x", "head@../../x", "experiment", "experiment/x", "input", "+golden@golden.x",
)  # fmt: skip
FORMS = (
    "choice(1,2)", "range(0,3)", "glob(*)", "interval(0,1)", "shuffle(1,2)", "sort(3,1)", "tag(a,1)", "int('x')", "str(1)", "json_str({})",
    "extend_list(a)", "{a:1}", "[1,2", "{" * 300, "[" * 3000, "'", '"', "\\", "a,b", "a=b", "1e999", "null", "../../x", "../x",
    "/etc/passwd", "linear", "x" * 20_000, "nan", "-inf", "9" * 5000, "range(0,1000000000000)", "choice(" + "1," * 3000 + "1)",
)  # fmt: skip
VALUE = st.one_of(
    st.sampled_from(FORMS),
    st.sampled_from(TARGETS),
    st.sampled_from(INTERPOLATIONS),
    TEXTS,
    TEXTS.map(quoted),
)
OVERRIDE = st.one_of(st.builds(lambda k, v: f"{k}={v}", st.sampled_from(KEYS), VALUE), TEXTS)
BODY = st.one_of(
    st.sampled_from(sorted(YAML)).map(lambda name: YAML[name].encode()),
    st.sampled_from(sorted(YAML)).map(lambda name: YAML[name].encode()),
    st.builds(
        lambda k, v: f"{k.lstrip('+~')}: {v!r}".encode("utf-8", "replace"), st.sampled_from(KEYS), VALUE
    ),
    damaged(b"head:\n  _target_: rmlab.heads.linear.Linear\n  l2: 0.5\nseed: 3\narms: ['head=mlp']\n"),
    st.binary(max_size=50),
)
PLACES = (
    "experiment/tested.yaml",
    "head/tested.yaml",
    "golden/tested.yaml",
    "loss/tested.yaml",
    "experiment/.#left.yaml",
    "head/left.yaml~",
)


def _components(settings: Any) -> None:
    parts = {
        k: getattr(settings, k)
        for k in ("head", "loss", "pairing", "noise", "selection", "sampler", "embedder")
    }
    for where, part in {**parts, **settings.golden}.items():
        made = read(lambda where=where, part=part: build(part, settings.allow_modules, where))
        assert made is None or type(made).__module__.startswith("rmlab."), type(made)


def test_settings(cases):
    met = cases("settings")

    @fuzz
    @given(st.sampled_from(PLACES), BODY, st.booleans(), st.lists(OVERRIDE, max_size=1))
    def run(place, body, in_experiment, overrides):
        with met.folder() as folder:
            file: Path = folder / place
            file.parent.mkdir()
            file.write_bytes((b"# @package _global_\n" if in_experiment else b"") + body)
            group = place.partition("/")[0]
            chosen = (
                [f"{group}=[tested]" if group == "golden" else f"{group}=tested"] if "tested" in place else []
            )
            granted = [o for o in overrides if "allow_" not in o]
            settings = read(lambda: load_settings([*chosen, *granted], folder))
            if settings is not None:
                assert settings.allow_modules == [] and not settings.trust_remote_code
                assert not settings.allow_env
                assert all("/" not in name and name != ".." for name in settings.golden)
                _components(settings)

    run()


def test_overrides(cases):
    """Of a grid: what `rmlab sweep` makes of its arguments."""
    met = cases("overrides")

    @fuzz
    @given(st.lists(OVERRIDE, min_size=1, max_size=3))
    def run(overrides):
        with met.folder():
            found = read(lambda: points([o for o in overrides if "allow_modules" not in o]))
            for point in (found or ())[:2]:
                _components(point.settings)

    run()
