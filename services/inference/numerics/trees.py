"""Boosted regression trees as plain arrays: grown by scikit-learn, read by numpy.

Every tree is laid out as a full binary tree of one depth: the children of node i are 2 i + 1 and
2 i + 2, a leaf above the bottom repeats its value in all its descendants. So a tree is walked with
two look-ups a level for any number of rows at once, and nothing is unpickled. Growing: histogram
gradient boosting (G. Ke et al., LightGBM, 2017, as in scikit-learn).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.artifacts import numbers
from core.errors import BadInputError
from core.evidence import Floats

_NEVER_RIGHT = np.float32(np.inf)


class Trees(NamedTuple):
    """M trees of depth H over F features; a prediction is `base` plus one leaf of each tree."""

    feature: npt.NDArray[np.int16]
    """(M, 2^H - 1) column that a node looks at."""
    threshold: npt.NDArray[np.float32]
    """(M, 2^H - 1) a row goes left where its value is at most this, or NaN."""
    leaf: npt.NDArray[np.float32]
    """(M, 2^H)"""
    base: npt.NDArray[np.float64]
    """(1,)"""


class Growth(NamedTuple):
    """How trees are grown."""

    trees: int = 150
    depth: int = 5
    learning_rate: float = 0.06
    fewest_rows: int = 200
    penalty: float = 20.0


def grow(rows: Floats, target: Floats, weight: Floats, growth: Growth, seed: int = 0) -> Trees:
    """Grow trees on `rows` (N, F), which hold no NaN, for `target` and `weight` (N,)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    grown = HistGradientBoostingRegressor(
        max_iter=growth.trees,
        max_depth=growth.depth,
        max_leaf_nodes=None,
        learning_rate=growth.learning_rate,
        min_samples_leaf=growth.fewest_rows,
        l2_regularization=growth.penalty,
        early_stopping=False,
        random_state=seed,
    ).fit(rows.astype(np.float32), target, weight)
    parts = [_laid_out(one[0].nodes, growth.depth) for one in grown._predictors]
    feature, threshold, leaf = (np.stack(part) for part in zip(*parts, strict=True))
    return Trees(feature, threshold, leaf, np.array(grown._baseline_prediction, float).reshape(1))


def predict(trees: Trees, rows: Floats) -> Floats:
    """Predictions (N,) for `rows` (N, F) without NaN."""
    count, width = rows.shape
    flat = np.ascontiguousarray(rows, np.float32).reshape(-1)
    start = np.arange(count, dtype=np.int64) * width
    depth = int(trees.leaf.shape[1]).bit_length() - 1
    result = np.full(count, float(trees.base[0]))
    for feature, threshold, leaf in zip(trees.feature, trees.threshold, trees.leaf, strict=True):
        node = np.zeros(count, np.int64)
        wide = feature.astype(np.int64)
        for _ in range(depth):
            right = flat[start + wide[node]] > threshold[node]
            node = 2 * node + 1 + right
        result += leaf[node - (leaf.size - 1)]
    return result


def packed(trees: Trees) -> dict[str, npt.NDArray[Any]]:
    """Named arrays for an artifact."""
    return trees._asdict()


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Trees:
    """Inverse of `packed`; `BadInputError` for arrays that are no trees."""
    trees = Trees(
        numbers(arrays, "feature").astype(np.int16),
        numbers(arrays, "threshold").astype(np.float32),
        numbers(arrays, "leaf").astype(np.float32),
        numbers(arrays, "base"),
    )
    leaves = trees.leaf.shape[-1]
    inner = (len(trees.leaf), leaves - 1)
    whole = trees.leaf.ndim == 2 and leaves & (leaves - 1) == 0 and trees.base.shape == (1,)
    if not whole or trees.feature.shape != inner or trees.threshold.shape != inner:
        raise BadInputError("artifact holds no trees: shapes of nodes and leaves do not agree")
    return trees


def _laid_out(
    nodes: npt.NDArray[Any], depth: int
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """One tree of scikit-learn as a full binary tree."""
    inner = 2**depth - 1
    feature = np.zeros(inner, np.int16)
    threshold = np.full(inner, _NEVER_RIGHT, np.float32)
    leaf = np.zeros(inner + 1, np.float32)
    place = {0: 0}
    for position in range(2 * inner + 1):
        node = nodes[place[position]]
        if position >= inner:
            leaf[position - inner] = node["value"]
            continue
        ends = bool(node["is_leaf"])
        if not ends:
            feature[position] = node["feature_idx"]
            threshold[position] = _not_above(float(node["num_threshold"]))
        for side, name in ((1, "left"), (2, "right")):
            place[2 * position + side] = place[position] if ends else int(node[name])
    return feature, threshold, leaf


def _not_above(threshold: float) -> np.float32:
    """The largest single-precision number that is not above a threshold in double precision."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
