"""What only this user knows, and a stranger's settings ask for; and near copies on both sides of a split."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from siege.base import SMOKE, Ground, case

_SECRET = "a-word-of-this-user-alone"
_ASKED = "${oc.env:MY_SECRET}"
_HEAD = "# @package _global_\ndefaults:\n  - smoke\n"


def _settings(ground: Ground, **files: str) -> str:
    for name, text in files.items():
        place = ground.folder / "conf" / name.replace("_", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".yaml").write_text(text, encoding="utf-8")
    return str(ground.folder / "conf")


def _nothing_leaked(ground: Ground) -> None:
    for place in ground.folder.rglob("*"):
        assert not place.is_file() or _SECRET.encode() not in place.read_bytes(), f"{place.name} holds it"
        assert _SECRET not in place.name


@case("an experiment that asks for the environment is refused, and nothing is written")
def _(ground: Ground) -> None:
    conf = _settings(ground, experiment_t=f"{_HEAD}name: x\nrelease: {{description: '{_ASKED}'}}")
    arguments = ("run", "experiment=t", "--config-dir", conf)
    ended = ground.rmlab(*arguments, env={"MY_SECRET": _SECRET})
    ended.refused(2, "release.description", "environment variable", "allow_env=true")
    assert _SECRET not in ended.text
    _nothing_leaked(ground)


@case("so are an arm and a finding, and a file that grants it to itself")
def _(ground: Ground) -> None:
    arm = f"{_HEAD}arms: ['head=linear embedder={_ASKED}']"
    grant = f"{_HEAD}allow_env: true\nname: {_ASKED}"
    finding = (
        f"title: t\nquestion: q\nclaim: c\nsource: s\nfixed: ['name={_ASKED}']\narms: {{a: head=linear}}\n"
    )
    finding += "grid: ['noise.error=0.0,0.4']\nclaims: [{statement: s, plus: [{noise.error: 0.0}], "
    finding += "minus: [{noise.error: 0.4}], smallest: 0.1}]\n"
    conf = _settings(ground, experiment_arm=arm, experiment_grant=grant, study_mine=finding)
    secret = {"MY_SECRET": _SECRET}
    for words in (
        ("run", "experiment=arm", "--dry-run"),
        ("run", "experiment=grant", "--dry-run"),
        ("reproduce", *SMOKE, "--only", "mine", "--dry-run"),
    ):
        ended = ground.rmlab(*words, "--config-dir", conf, env=secret)
        assert ended.code == 2 and "allow_env" in ended.text and _SECRET not in ended.text, ended.tail()
    _nothing_leaked(ground)


@case("an embedding set that asks for the environment shows what it says, and no more", quick=False)
def _(ground: Ground) -> None:
    made = ("release", "set", *SMOKE, "golden=[length]", "release.license=CC0-1.0")
    ground.rmlab(*made).fine()
    record = ground.folder / "set" / "set.json"
    known = json.loads(record.read_text())
    known["rewards"][0]["made_by"]["config"]["golden"]["unit"] = _ASKED
    known["policies"][0]["made_by"]["note"] = known["name"] = _ASKED
    record.write_text(json.dumps(known))
    secret = {"MY_SECRET": _SECRET}
    ended = ground.rmlab("merge", "both", "set", env=secret)
    assert _SECRET not in ended.text
    used = ("comparisons.n=60", "evaluation.resamples=50", "arms=['head=linear']")
    ended = ground.rmlab("run", "experiment=embedding_set", "input=set", *used, env=secret)
    assert _SECRET not in ended.text
    _nothing_leaked(ground)


def _copies(n: int) -> list[str]:
    """A turn as it may be written: composed, decomposed, with other spaces, in capitals, with unseen marks."""
    text = f"Où est le café numéro {n} ?"
    return [
        unicodedata.normalize("NFC", text),
        unicodedata.normalize("NFD", text),
        text.replace(" ", "  "),
        text.replace(" ", "\u00a0") + "\n",
        text.upper(),
        text.replace("numéro", "nu\u200bméro"),
    ]


def _splits_of(ground: Ground) -> dict[int, set[str]]:
    """The splits in which the copies of each turn ended, by the number that they all have."""
    import pyarrow.parquet as pq

    found: dict[int, set[str]] = {}
    for row in pq.read_table(next(Path(ground.artifact("prompts")).glob("part-*.parquet"))).to_pylist():
        number = int("".join(c for c in row["messages"][0]["content"] if c.isdigit()))
        found.setdefault(number, set()).add(row["split"])
    return found


@case("near copies of a first turn stay on one side of the split, in every form")
def _(ground: Ground) -> None:
    copies = [text for n in range(20) for text in _copies(n)]
    rows = [{"prompt": t, "chosen": f"yes {i}", "rejected": f"no {i}"} for i, t in enumerate(copies)]
    (ground.folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    ground.rmlab("import", "pairs.jsonl", "prompts.test_fraction=0.5").fine()
    parted = [n for n, splits in _splits_of(ground).items() if len(splits) > 1]
    assert not parted, f"{len(parted)} of 20 turns are in train and in test"


@case("so do near copies of a prompt")
def _(ground: Ground) -> None:
    rows = [{"prompt": text, "prompt_id": f"{n}-{k}"} for n in range(20) for k, text in enumerate(_copies(n))]
    (ground.folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("prompts=file", "prompts.path=p.jsonl", "prompts.template=plain", "prompts.test_fraction=0.5")
    ground.rmlab("sample", *SMOKE, *words, "prompts.n_train=null", "prompts.n_test=null").fine()
    parted = [n for n, splits in _splits_of(ground).items() if len(splits) > 1]
    assert not parted, f"{len(parted)} of 20 prompts are in train and in test"
