"""Clients of a server that `rmlab serve` started, for programs that train a policy.

Importing this loads neither torch nor any other large package, so it can be used where the model is not.
"""

from rmlab.lazy import lazily

__all__ = ["RewardClient", "RewardServerError", "acompute_score", "compute_score", "trl_reward"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "RewardClient": "client",
        "RewardServerError": "retries",
        "acompute_score": "verl",
        "compute_score": "verl",
        "trl_reward": "trl",
    },
)
