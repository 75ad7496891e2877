"""Settings of strangers: on the command line, and in files that a folder of settings holds."""

from __future__ import annotations

from siege.base import Ground, case, judge
from siege.command import Ended

_ESCAPES = "\x1b[2J\x07\u202e"
_OWNED = "owned-by-a-setting"
OVERRIDES = {
    "class-elsewhere": "head._target_=os.system",
    "class-of-builtins": "head._target_=builtins.exec",
    "class-within-out": "head._target_=rmlab.cli.os.system",
    "class-hidden": "head._target_=rmlab.heads.linear.__builtins__",
    "partial": "+head._partial_=true",
    "arguments": "+head._args_=[1]",
    "recursive": "+head.inner={_target_:os.system,command:touch}",
    "module-not-allowed": "golden=callable golden.callable.function=os:system",
    "hydra-folder": f"hydra.run.dir={_OWNED}",
    "hydra-launcher": "hydra/launcher=owned",
    "hydra-logging": "+hydra.job_logging.root.handlers=[owned]",
    "search-path": "hydra.searchpath=[file:///tmp]",
    "choice-that-leads-out": "head=../../../etc/passwd",
    "choice-absolute": "experiment=/etc/passwd",
    "choice-of-escapes": f"head={_ESCAPES}",
    "unknown": "heda=linear",
    "escapes": f"seed={_ESCAPES}",
    "nan": "seed=nan",
    "infinite": "seed=inf",
    "huge": "seed=" + "9" * 5000,
    "negative": "prompts.n_train=-5",
    "fraction": "sampling.n_train=2.5",
    "list-for-number": "seed=[1,2]",
    "object-for-list": "arms={a:1}",
    "number-for-list": "arms=7",
    "deep-list": "arms=" + "[" * 3000 + "]" * 3000,
    "open-list": "arms=[[[",
    "open-quote": "name='owned",
    "no-value": "seed",
    "nothing": "=",
    "cycle": "seed=${seed}",
    "cycle-of-two": "name=${out} out=${name}",
    "resolver-of-the-environment": "name=${oc.env:HOME}",
    "resolver-that-decodes": "name=${oc.decode:'{a:1}'}",
    "resolver-of-hydra": "name=${hydra:runtime.cwd}",
    "resolver-unknown": "name=${owned:1}",
    "nested-interpolation": "name=" + "${" * 500 + "seed" + "}" * 500,
    "deleted": "~head",
    "deleted-list": "~arms ~seed",
    "sweep-of-a-name": "seed=range(0,10000000)",
    "long": "name=" + "x" * 100_000,
    "arm-of-settings": "arms=['head=linear allow_modules=[os]']",
    "arm-of-a-class": "arms=['head._target_=os.system']",
    "study-that-leads-out": "+study=../../etc",
}
# A long name is shortened where it names a folder; what Hydra sets for itself has no effect on rmlab.
_TAKEN = ("long", "hydra-folder", "hydra-logging", "search-path")

FILES = {
    "builds": b"name: !!python/object/apply:os.system [touch owned-by-a-setting]\n",
    "builds-a-module": b"name: !!python/module:os\n",
    "laughs": b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 8)) for i in range(9)
    ),
    "itself": b"name: &a [*a]\n",
    "deep": b"name: " + b"[" * 20_000 + b"]" * 20_000,
    "deep-blocks": b"".join(b" " * i + b"a:\n" for i in range(1500)),
    "nuls": b"name: a\x00b\n",
    "no-utf-8": b"name: caf\xe9\n",
    "utf-16": "name: a\n".encode("utf-16"),
    "tabs": b"name:\n\t- a\n",
    "key-twice": b"name: a\nname: b\n",
    "list": b"- a\n- b\n",
    "scalar": b"owned\n",
    "huge-number": b"seed: " + b"9" * 5000 + b"\n",
    "infinite": b"seed: .inf\n",
    "class": b"head:\n  _target_: os.system\n",
    "allows-modules": b"allow_modules: [os]\n",
    "trusts-code": b"trust_remote_code: true\n",
    "includes-itself": b"defaults:\n  - /experiment: includes-itself\n",
    "includes-out": b"defaults:\n  - /experiment: ../../../etc/passwd\n",
    "sets-hydra": b"# @package _global_\nhydra:\n  run:\n    dir: owned-by-a-setting\n",
    "environment": b"# @package _global_\nname: ${oc.env:HOME}\n",
    "escapes": b"# @package _global_\n\"\\e[2J\\a\\u202e\": 1\n",
    "unknown": b"# @package _global_\nowned: 1\n",
    "two-documents": b"name: a\n---\nname: b\n",
}  # fmt: skip


def _judge(ground: Ground, commands: dict[str, list[str]]) -> None:
    def check(name: str, ended: Ended) -> None:
        assert ended.code in (2, 3) or name in _TAKEN, ended.tail()
        ended.plain().refused(ended.code) if ended.code else ended.plain().fine()
        assert ended.peak < 1 << 30 and ended.seconds < 60, f"{ended.peak >> 20} MiB, {ended.seconds:.0f} s"

    judge(dict(zip(commands, ground.each(list(commands.values())), strict=True)), check)
    assert not list(ground.folder.rglob(f"{_OWNED}*")), "code of a setting was run, or its folder made"


@case("settings on the command line")
def _(ground: Ground) -> None:
    names = ground.some(OVERRIDES)
    _judge(ground, {n: ["run", "experiment=smoke", *OVERRIDES[n].split(" "), "--dry-run"] for n in names})


@case("settings in files")
def _(ground: Ground) -> None:
    names = ground.some(FILES)
    (place := ground.folder / "conf" / "experiment").mkdir(parents=True)
    for name in names:
        (place / f"{name}.yaml").write_bytes(FILES[name])
    _judge(ground, {n: ["run", f"experiment={n}", "--config-dir", "conf", "--dry-run"] for n in names})
