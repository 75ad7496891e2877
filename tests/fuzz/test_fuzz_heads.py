"""Hostile folders of heads: descriptions, tensors and trees, with checksums that agree."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_case import fuzz, read
from hostile_values import VALUES, as_json, damaged, junk
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.heads.fitted.storage import write_description
from rmlab.heads.fitted.trees import TreesHead

D = 3
EYE = Standardiser.identity(D)


def layers(*sizes: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    pairs = itertools.pairwise(sizes)
    return tuple((np.ones((out, into), np.float32), np.zeros(out, np.float32)) for into, out in pairs)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import lightgbm

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, D))
    data = lightgbm.Dataset(x, (x[:, 0] > 0) * 1)
    how = {"objective": "binary", "num_leaves": 4, "verbosity": -1, "num_threads": 1}
    model = lightgbm.train(how, data, num_boost_round=3).model_to_string()
    linear = LinearHead(weight=np.ones(D), intercept=0.5, standardiser=EYE)
    made = {
        "linear": linear,
        "mlp": MlpHead(layers=layers(D, 4, 1), standardiser=EYE),
        "laplace": LaplaceHead(
            weight=np.ones(D), intercept=0.0, standardiser=EYE, centre=np.zeros(D), factor=np.eye(D), k=1.0
        ),
        "trees": TreesHead(model=model),
        "ensemble": EnsembleHead(members=(linear, linear)),
    }
    root = tmp_path_factory.mktemp("heads")
    for name, head in made.items():
        head.save(root / name)
        assert load_head(root / name).score(x).shape == (200,)
    return {name: root / name for name in made}


KEYS = ("format", "kind", "d", "gain", "bias", "k", "n_layers", "members", "combine", "shapes", "sha256")
NAMES = st.sampled_from(
    [
        ["../../x"],
        ["/etc"],
        ["."],
        [".."],
        ["member-000", "member-000"],
        ["member-000"] * 2000,
        [],
        ["a" * 5000],
        [None],
    ]
)
TENSOR = st.builds(
    lambda shape, kind, value: np.full(shape, value).astype(kind),
    st.sampled_from([(D,), (1,), (), (0,), (D, D), (1, D), (4, D), (1, 4), (2, 2, 2)]),
    st.sampled_from(["f8", "f4", "f2", "i8", "u1", "?"]),
    st.sampled_from([0.0, 1.0, np.nan, np.inf, -1e30]),
)
TENSOR_NAMES = (
    "weight",
    "intercept",
    "mean",
    "scale",
    "centre",
    "factor",
    "weight_0",
    "bias_0",
    "weight_1",
    "bias_1",
)
TREE_KEYS = ("num_leaves", "split_feature", "left_child", "right_child", "decision_type", "threshold", "leaf_value",
             "num_cat", "is_linear", "tree_sizes", "max_feature_idx", "feature_infos", "objective", "num_class")  # fmt: skip
TREE_VALUES = ("", "-1", "0", "1", "99999999999", "-5 -5 -5", "0 0 0", "1 1 1", "2 1 0", "nan nan nan", "x", "3",
               "1e300", "0 " * 1000, "binary", "lambdarank", "none", "[0:1]")  # fmt: skip


def _tensors(folder: Path, changes: dict[str, np.ndarray], gone: str | None) -> bytes:
    from safetensors.numpy import load

    found = {**load((folder / "head.safetensors").read_bytes()), **changes}
    found.pop(gone, None)
    edit(folder, shapes={name: list(value.shape) for name, value in found.items()})
    return save(found)


def edit(folder: Path, **changes: Any) -> None:
    """Sealed, where such values can be: else the digest alone would refuse every case."""
    file = folder / "head.json"
    text = as_json({**json.loads(file.read_text()), **changes})
    try:
        record = json.loads(text)
        record.pop("digest")
        write_description(folder, record)
    except (ValueError, RecursionError):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")


def _changed_trees(text: str, changes: list[tuple[str, str, int]]) -> bytes:
    """The nth line of a key says something else; tree_sizes stay right, or LightGBM would not look at it."""
    lines = text.split("\n")
    for key, value, nth in changes:
        at = [i for i, line in enumerate(lines) if line.startswith(f"{key}=")]
        if at:
            lines[at[nth % len(at)]] = f"{key}={value}"
    changed = "\n".join(lines)
    if any(key == "tree_sizes" for key, _, _ in changes) or "\nTree=0" not in changed:
        return changed.encode()
    body = changed[changed.index("\nTree=0") + 1 : changed.index("end of trees")]
    sizes = " ".join(str(len(f"Tree={t}")) for t in body.split("Tree=")[1:])
    return "\n".join(
        f"tree_sizes={sizes}" if x.startswith("tree_sizes=") else x for x in changed.split("\n")
    ).encode()


PAYLOAD = st.one_of(
    st.tuples(st.just("damaged"), st.randoms(use_true_random=False)),
    st.tuples(
        st.just("tensors"),
        st.tuples(
            st.dictionaries(st.sampled_from(TENSOR_NAMES), TENSOR, max_size=3),
            st.one_of(st.none(), st.sampled_from(TENSOR_NAMES)),
        ),
    ),
    st.tuples(
        st.just("trees"),
        st.lists(
            st.tuples(st.sampled_from(TREE_KEYS), st.sampled_from(TREE_VALUES), st.integers(0, 5)),
            min_size=1,
            max_size=3,
        ),
    ),
    st.tuples(st.just("pickle"), st.none()),
    st.tuples(st.just("junk"), junk()),
    st.tuples(st.just("as it was"), st.none()),
)


def _spoil(folder: Path, kind: str, how: Any) -> bytes | None:
    files = [f for f in folder.iterdir() if f.suffix in (".txt", ".safetensors")]
    if not files or kind == "as it was":
        return None
    old = files[0].read_bytes()
    if kind == "damaged":
        new = bytearray(old)
        for _ in range(how.randint(1, 5)):
            new[how.randrange(min(len(new), 4000))] = how.choice([*b"0123456789-= \n", how.randrange(256)])
        return bytes(new)
    if kind == "tensors" and files[0].suffix == ".safetensors":
        return _tensors(folder, *how)
    if kind == "trees" and files[0].suffix == ".txt":
        return _changed_trees(old.decode(), how)
    return how if kind == "junk" else pickle.dumps(how)


def test_heads(cases, heads):
    met = cases("heads")

    @fuzz
    @given(
        st.sampled_from(["linear", "mlp", "laplace", "trees", "trees", "ensemble"]),
        PAYLOAD,
        st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=1),
        st.one_of(st.none(), NAMES),
        st.one_of(st.none(), st.none(), junk(), damaged(b'{"format": 1, "kind": "linear", "d": 3}')),
    )
    def run(name, payload, changes, members, text):
        with met.folder() as place:
            folder = Path(shutil.copytree(heads[name], place / "head"))
            content = _spoil(folder, *payload)
            if content is not None:
                file = next(f for f in folder.iterdir() if f.suffix in (".txt", ".safetensors"))
                file.write_bytes(content)
                edit(folder, sha256=sha256(content).hexdigest())
            edit(folder, **{**changes, **({"members": members} if members and name == "ensemble" else {})})
            if text is not None:
                (folder / "head.json").write_bytes(text)
            head = read(lambda: load_head(folder))
            if head is not None and head.d < 10_000:
                scores = read(lambda: head.score(np.ones((2, head.d))))
                assert scores is None or scores.shape == (2,)

    run()
