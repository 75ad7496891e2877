"""A golden reward by a user's own function."""

from __future__ import annotations

import inspect
from collections.abc import Callable as Function
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rmlab.config.components import imported
from rmlab.errors import InputError
from rmlab.goldens.base import Scorer, conversation
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


@dataclass(frozen=True)
class Callable:
    """Calls the function at a dotted path with prompts and responses, lists of up to 256.

    It returns a number for each response, None or NaN for a failure. It may take its arguments by name:
    prompts, responses, or completions, as TRL's reward functions do; these may take **kwargs too. They are
    texts; with conversational, prompts are lists of messages and responses
    [{"role": "assistant", "content": ...}], as TRL passes for chats.
    If a call raises an error, each of its responses is tried alone, and those that raise again have failed.
    """

    name: ClassVar[str] = "callable"

    path: str = field(metadata={"code": True})
    conversational: bool = False

    def open(self, compute: Compute) -> Scorer:
        function = _function(self.path)
        call = _caller(function, self.path)

        def score(exchanges: Sequence[Exchange]) -> Any:
            return call(*self._arguments(exchanges))

        return score

    def _arguments(self, exchanges: Sequence[Exchange]) -> tuple[list[Any], list[Any]]:
        if self.conversational:
            answers = [[{"role": "assistant", "content": e.response}] for e in exchanges]
            return [[dict(m) for m in e.messages] for e in exchanges], answers
        return [conversation(e.messages) for e in exchanges], [e.response for e in exchanges]


def _function(path: str) -> Function[..., Any]:
    """Imports the function."""
    function = imported(
        path, [path.rpartition(".")[0]], "golden.callable.path"
    )  # its use was allowed when the run was planned
    if not callable(function) or inspect.isclass(function) or inspect.iscoroutinefunction(function):
        raise InputError(f"{path} is not a plain function; give the dotted path of one, such as mine.reward")
    return function


def _caller(function: Function[..., Any], path: str) -> Function[[list[Any], list[Any]], Any]:
    """Returns a call of the function by the names of its parameters, or else by position."""
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    known = {"prompts", "responses", "completions"}
    needed = {p.name for p in parameters if p.default is p.empty and p.name in names}
    if names & known or takes_any:
        if needed - known:
            missing = ", ".join(sorted(needed - known))
            raise InputError(
                f"{path} requires {missing}, but gets only prompts and responses (or completions); "
                "give it a default"
            )
        wanted = (names & known) or {"prompts", "completions"}
        if takes_any:
            wanted = wanted | {"prompts"} | ({"completions"} if "responses" not in names else set())
        return lambda prompts, responses: function(
            **{name: prompts if name == "prompts" else responses for name in wanted}
        )
    if len(needed) > 2 or not _takes_two(function):
        raise InputError(f"{path} must take two arguments: the prompts and the responses, as lists")
    return function


def _takes_two(function: Function[..., Any]) -> bool:
    """Returns whether the function can be called with two positional arguments."""
    try:
        inspect.signature(function).bind([], [])
    except TypeError:
        return False
    return True
