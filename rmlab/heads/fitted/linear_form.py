"""The one weight vector of a head whose reward is linear in the embedding, whatever it was fitted as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead


@dataclass(frozen=True, eq=False)
class LinearForm:
    """reward = x · weight + constant for raw embeddings x; weight: [d] float64."""

    weight: np.ndarray
    constant: float

    def score(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] rewards."""
        return x @ self.weight + self.constant

    def scaled(self, gain: float, bias: float) -> LinearForm:
        """Returns gain * reward + bias."""
        return LinearForm(gain * self.weight, gain * self.constant + bias)


def linear_form(head: RewardHead) -> LinearForm | None:
    """Returns the reward of a head as a linear function, with standardisation and gain folded in.

    None for a head whose reward is no such function: an MLP, trees, a lower bound, the least of an ensemble,
    or a difference from the mean of the prompt.
    """
    if isinstance(head, LaplaceHead) and head.k:
        return None
    if isinstance(head, LinearHead):
        by_feature = head.weight / head.standardiser.scale
        raw = LinearForm(by_feature, head.intercept - float(head.standardiser.mean @ by_feature))
        return raw.scaled(head.gain, head.bias)
    if isinstance(head, EnsembleHead) and head.combine == "mean":
        share = 1 / len(head.members)
        parts = [(share, member) for member in head.members]
    elif isinstance(head, WeightedHead):
        parts = [(head.weights[name], member) for name, member in head.members.items()]
    else:
        return None
    forms = [(weight, linear_form(member)) for weight, member in parts]
    known = [(weight, form) for weight, form in forms if form is not None]
    if len(known) < len(forms):
        return None
    combined = LinearForm(
        np.sum([weight * form.weight for weight, form in known], axis=0),
        float(sum(weight * form.constant for weight, form in known)),
    )
    return combined.scaled(head.gain, head.bias)
