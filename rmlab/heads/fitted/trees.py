"""Fitted gradient-boosted trees, and a check of their text format, which LightGBM reads without one."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from rmlab.config.optional_packages import require
from rmlab.errors import RmlabError
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.storage import TREES, broken, read_payload, scale_of, write_head
from rmlab.heads.fitted.tree_scores import MOST_LEAVES, Tree, sum_of_leaves

_HEADER = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
    "feature_names", "feature_infos", "tree_sizes",
}  # fmt: skip
_FIXED = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
_OF_SPLITS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_END = "end of trees"
_CATEGORICAL = 1  # a bit of decision_type, never set, since rmlab's features are numbers
_ZERO_IS_MISSING = 4  # another, never set either
_STRUCTURE = ("split_feature", "decision_type", "left_child", "right_child")
_MOST_FEATURES = 1_000_000
_MANY = 1024  # rows for which going tree by tree is faster than LightGBM's row by row


@dataclass(frozen=True, eq=False, kw_only=True)
class TreesHead(NormalisedHead):
    """raw = the sum of the leaves a response falls in: its log-odds of being preferred.

    For trees that were fitted to the loss of pairs, differences of raw are log-odds. model: the trees in
    LightGBM's text format. Trees do not depend on the scale of features, so there is no standardisation.
    """

    kind: ClassVar[str] = "trees"
    model: str = field(repr=False)
    n_threads: int = 1  # changes no score and is not saved

    @cached_property
    def _booster(self) -> Any:
        return lightgbm().Booster(model_str=self.model)

    @property
    def d(self) -> int:
        return int(self._booster.num_feature())

    @cached_property
    def _trees(self) -> list[Tree] | None:
        return plain_trees(self.model)

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        if len(x) >= _MANY and x.dtype == np.float32 and self._trees is not None:
            return sum_of_leaves(self._trees, x)
        return self._booster.predict(x, raw_score=True, num_threads=self.n_threads)

    def save(self, folder: Path) -> None:
        write_head(folder, TREES, self.model.encode(), self._description())

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> TreesHead:
        model = read_payload(folder, TREES, description).decode()
        head = cls(model=model, **scale_of(description))
        try:
            check_trees(model)
            width = head.d
        except (ValueError, KeyError, lightgbm().basic.LightGBMError):
            raise broken(folder, f"{TREES} is not a LightGBM model") from None
        if width != description["d"]:
            raise broken(folder, f"{TREES} has {width} features, not {description['d']}")
        return head


def lightgbm() -> ModuleType:
    """Imports the optional package, when trees are fitted or scored."""
    require("head=trees", "lightgbm")
    try:
        import lightgbm as package
    except AttributeError:
        if sys.flags.optimize < 2:
            raise
        raise RmlabError(
            "LightGBM needs docstrings, which PYTHONOPTIMIZE=2 takes away; set PYTHONOPTIMIZE=1"
        ) from None
    return package


def check_trees(text: str) -> None:
    """Raises ValueError unless the text is a valid LightGBM model of rewards."""
    head, mark, rest = text.partition("\nTree=0\n")
    lines = head.strip().split("\n")
    if lines[0] != "tree":
        raise ValueError("it does not begin as a model")
    header = _fields(lines[1:])
    # Trees that were grown on the derivatives of a loss of pairs name no objective.
    if set(header) | {"objective"} != _HEADER or any(header[key] != value for key, value in _FIXED.items()):
        raise ValueError("its header is not of a model of rewards")
    if not re.fullmatch(r"binary sigmoid:[0-9.]{1,20}", header.get("objective", "binary sigmoid:1")):
        raise ValueError("its objective is not that of a classifier")
    features = int(header["max_feature_idx"]) + 1
    if not 0 < features <= _MOST_FEATURES:
        raise ValueError(f"it has {features} features")
    for key in ("feature_names", "feature_infos"):
        if len(header[key].split(" ")) != features:
            raise ValueError(f"{key} are not {features}")
    sizes = [int(size) for size in header["tree_sizes"].split()]
    body = (mark[1:] + rest).encode()
    at = 0
    for index, size in enumerate(sizes):  # LightGBM jumps from tree to tree by these sizes, unchecked
        block = body[at : at + size].decode()
        if size <= 0 or len(block.encode()) != size or not block.startswith(f"Tree={index}\n"):
            raise ValueError("tree_sizes are not those of its trees")
        _check_tree(_fields(block.strip().split("\n")[1:]), features)
        at += size
    if not body[at:].startswith(_END.encode()):
        raise ValueError(f"there is no '{_END}' after its trees")


def plain_trees(text: str) -> list[Tree] | None:
    """Returns the trees of a valid model; None if a split takes numbers for missing, or a tree is large."""
    found = []
    for block in text.partition("\nTree=0\n")[2].partition(_END)[0].split("\nTree="):
        lines = [line.partition("=") for line in block.split("\n")]
        tree = {key: value for key, mark, value in lines if mark}
        value = np.array(tree["leaf_value"].split(), dtype=float)
        if tree["num_leaves"] == "1":
            none = np.empty(0, dtype=np.int64)
            found.append(Tree.of(none, np.empty(0), none, none, value))
            continue
        feature, kind, left, right = (np.array(tree[key].split(), dtype=np.int64) for key in _STRUCTURE)
        if (kind & (_CATEGORICAL | _ZERO_IS_MISSING)).any() or len(value) > MOST_LEAVES:
            return None
        found.append(Tree.of(feature, np.array(tree["threshold"].split(), dtype=float), left, right, value))
    return found


def _fields(lines: list[str]) -> dict[str, str]:
    """Parses lines of key=value."""
    pairs = [line.partition("=") for line in lines]
    found = {key: value for key, _, value in pairs}
    if len(found) != len(pairs) or not all(mark for _, mark, _ in pairs):
        raise ValueError("its lines are not key=value, each once")
    return found


def _check_tree(tree: dict[str, str], features: int) -> None:
    """Raises ValueError unless the fields describe a binary tree over these features."""
    leaves = int(tree["num_leaves"])
    if tree["num_cat"] != "0" or tree["is_linear"] != "0" or leaves < 1:
        raise ValueError("a tree is not of numbers and constant leaves")
    numbers = {key: np.array(tree.get(key, "").split(), dtype=float) for key in (*_OF_SPLITS, *_OF_LEAVES)}
    for key, found in numbers.items():
        wanted = leaves - 1 if key in _OF_SPLITS else leaves
        if leaves == 1 and key != "leaf_value":  # a tree without a split leaves these out
            continue
        if len(found) != wanted or not np.isfinite(found).all():
            raise ValueError(f"{key} of a tree of {leaves} leaves are not {wanted} numbers")
    if leaves == 1:
        return
    split, kind, *children = (_whole(numbers[key]) for key in _STRUCTURE)
    if split.min() < 0 or split.max() >= features:
        raise ValueError("a tree splits by a feature that is not there")
    if (kind & _CATEGORICAL).any() or kind.min() < 0 or kind.max() > 15:
        raise ValueError("a tree splits in an unknown way")
    node = np.arange(leaves - 1)
    if any(((child >= 0) & (child <= node)).any() for child in children):  # a node is made after its parent
        raise ValueError("a tree leads back to where it came from")
    if sorted(np.concatenate(children)) != [*range(-leaves, 0), *range(1, leaves - 1)]:
        raise ValueError("not every node and leaf of a tree has one parent")


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Returns the numbers as integers; raises ValueError for fractions."""
    if (np.abs(numbers) > 2**31).any() or (numbers % 1).any():
        raise ValueError("a number of a tree is not whole")
    return numbers.astype(np.int64)
