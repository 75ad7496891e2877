"""A second implementation of the study's recipe, written from its description and from no other code.

It exists to check the main one against: it shares nothing with it but the data. Run it as
`python tests/study/second_study.py FOLDER`, FOLDER an embedding set, for the figures.

Choices where the description leaves one: all comparisons of a seed are drawn over all train prompts and
then split by prompt, so n counts training and validation together; partners across prompts are drawn on
the same side of the split, so that no comparison straddles it; equal golden scores are ranked at random.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student
from torch.nn.functional import softplus

RANKS = {"random": None, "similar": (4, 5), "diverse": (0, 9)}
DESIGNS = [(kind, across) for kind in RANKS for across in (False, True)]


@dataclass
class Comparisons:
    """Rows of the preferred and the other response, [n] each; `validation` and `wrong` are masks, [n]."""

    winner: np.ndarray
    loser: np.ndarray
    validation: np.ndarray
    wrong: np.ndarray

    def take(self, rows):
        """The comparisons at `rows`, [m]."""
        return Comparisons(self.winner[rows], self.loser[rows], self.validation[rows], self.wrong[rows])


def load(folder, policy, reward, embedder):
    """Embeddings [responses, d] float32, golden [responses], prompt ids [responses], split [responses]."""
    folder = Path(folder)
    scores = pd.read_parquet(folder / f"scores-{policy}.parquet")
    scores = scores[scores["reward"] == reward][["response_id", "score"]]
    codes = pd.read_parquet(folder / f"embeddings-{policy}-{embedder}.parquet")
    scale = pd.read_parquet(folder / f"scales-{policy}-{embedder}.parquet").sort_values("dimension")["scale"]
    rows = pd.read_parquet(
        folder / f"responses-{policy}.parquet", columns=["prompt_id", "response_id", "split"]
    )
    table = rows.merge(scores, on="response_id", validate="1:1").merge(
        codes, on="response_id", validate="1:1"
    )
    assert len(table) == len(rows) == len(scores) == len(codes), "a response lacks its score or its embedding"
    x = np.stack(table["embedding"]).astype(np.float32) * scale.to_numpy(np.float32)
    return x, table["score"].to_numpy(), table["prompt_id"].to_numpy(), table["split"].to_numpy()


def by_prompt(prompt, split, side):
    """Row numbers of the responses, [prompts, responses a prompt], of the prompts of one side, in order of id."""
    rows = np.flatnonzero(split == side)
    rows = rows[np.argsort(prompt[rows], kind="stable")]
    return rows.reshape(len(np.unique(prompt[rows])), -1)


def validation_prompts(n, rng):
    """A mask [n] with a fifth of the prompts."""
    mask = np.zeros(n, bool)
    mask[rng.permutation(n)[: round(n / 5)]] = True
    return mask


def rank_sets(rows, golden, kind, rng):
    """Each prompt's set of two responses by golden rank, [prompts, 2]; `rows` is [prompts, 10]."""
    order = np.lexsort((rng.random(rows.shape), golden[rows]), axis=1)
    ranked = np.take_along_axis(rows, order, 1)
    if RANKS[kind] is None:
        return rng.permuted(ranked, axis=1)[:, :2]
    return ranked[:, RANKS[kind]]


def draw_design(rows, golden, kind, across, validation, rng):
    """One pair a prompt of a design: rows of both responses, [prompts, 2]."""
    sets = rank_sets(rows, golden, kind, rng)
    if not across:
        return sets
    partner = np.empty(len(sets), int)
    for side in (False, True):
        members = np.flatnonzero(validation == side)
        step = rng.integers(1, len(members), len(members))  # never 0, so never the prompt itself
        partner[members] = members[(np.arange(len(members)) + step) % len(members)]
    one, other = rng.integers(0, 2, (2, len(sets)))
    every = np.arange(len(sets))
    return np.stack([sets[every, one], sets[partner, other]], 1)


def draw_same_prompt(rows, n, rng):
    """n different pairs of responses of a prompt at random: rows [n, 2], prompt of each [n]."""
    first, second = np.triu_indices(rows.shape[1], 1)
    pick = rng.choice(len(rows) * len(first), n, replace=False)
    prompt, pair = pick // len(first), pick % len(first)
    return np.stack([rows[prompt, first[pair]], rows[prompt, second[pair]]], 1), prompt


def prefer(pairs, golden, scale, validation, rng, beta=1.0, error=None):
    """Noisy preferences on pairs [n, 2] without those of equal golden; `error` sets beta to a mean error."""
    chance = rng.random(len(pairs))
    gap = (golden[pairs[:, 0]] - golden[pairs[:, 1]]) / scale
    keep = gap != 0
    pairs, gap, chance, validation = pairs[keep], gap[keep], chance[keep], validation[keep]
    if error is not None:
        size = np.abs(gap)
        beta = np.exp(brentq(lambda b: expit(-np.exp(b) * size).mean() - error, -15, 15))
    first = chance < expit(beta * gap)
    winner = np.where(first, pairs[:, 0], pairs[:, 1])
    loser = np.where(first, pairs[:, 1], pairs[:, 0])
    return Comparisons(winner, loser, validation, golden[winner] < golden[loser])


def pair_loss(loss, winner, loser):
    """Mean over comparisons of the Bradley-Terry or the classification loss; scores [n] each."""
    if loss == "bt":
        return softplus(loser - winner).mean()
    return (softplus(-winner) + softplus(loser)).mean()


def fit(x, pairs, loss, seed, literal=False):
    """Scores of all responses, [responses], by an MLP trained on `pairs`; x [responses, d] as it is to be fed.

    `literal` is the batch of the study's code: 10,240, so that a small set has one step an epoch.
    """
    torch.manual_seed(seed)
    x = torch.as_tensor(x)
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 1024),
        torch.nn.ReLU(),
        torch.nn.Linear(1024, 512),
        torch.nn.ReLU(),
        torch.nn.Linear(512, 1),
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    both = torch.as_tensor(np.stack([pairs.winner, pairs.loser]))  # [2, n]
    held = torch.as_tensor(pairs.validation)
    train, held = both[:, ~held], both[:, held]
    best, kept, bad = np.inf, None, 0
    for _ in range(30):
        for batch in torch.randperm(train.shape[1]).split(10_240 if literal else 512):
            optimiser.zero_grad()
            pair_loss(loss, *net(x[train[:, batch]]).squeeze(-1)).backward()
            optimiser.step()
        with torch.no_grad():
            now = pair_loss(loss, *net(x[held]).squeeze(-1)).item()
        if now < best:
            best, bad = now, 0
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        else:
            bad += 1
            if bad == 3:
                break
    net.load_state_dict(kept)
    with torch.no_grad():
        return net(x).squeeze(-1).numpy()


def grow(x, pairs, seed, **settings):
    """A LightGBM classifier of single responses, winner 1 and loser 0; x [responses, d].

    Binary log-loss, learning rate .05, 31 leaves, at most 500 trees, stopped once the validation
    comparisons' responses have had no lower loss for 30 trees, the best number kept; all else LightGBM's
    default (20 rows a leaf, no bagging, every feature); one thread. A response counts once for each of its
    comparisons. `settings` replaces LightGBM's parameters.
    """
    settings = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "num_iterations": 500,
        "early_stopping_round": 30,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    } | settings
    sides = []
    for side in (~pairs.validation, pairs.validation):
        rows = np.concatenate([pairs.winner[side], pairs.loser[side]])
        sides.append((x[rows], np.repeat([1, 0], side.sum())))
    train = lightgbm.Dataset(*sides[0])
    return lightgbm.train(settings, train, valid_sets=[train.create_valid(*sides[1])])


def best_of_all(scores, golden, test):
    """Golden of each test prompt's best-scored response, [prompts], in deviations over all test responses."""
    s, g = scores[test], (golden[test] - golden[test].mean()) / golden[test].std()
    top = s == s.max(1, keepdims=True)
    return (g * top).sum(1) / top.sum(1)


class Study:
    """One policy, golden reward and embedder: comparisons and fits by seed."""

    def __init__(self, folder, policy, reward, embedder, literal=False):
        x, self.golden, prompt, split = load(folder, policy, reward, embedder)
        self.train, self.test = by_prompt(prompt, split, "train"), by_prompt(prompt, split, "test")
        known = x[self.train.ravel()]
        spread = known.std(0)
        self.x = x if literal else (x - known.mean(0)) / np.where(spread > 0, spread, 1)
        self.scale, self.literal = self.golden[self.train].std(), literal

    def losses_pairs(self, seed, n=2000, error=0.2):
        """n same-prompt pairs at random, less those of equal golden."""
        rng = np.random.default_rng([seed, 1])
        validation = validation_prompts(len(self.train), rng)
        pairs, prompt = draw_same_prompt(self.train, n, rng)
        return prefer(pairs, self.golden, self.scale, validation[prompt], rng, error=error)

    def designs(self, seed, equal=False):
        """The comparisons of the six designs at beta 1 by (kind, across), all on one split.

        `equal` cuts them at random to the smallest number of training and of validation comparisons.
        """
        validation = validation_prompts(len(self.train), np.random.default_rng([seed, 2]))
        made = {}
        for i, (kind, across) in enumerate(DESIGNS):
            rng = np.random.default_rng([seed, 3, i])
            pairs = draw_design(self.train, self.golden, kind, across, validation, rng)
            made[kind, across] = prefer(pairs, self.golden, self.scale, validation, rng)
        if equal:
            rng = np.random.default_rng([seed, 4])
            sides = {
                key: [rng.permutation(np.flatnonzero(c.validation == s)) for s in (0, 1)]
                for key, c in made.items()
            }
            least = [min(len(both[s]) for both in sides.values()) for s in (0, 1)]
            rows = {key: np.concatenate([both[s][: least[s]] for s in (0, 1)]) for key, both in sides.items()}
            made = {key: c.take(rows[key]) for key, c in made.items()}
        return made

    def gain(self, pairs, loss, seed):
        """Best of all test responses after a fit, [prompts]; `loss` is bt, clf or lgb, the raw margin of trees."""
        if loss == "lgb":
            scores = grow(self.x, pairs, seed).predict(self.x, raw_score=True)
        else:
            scores = fit(self.x, pairs, loss, seed, self.literal)
        return best_of_all(scores, self.golden, self.test)


def effect(policy, reward, embedder, contrast, seeds, *, folder, error=0.2, n=2000, literal=False):
    """A contrast in deviations of golden, [seeds, prompts].

    `contrast`: clf_minus_bt or lgb_minus_bt (the same n pairs, mean error `error`), or
    across_minus_within_K or across_minus_within_K_equal, K similar, diverse or random (beta 1, the two
    MLP losses averaged).
    """
    study, rows = Study(folder, policy, reward, embedder, literal), []
    for seed in seeds:
        if contrast in ("clf_minus_bt", "lgb_minus_bt"):
            pairs = study.losses_pairs(seed, n, error)
            rows.append(study.gain(pairs, contrast[:3], seed) - study.gain(pairs, "bt", seed))
        else:
            kind, _, equal = contrast.removeprefix("across_minus_within_").partition("_")
            made = study.designs(seed, equal == "equal")
            mean = {
                a: sum(study.gain(made[kind, a], loss, seed) for loss in ("bt", "clf")) / 2
                for a in (False, True)
            }
            rows.append(mean[True] - mean[False])
    return np.array(rows)


def interval(values):
    """Mean and 95 % interval of [seeds, prompts], both taken as random and crossed.

    The variance of the mean is (MS_seeds + MS_prompts - MS_rest) / (seeds * prompts), not below that of
    either alone; Student's t with Satterthwaite's degrees of freedom.
    """
    s, p = values.shape
    mean, seed, prompt = values.mean(), values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    ms_s, ms_p = p * seed.var(ddof=1), s * prompt.var(ddof=1)
    ms_e = ((values - seed - prompt + mean) ** 2).sum() / ((s - 1) * (p - 1))
    ms = max(ms_s + ms_p - ms_e, ms_s, ms_p)
    free = ms**2 / (ms_s**2 / (s - 1) + ms_p**2 / (p - 1) + ms_e**2 / ((s - 1) * (p - 1)))
    half = student.ppf(0.975, max(free, 1)) * np.sqrt(ms / (s * p))
    return mean, mean - half, mean + half


def report(name, values):
    """Prints a contrast's mean, its interval and the spread of the seeds' means."""
    seeds = values.mean(1)
    print("{:58} {:+.3f} [{:+.3f}, {:+.3f}]".format(name, *interval(values)), end="  ")
    print(
        f"{len(seeds)} seeds: deviation {seeds.std(ddof=1):.3f}, first five {np.round(seeds[:5], 3)}",
        flush=True,
    )


def main():
    """Prints the designs, the seconds of a fit, and the contrasts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="an embedding set")
    parser.add_argument("--policy", default="base")
    parser.add_argument("--reward", default="sentiment")
    parser.add_argument("--embedder", default="smollm2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("designs", "contrasts", "losses"), help="leave out the rest")
    options = parser.parse_args()
    torch.set_num_threads(1)
    where, seeds, only = (
        (options.policy, options.reward, options.embedder),
        range(options.seeds),
        options.only,
    )
    if only in (None, "designs"):
        study = Study(options.folder, *where)
        for equal in (False, True):
            made = [study.designs(seed, equal) for seed in seeds]
            for kind, across in DESIGNS:
                sets = [m[kind, across] for m in made]
                n, held = (
                    np.mean([f(c) for c in sets])
                    for f in (lambda c: len(c.winner), lambda c: c.validation.sum())
                )
                gaps = [
                    np.abs(study.golden[c.winner] - study.golden[c.loser]).mean() / study.scale for c in sets
                ]
                gain = {
                    loss: np.array([study.gain(c, loss, s) for s, c in zip(seeds, sets)]).mean()
                    for loss in ("bt", "clf")
                }
                print(
                    f"{kind:8}{'across' if across else 'within':7}{' equal n' if equal else '':8} n {n:.1f} "
                    f"(validation {held:.1f}) error {np.mean([c.wrong.mean() for c in sets]):.3f} "
                    f"mean gap {np.mean(gaps):.3f} best of all: bt {gain['bt']:+.3f} clf {gain['clf']:+.3f}"
                )
        for error in (0.05, 0.2, 0.38):
            pairs = study.losses_pairs(0, error=error)
            print(f"losses, error {error}: n {len(pairs.winner)}, realised {pairs.wrong.mean():.3f}")
            for loss in ("bt", "clf"):
                start = time.perf_counter()
                gain = study.gain(pairs, loss, 0).mean()
                print(
                    f"  {loss}: best of all {gain:+.3f}, {time.perf_counter() - start:.2f} s a fit with scoring",
                    flush=True,
                )
    if only in (None, "contrasts"):
        for kind in ("similar", "diverse"):
            for tail in ("", "_equal"):
                name = f"across_minus_within_{kind}{tail}"
                report(name, effect(*where, name, seeds, folder=options.folder))
    if only in (None, "losses"):
        for error in (0.05, 0.2, 0.38):
            report(
                f"clf_minus_bt, error {error}",
                effect(*where, "clf_minus_bt", seeds, folder=options.folder, error=error),
            )
        report(
            "lgb_minus_bt, error 0.2", effect(*where, "lgb_minus_bt", seeds, folder=options.folder, error=0.2)
        )
        report(
            "clf_minus_bt, error 0.2, literal",
            effect(*where, "clf_minus_bt", seeds, folder=options.folder, literal=True),
        )


if __name__ == "__main__":
    main()
