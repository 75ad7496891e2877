"""What is measured of every prompt of a split, filled cut by cut: a few numbers a prompt and arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rmlab.evaluation.arms import ScoredArm, ScoredSplit
from rmlab.evaluation.controls import Surface
from rmlab.evaluation.cuts import Cut
from rmlab.evaluation.judge import JudgedArm, odds_of
from rmlab.evaluation.measure import MAX_PAIRS, measured, numbers_of
from rmlab.evaluation.survey import Survey
from rmlab.metrics.accuracy import Drawn
from rmlab.metrics.best_of_n import default_ns
from rmlab.metrics.controlled import STYLE, BalancedPairs
from rmlab.metrics.order import GoldenOrder, golden_block
from rmlab.metrics.rank_correlation import spearman_of
from rmlab.metrics.streamed_order import alone, order_of
from rmlab.noise.base import Labels
from rmlab.responses.table import Responses


class Gathered:
    """name: of the split; prompts: [P] of the survey, in the order of their ids; drawn: pairs of theirs."""

    def __init__(self, name: str, survey: Survey, mask: np.ndarray) -> None:
        self.name, self.mask, self._survey = name, mask, survey
        self.prompts = survey.in_order(mask)
        untied, sizes = survey.untied[self.prompts], survey.size[self.prompts]
        self.drawn = Drawn.of(untied, sizes, MAX_PAIRS, np.random.default_rng(0))
        self.fewest, self.most = int(sizes.min()), int(sizes.max())
        self._ns = default_ns(self.fewest)
        self._golden = survey.golden(self.prompts)
        self._place = np.full(len(mask), -1)
        self._place[self.prompts] = np.arange(len(self.prompts))
        self._kinds: dict[str, str] = {}
        self._found: dict[str, dict[str, np.ndarray]] = {}
        self._margin: dict[str, np.ndarray] = {}
        self._difference: dict[str, np.ndarray] = {}
        self._style = np.zeros((len(self.drawn), len(STYLE)), np.float32)
        self._first, self._second = np.zeros((2, len(self.drawn)))

    def of_cut(self, cut: Cut, responses: Responses) -> ScoredSplit:
        first, end = self._survey.first[cut.number : cut.number + 2]
        place = self._place[first:end]
        rows = np.flatnonzero(self._survey.of_rows(self.mask, cut, responses))
        return ScoredSplit.of(self.name, responses, rows, place[place >= 0], self.drawn)

    def add(
        self,
        arms: Sequence[ScoredArm],
        split: ScoredSplit,
        responses: Responses,
        looks: Surface,
        raw_of: np.ndarray,
    ) -> None:
        """A block of prompts is sorted once for all arms, and then dropped.

        raw_of: the rows, ascending, of which arms have raw scores.
        """
        for prompts, rows in split.order:
            numbers = np.arange(len(prompts))
            truth = alone(golden_block(responses.golden, numbers, rows))
            by_length = alone(golden_block(looks.length, numbers, rows))
            length_golden = spearman_of(order_of(looks.length, truth))
            for arm in arms:
                self._measure(arm, truth, by_length, length_golden, split.place[prompts])
        first, second = split.pairs
        self._first[split.which] = responses.golden[first]
        self._second[split.which] = responses.golden[second]
        self._style[split.which] = looks.style[first] - looks.style[second]
        at, other = np.searchsorted(raw_of, first), np.searchsorted(raw_of, second)
        for arm in arms:
            difference = self._difference.setdefault(arm.name, np.empty(len(self.drawn)))
            difference[split.which] = arm.scores[first] - arm.scores[second]
            if arm.raw is not None and arm.kind == "head":
                margin = self._margin.setdefault(arm.name, np.empty(len(self.drawn)))
                margin[split.which] = arm.raw[at] - arm.raw[other]

    def _measure(
        self,
        arm: ScoredArm,
        truth: GoldenOrder,
        by_length: GoldenOrder,
        length_golden: np.ndarray,
        place: np.ndarray,
    ) -> None:
        self._kinds[arm.name] = arm.kind
        found = self._found.setdefault(arm.name, {})
        for name, values in numbers_of(arm.scores, truth, by_length, length_golden, self._ns).items():
            if name not in found:
                found[name] = np.empty((len(self.prompts), *values.shape[1:]))
            found[name][place] = values

    def judged(
        self, temperatures: Mapping[str, float], annotators: Mapping[str, Labels], seed: int
    ) -> list[JudgedArm]:
        """All arms, when all cuts are in; temperatures, annotators: of each head; seed: of their answers."""
        better_first = self._first > self._second
        pairs = BalancedPairs.of(better_first, self._style, self.drawn.prompt, len(self.prompts))
        return [
            self._judged(arm, kind, pairs, temperatures.get(arm, 1.0), annotators.get(arm), seed)
            for arm, kind in self._kinds.items()
        ]

    def _judged(
        self,
        arm: str,
        kind: str,
        pairs: BalancedPairs,
        temperature: float,
        annotator: Labels | None,
        seed: int,
    ) -> JudgedArm:
        odds = None
        if arm in self._margin:
            odds = odds_of(self._margin[arm], temperature, self._first, self._second, annotator, seed)
        found = measured(self._found[arm], self._ns, *self._golden, pairs, self._difference[arm])
        return JudgedArm(arm, kind, self.name, found, odds)
