"""The reward function that verl takes as custom_reward_function, over HTTP.

verl passes the response alone, so the data set must have the prompt in extra_info, under the key "prompt": as
text or as messages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rmlab.clients.client import TOKEN, URL, RewardClient, Text
from rmlab.errors import InputError


def compute_score(
    data_source: str | None = None,
    solution_str: str = "",
    ground_truth: Any = None,
    extra_info: Mapping[str, Any] | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    prompt_key: str = "prompt",
    **others: Any,
) -> float:
    """Returns the reward of a response.

    url: default: RMLAB_REWARD_URL; prompt_key: where extra_info has the prompt. data_source, ground_truth and
    what else verl passes have no use here.
    """
    return _client(url, token).score([_prompt(extra_info, prompt_key)], [solution_str])[0]


async def acompute_score(
    data_source: str | None = None,
    solution_str: str = "",
    ground_truth: Any = None,
    extra_info: Mapping[str, Any] | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    prompt_key: str = "prompt",
    **others: Any,
) -> float:
    """Returns what `compute_score` returns, for verl's reward loop, which awaits it."""
    return (await _client(url, token).ascore([_prompt(extra_info, prompt_key)], [solution_str]))[0]


def _client(url: str | None, token: str | None) -> RewardClient:
    """The client of a server, the same at each call; the environment may name another server later."""
    return _known(url or os.environ.get(URL, ""), token if token is not None else os.environ.get(TOKEN))


@lru_cache(maxsize=8)
def _known(url: str, token: str | None) -> RewardClient:
    return RewardClient(url, token)


def _prompt(extra_info: Mapping[str, Any] | None, key: str) -> Text:
    """The prompt in extra_info; columns of Arrow hold messages as arrays."""
    found = (extra_info or {}).get(key)
    if found is not None and hasattr(found, "tolist"):
        found = found.tolist()
    if not isinstance(found, str | list) or not found:
        raise InputError(
            f"extra_info has no prompt under {key!r}, as text or messages; write it there when the data "
            "set is made, or say where it is with prompt_key"
        )
    return found
