"""Works on files: scoring a Parquet file, a sweep, fit and evaluation at the study's full size."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from head_works import SEED, STUDY_MLP, make_data
from naive import Scores, forward_flops, make_mlp
from naive import score as naive_score
from scipy.stats import spearmanr
from sizes import FULL, Sizes
from study_sets import make_study

from rmlab.evaluation.score import quick_forms, score_all
from rmlab.heads.base import FitData
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.quick import Bfloat16Mlp, QuickMlp
from rmlab.losses.pairs import BradleyTerry
from rmlab.processes import Child
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.artifact import Artifact
from rmlab.storage.manifest import FileRecord, Manifest


def bench_score(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Both sides read the same file; the naive one in the faster of its two ways: whole, or by row group.

    `score` is against the naive way in the dtype of ours, `score_float32` against it in float32.
    """
    prompts, n = sizes.score_rows
    sizes = sizes._replace(d=sizes.score_d)
    paths = make_study(folder / "score", 4, 10, prompts, n, sizes.d, SEED)
    head = _fitted(sizes)
    naive = _naively(paths.embeddings, _as_torch(head))
    ids = naive.response_id
    vectors = StreamedVectors(_as_artifact(paths.embeddings), pa.array(ids.tolist(), pa.string()))
    everything = np.ones(len(ids), dtype=bool)
    peak = _Peak()
    started = time.perf_counter()
    quick = quick_forms({"head": head}, vectors, everything)["head"]
    ours = score_all({"head": quick}, vectors, everything, lambda rows: None)["head"].raw
    seconds = time.perf_counter() - started
    gib = peak.stop()
    started = time.perf_counter()
    score_all({"head": head}, vectors, everything, lambda rows: None)
    exact_seconds = time.perf_counter() - started
    agreement = spearmanr(naive.scores[:, 0], ours).statistic
    same = naive
    if isinstance(quick, Bfloat16Mlp):
        model = _as_torch(head)
        same = naive_score(paths.embeddings, model, memory_gib=0, dtype=torch.bfloat16)
    form = "as it is" if quick is head else f"{quick.kind}, ranks {_ranks(quick)}"
    rate = forward_flops(sizes.d) * len(ids) / exact_seconds / 1e9
    print(
        f"naive: {len(ids):,} rows of {sizes.d} in {naive.seconds:.1f} s, of which reading "
        f"{naive.read_seconds:.1f} s, products {naive.gflops:.0f} GFLOP/s, in the dtype of ours "
        f"{same.seconds:.1f} s; ours: {seconds:.1f} s ({form}); "
        f"ours in full: {exact_seconds:.1f} s, {rate:.0f} GFLOP/s with reading"
    )
    print(f"Spearman with float32 scores {agreement:.5f}; peak memory of the process {gib:.2f} GiB")
    found = {"score": same.seconds / seconds, "score_float32": naive.seconds / seconds}
    return {**found, "score_spearman": agreement, "score_gib": gib}


def _ranks(quick: QuickMlp) -> list[int]:
    """The rows of the first product of each layer."""
    return [len(layer[0][0]) for layer in quick.layers]


def _naively(file: Path, model: torch.nn.Sequential) -> Scores:
    found = naive_score(file, model)
    if found.whole:
        found = min(found, naive_score(file, model, memory_gib=0), key=lambda scores: scores.seconds)
    return found


def _fitted(sizes: Sizes) -> MlpHead:
    data = make_data(sizes)
    return STUDY_MLP.fit(FitData(data.x, data.train, data.validation), BradleyTerry(), SEED)[0]


def _as_torch(head: MlpHead) -> torch.nn.Sequential:
    """The same function in torch, the standardisation in its first layer."""
    model = make_mlp(head.d)
    linears = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linears, head.layers, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        first = linears[0].weight.double() / torch.from_numpy(head.standardiser.scale)
        linears[0].bias -= (first @ torch.from_numpy(head.standardiser.mean)).float()
        linears[0].weight.copy_(first)
    return model


def _as_artifact(file: Path) -> Artifact:
    """An artifact of one part that is the file itself."""
    part = file.parent / "part-00000.parquet"
    part.unlink(missing_ok=True)
    part.symlink_to(file.resolve())
    record = FileRecord(part.name, file.stat().st_size, "")
    return Artifact(file.parent, Manifest("embed", "bench", 1, "bench", {}, [], [record], 0))


class _Peak:
    """The largest resident memory of a process and its children from now on, looked at 20 times a second."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid, self.peak, self.history, self._on = pid or os.getpid(), 0.0, [], True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._on:
            now = sum(_rss(pid) for pid in _family(self.pid))
            self.history.append(now)
            self.peak = max(self.peak, now)
            time.sleep(0.05)

    def stop(self) -> float:
        self._on = False
        self._thread.join()
        return self.peak


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in task.read_text().split() for p in _family(int(child))]
        except OSError:
            continue
    return found


def _rss(pid: int) -> float:
    """GiB that are the process's own; pages of mapped files, which the system can drop, are left out."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) / 2**20


def _rmlab(*arguments: str, cwd: Path) -> tuple[float, float, list[float], str]:
    """Seconds, peak GiB, memory over time and stdout of one command."""
    started = time.perf_counter()
    child = Child("rmlab", *arguments, environment={}, is_read=True, folder=cwd)
    peak = _Peak(child.pid)
    try:
        out, _ = child.communicate()
    finally:
        child.stop()
    gib = peak.stop()
    if child.returncode:
        raise SystemExit(f"rmlab {' '.join(arguments)} ended with {child.returncode}")
    return time.perf_counter() - started, gib, peak.history, out.decode()


def bench_sweep(sizes: Sizes, folder: Path) -> dict[str, float]:
    """A cell: fit on so many comparisons, choice of L2 from six, evaluation on the test responses."""
    (n_prompts, n), (n_test, n_test_each) = sizes.sweep_pool, sizes.sweep_test
    make_study(folder / "sweep", n_prompts, n, n_test, n_test_each, sizes.sweep_d, SEED)
    common = ["experiment=own_embeddings", f"input={(folder / 'sweep').resolve()}", "out=artifacts"]
    common += [f"comparisons.n={sizes.sweep_comparisons}", "comparisons.n_validation=2000", "arms=[]"]
    _rmlab("run", *common, cwd=folder)
    grid = ["loss=bradley_terry,classification", "noise.error=0.05,0.1,0.2,0.3,0.38", "pairing=cross_prompt"]
    grid.append(f"seed=range(0,{sizes.sweep_cells // 10})" if sizes is FULL else "seed=0,1")
    _, gib, history, out = _rmlab("sweep", *common, *grid, "--json", cwd=folder)
    found = json.loads(out)
    seconds, cells = found["sweep"]["seconds"], found["cells"]
    early, late = (float(np.mean(history[int(a * len(history)) : int(b * len(history))]))
                   for a, b in ((0.3, 0.5), (0.7, 0.9)))  # fmt: skip
    print(
        f"{cells} cells in {seconds:.0f} s with {found['workers']} workers; memory of all processes "
        f"{early:.2f} GiB at 30 to 50 % and {late:.2f} GiB at 70 to 90 % of the time, peak {gib:.2f} GiB"
    )
    rate = {"sweep_cells_per_minute": cells / seconds * 60}
    return rate | ({"sweep_memory_growth": late / early} if sizes is FULL else {})


def bench_paper_scale(sizes: Sizes, folder: Path) -> dict[str, float]:
    """`rmlab fit-rm` and `rmlab eval-rm` on 400,000 train and a million test responses of width 2048."""
    study = folder / "study"
    if not (study / "embeddings.parquet").is_file():
        make_study(study, seed=SEED)
    common = ["experiment=own_embeddings", f"input={study.resolve()}", "out=study-artifacts"]
    common += ["comparisons.n=40000", "comparisons.n_validation=8000", "pairing=cross_prompt"]
    common += ["evaluation.scoring=quick"]
    common.append("arms=['head=linear','head=mlp_study head.batch_size=256 head.patience=2']")
    for stage in ("sample", "annotate", "embed"):
        seconds, gib, _, _ = _rmlab(stage, *common, cwd=folder)
        print(f"{stage}: {seconds:.0f} s, {gib:.2f} GiB", flush=True)
    total, most = 0.0, 0.0
    for stage in ("fit-rm", "eval-rm"):
        seconds, gib, _, out = _rmlab(stage, *common, "--force", cwd=folder)
        print(out)
        print(f"{stage}: {seconds:.0f} s, peak {gib:.2f} GiB", flush=True)
        total, most = total + seconds, max(most, gib)
    return {"paper_scale_minutes": total / 60, "paper_scale_gib": most}
