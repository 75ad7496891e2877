"""Hostile files of embeddings, of scales, and folders of arrays."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import torch
from fuzz_case import fuzz, read
from hostile_parquet import parquet
from hostile_values import TEXTS, damaged, junk, tables
from hypothesis import given
from hypothesis import strategies as st

from rmlab.data.forms.arrays import check_vectors, open_arrays
from rmlab.data.scales import read_scales
from rmlab.embedders.recorded import ArraysEmbedder, FileEmbedder
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

COMPUTE = Compute(device="cpu")
VECTORS = [{"response_id": f"r{k}", "embedding": [0.5, float(k)]} for k in range(4)]
SCALES = [{"dimension": k, "scale": 0.5} for k in range(3)]


def exchanges(*ids: str) -> list[Exchange]:
    return [Exchange("p", i, [{"role": "user", "content": "q"}], "a") for i in ids]


class Trap:
    """A pickle that would run a program if anything unpickled it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch owned",)


def test_embeddings(cases):
    met = cases("embeddings")

    @fuzz
    @given(parquet(*VECTORS), st.sampled_from([None, "float16"]), st.sampled_from(["embedding", "other"]))
    def run(file, storage, column):
        with met.folder() as folder:
            (folder / "e.parquet").write_bytes(file)
            how = FileEmbedder(str(folder / "e.parquet"), column=column, storage=storage)
            opened = read(lambda: how.open("m", "plain", COMPUTE))
            if opened is not None:
                found = read(lambda: opened.embed(exchanges("r0", "r3"), lambda n, t: None))
                assert found is None or np.isfinite(found.vectors).all()

    run()


def test_scales(cases):
    met = cases("scales")

    @fuzz
    @given(tables(*SCALES))
    def run(file):
        with met.folder() as folder:
            (folder / file[0]).write_bytes(file[1])
            found = read(lambda: read_scales(folder / file[0]))
            assert found is None or (np.isfinite(found).all() and (found > 0).all())

    run()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def header(text: str) -> bytes:
    padded = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def saved(value: Any, legacy: bool = False) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def zipped(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(f"archive/{name}", content)
    return out.getvalue()


E = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
R = np.arange(6, dtype=np.float64).reshape(2, 3)
_DICT = "{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}"
NPY = {
    "embeddings": npy(E),
    "rewards": npy(R),
    "fortran": npy(np.asfortranarray(E)),
    "half": npy(E.astype(np.float16)),
    "long double": npy(E.astype(np.longdouble)),
    "ints": npy(R.astype(np.int32)),
    "complex": npy(E.astype(complex)),
    "texts": npy(np.array([["a"]])),
    "nan": npy(np.full((2, 3), np.nan)),
    "a number": npy(np.array(1.0)),
    "none": npy(np.zeros((0, 3, 2))),
    "records": npy(np.zeros((2, 3), dtype=[("a", "f4"), ("b", "i8")])),
    "objects": npy(np.array([[Trap()]], dtype=object), allow_pickle=True),
    "a pickle": pickle.dumps(Trap()),
    "many rows": header(_DICT.format("<f4", False, (10**12, 3, 2))),
    "overflow": header(_DICT.format("<f4", False, (2**62, 2**62, 2))),
    "below 0": header(_DICT.format("<f4", False, (-1, 3, 2))),
    "an expression": header("__import__('os').system('touch owned')"),
    "deep": header("(" * 5000 + ")" * 5000),
    "odd kind": header(_DICT.format("|O", False, (2, 3))),
    "a lie": header(_DICT.format("<f4", "'yes'", "'x'")),
    "npz": zipped(a=npy(E)),
}
PT = {
    "embeddings": saved(torch.from_numpy(E)),
    "rewards": saved(torch.from_numpy(R)),
    "legacy": saved(torch.from_numpy(E), legacy=True),
    "bfloat16": saved(torch.from_numpy(E).bfloat16()),
    "stretched": saved(torch.zeros(1).expand(10**6, 10**6)),
    "stretched vectors": saved(torch.zeros(1, 1, 1).expand(2, 3, 10**9)),
    "sparse": saved(torch.eye(3).to_sparse()),
    "meta": saved(torch.zeros(2, 3, device="meta")),
    "complex": saved(torch.zeros(2, 3, dtype=torch.complex64)),
    "flags": saved(torch.zeros(2, 3, dtype=torch.bool)),
    "grad": saved(torch.zeros(2, 3, 2, requires_grad=True)),
    "parameter": saved(torch.nn.Parameter(torch.zeros(2, 3, 2))),
    "a dict": saved({"embeddings": torch.from_numpy(E)}),
    "a trap": saved(Trap()),
    "a legacy trap": saved(Trap(), legacy=True),
    "a pickle": pickle.dumps(Trap()),
    "a zip of zeros": zipped(**{"data.pkl": b"\x80\x02.", "data/0": b"\0" * 10**6, "version": b"3\n"}),
}


def _file(kinds: dict[str, bytes]) -> st.SearchStrategy[bytes]:
    whole = st.sampled_from(sorted(kinds)).map(lambda name: kinds[name])
    small = st.sampled_from(sorted(k for k, v in kinds.items() if len(v) < 10_000))
    return st.one_of(whole, whole, small.flatmap(lambda name: damaged(kinds[name])), junk())


def test_arrays(cases):
    met = cases("arrays")
    parts = ("embeddings", "rewards", "train_embeddings", "test/rewards", "rewards_test")
    one = st.one_of(
        st.tuples(st.just("npy"), _file(NPY), st.just(NPY["rewards"])),
        st.tuples(st.just("pt"), _file(PT), st.just(PT["rewards"])),
        st.tuples(st.just("npy"), st.just(NPY["embeddings"]), _file(NPY)),
        st.tuples(st.just("pt"), st.just(PT["embeddings"]), _file(PT)),
    )

    @fuzz
    @given(
        one,
        st.one_of(st.none(), st.tuples(st.sampled_from(parts), _file(NPY))),
        st.one_of(TEXTS, st.just("all-0-1")),
    )
    def run(chosen, extra, name):
        kind, embeddings, rewards = chosen
        with met.folder() as folder:
            (folder / f"embeddings.{kind}").write_bytes(embeddings)
            (folder / f"rewards.{kind}").write_bytes(rewards)
            if extra:
                (folder / "test").mkdir()
                (folder / f"{extra[0]}.npy").write_bytes(extra[1])
            found = read(lambda: open_arrays(folder))
            if found is None:
                return
            read(lambda: check_vectors(found))
            found.score(name), found.answers(name.rpartition("-")[0])
            opened = read(lambda: ArraysEmbedder(str(folder)).open("m", "plain", COMPUTE))
            read(lambda: opened.embed(exchanges(name), lambda n, t: None))

    run()
