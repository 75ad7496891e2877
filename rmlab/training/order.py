"""Which demonstration is learned when: settled before training, so that no number of devices changes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def step_order(n_rows: int, epochs: int, batch: int, seed: int) -> NDArray[np.int64]:
    """[epochs, steps an epoch, batch] row numbers: each epoch a permutation of all rows, in whole steps.

    The last step of an epoch is filled up with n_rows, which stands for a row that teaches nothing:
    the same step then has the same rows however it is divided among devices or accumulated.
    """
    steps = -(-n_rows // batch)
    order = np.full((epochs, steps * batch), n_rows, dtype=np.int64)
    for epoch in range(epochs):
        order[epoch, :n_rows] = np.random.default_rng([seed, epoch]).permutation(n_rows)
    return order.reshape(epochs, steps, batch)
