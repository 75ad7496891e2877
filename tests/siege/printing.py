"""Names that would steer a terminal, through the commands that print them; and terminals that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from siege.base import SMOKE, Ground, case

HOSTILE = "x\x1b[2J\x1b]0;title\x07\x9b31m\x08\r\u202e\u2066\u200f\u2028\x85\x7fy"
_RMLAB = str(Path(sys.executable).with_name("rmlab"))


def _table(folder: Path) -> str:
    file = folder / f"t{HOSTILE}.parquet"
    pq.write_table(pa.table({HOSTILE: [HOSTILE], "nested": [{HOSTILE: HOSTILE}]}), file)
    return str(file)


def _pairs(folder: Path) -> str:
    file = folder / f"p{HOSTILE}.jsonl"
    rows = [{"prompt": f"{HOSTILE} {n}", "chosen": HOSTILE, "rejected": "b", HOSTILE: 1} for n in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@case("escape sequences, bells and direction marks in names are shown as escapes by every command")
def _(ground: Ground) -> None:
    made = ground.smoke(f"run{HOSTILE}") / "artifacts"
    table, pairs, none = _table(ground.folder), _pairs(ground.folder), f"none{HOSTILE}"
    evaluation = str(next((made / "eval_rm").iterdir()))
    commands = [
        ["inspect", table],
        ["inspect", table, "--json"],
        ["inspect", evaluation],
        ["inspect", none],
        ["verify", str(made)],
        ["verify", none, "--json"],
        ["validate", str(made)],
        ["merge", none, none, none],
        ["import", none],
        ["import", pairs, "--dry-run"],
        ["import", pairs, "--dry-run", f"form={HOSTILE}"],
        ["export", none, "--from", evaluation],
        ["run", *SMOKE, "--dry-run", "--config-dir", none],
        ["sweep", *SMOKE, f"head='{HOSTILE}',linear", "--dry-run"],
        ["status", f"experiment={none}"],
        ["status", f"{none}=1"],
        [HOSTILE],
        ["doctor"],
    ]
    ends = ground.each(commands, env={"RMLAB_CACHE": str(ground.folder / f"cache{HOSTILE}")})
    for command, ended in zip(commands, ends, strict=True):
        try:
            ended.plain()
        except AssertionError as error:
            raise AssertionError(f"rmlab {command[:2]!a}: {error}") from None


@case("JSON of hostile names is read back as they are")
def _(ground: Ground) -> None:
    ended = ground.rmlab("inspect", _table(ground.folder), "--json").fine().plain()
    columns = json.loads(ended.out)["tables"][0]["columns"]
    assert columns[0]["name"] == HOSTILE, "a name is another one in JSON"


@case("a terminal that is closed while stages run ends none of them")
def _(ground: Ground) -> None:
    running = ground.start("run", *SMOKE, terminal=True)
    running.wait_until_it_says("prompts: starts")
    running.hang_up()
    ended = running.end()
    assert ended.code == 0, f"it ended with {ended.code} when its terminal was closed"
    ground.rmlab("verify", "all").fine("whole")


@case("standard error on a full disk, and standard output that nobody reads, end no stage")
def _(ground: Ground) -> None:
    script = f"'{_RMLAB}' run {' '.join(SMOKE)} 2>/dev/full | true; exit ${{PIPESTATUS[0]}}"
    ended = ground.start("-c", script, program=["bash"]).end()
    assert ended.code == 1, f"results that were lost are a failure; {ended.tail()}"
    ground.rmlab("verify", "all").fine("whole")


@case("results that cannot be written to their file are a failure in one line")
def _(ground: Ground) -> None:
    ended = ground.start("-c", f"'{_RMLAB}' doctor > /dev/full", program=["bash"]).end()
    ended.refused(1, "No space left on device")
