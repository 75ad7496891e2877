"""What it takes to look at many arms and artifacts: python looking.py [--arms 400] [--artifacts 5000].

The settings of the arms are composed once together and, for a sample of them, each anew, in the same run;
then the experiment is planned, and its status is asked beside finished artifacts of other settings, which are
also verified. Times are those of the processor; the last line has all figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmlab.commands.status import Beside, _row
from rmlab.config.hydra import load_settings
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.state import Ages, States
from rmlab.pipeline.verify import Sources, artifacts_of, verify
from rmlab.storage import files
from rmlab.storage.digest import file_digest
from rmlab.storage.manifest import FileRecord, Manifest, write_manifest

SAMPLE = 8  # arms that are composed anew


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arms", type=int, default=400)
    parser.add_argument("--artifacts", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder) / "artifacts", given.arms, given.artifacts)))


def measured(out: Path, n_arms: int, n_artifacts: int) -> dict[str, Any]:
    names = [f"head={('linear', 'mlp')[k % 2]} noise.beta={1 + k}" for k in range(n_arms)]
    overrides = ["experiment=smoke", f"out={out}", f"arms=[{','.join(map(repr, names))}]"]
    load_settings(overrides)  # imports
    once, arms = timed(lambda: load_arms(overrides))
    sample = names[:: max(1, n_arms // SAMPLE)]
    anew, settings = timed(lambda: [load_settings([*name.split(), *overrides]) for name in sample])
    if settings != [arms[name] for name in sample]:
        raise SystemExit("composed together they are not what each is by itself")
    anew *= n_arms / len(sample)
    planned, nodes = timed(lambda: plan(arms))
    print(f"{n_arms} arms: composed in {once:.2f} s; each anew {anew:.1f} s, {anew / once:.0f} times as long")
    print(f"planned in {planned:.2f} s")
    heads = [node for node in nodes if node.stage == "fit_rm"]
    make(heads, n_artifacts)
    states, beside = States(), Beside()
    looked, _ = timed(lambda: [_row(node, states, beside) for node in nodes])
    print(f"status beside {n_artifacts} artifacts: {looked:.2f} s")
    ages = Ages(Sources(thorough=True).has_changed)
    verified, found = timed(lambda: [verify(place, lambda n: None, ages) for place in artifacts_of(out)])
    print(f"verified in {verified:.2f} s")
    if {finding.state for finding in found} != {"whole"}:
        raise SystemExit("what was made is not whole")
    return {
        "arms": n_arms,
        "composed": once,
        "anew": anew,
        "planned": planned,
        "artifacts": n_artifacts,
        "status": looked,
        "verified": verified,
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def make(heads: list[Node], n: int) -> None:
    """Finished artifacts like those of the heads, with other seeds: small files and true manifests."""
    files.os.fsync = lambda _: None  # type: ignore[assignment]  # they are thrown away
    root = heads[0].folder.parent
    inputs = heads[0].input_records(dict.fromkeys(heads[0].inputs, ""))
    for k in range(n):
        like = heads[k % len(heads)]
        node = replace(like, config={**like.config, "seed": 1000 + k})
        folder = root / f"{node.name}-{node.fingerprint[:16]}"
        folder.mkdir(parents=True)
        (folder / "head.json").write_bytes(b"{}" * 2000)
        record = FileRecord("head.json", 4000, file_digest(folder / "head.json"))
        config = dict(node.config)
        made = Manifest(node.stage, node.name, node.version, node.fingerprint, config, inputs, [record], 1)
        write_manifest(folder, made)


if __name__ == "__main__":
    main()
