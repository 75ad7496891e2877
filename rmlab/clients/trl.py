"""The reward function that TRL's trainers take, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmlab.clients.client import RewardClient, Text


class TrlReward:
    """Returns the rewards of completions, for prompts of text and for conversations."""

    def __init__(self, client: RewardClient, name: str) -> None:
        self.client, self.__name__ = client, name

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        return self.client.score(prompts, completions)


class AsyncTrlReward:
    """Returns rewards without waiting for them: TRL runs it beside other reward functions."""

    def __init__(self, client: RewardClient, name: str) -> None:
        self.client, self.__name__ = client, name

    async def __call__(
        self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any
    ) -> list[float]:
        return await self.client.ascore(prompts, completions)


def trl_reward(
    url: str | Sequence[str] | None = None,
    token: str | None = None,
    *,
    name: str = "rmlab",
    is_async: bool = False,
    **how: Any,
) -> TrlReward | AsyncTrlReward:
    """Returns a function for `GRPOTrainer(reward_funcs=[...])` and the like, which can be pickled.

    name: what TRL calls it in its logs; is_async: return an async function; url, token, how: as for
    RewardClient.
    """
    client = RewardClient(url, token, **how)
    return AsyncTrlReward(client, name) if is_async else TrlReward(client, name)
