"""The states of a model's layers for whole texts, and for tokens that follow prompts whose keys are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from rmlab.models.decoding.shared_prefix import SharedPrefix, sharing


class Layers(Protocol):
    """Reads token ids [B, t], padded on the right.

    wanted: the layers whose states [B, t, D] are returned; 0 stands for the input of the first one, -1 for
    the states after the last.
    """

    def whole(self, ids: Tensor, wanted: Sequence[int], mask: Tensor | None = None) -> list[Tensor]:
        """Reads whole texts. mask: 1 for tokens that others may see; None: padding is not seen anyway."""
        ...

    def keys(self, ids: Tensor) -> Any:
        """Returns the keys and values of prompts, in the form of transformers' Cache."""
        ...

    def after(
        self, prefix: SharedPrefix, ids: Tensor, positions: Tensor, wanted: Sequence[int]
    ) -> list[Tensor]:
        """Reads the next tokens of rows after what `prefix` holds of them, and adds them to it."""
        ...


class UsualLayers:
    """The layers as transformers runs them."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def whole(self, ids: Tensor, wanted: Sequence[int], mask: Tensor | None = None) -> list[Tensor]:
        return _chosen(
            self.model(input_ids=ids, attention_mask=mask, use_cache=False, **_asked(wanted)), wanted
        )

    def keys(self, ids: Tensor) -> Any:
        return self.model(input_ids=ids, use_cache=True).past_key_values

    def after(
        self, prefix: SharedPrefix, ids: Tensor, positions: Tensor, wanted: Sequence[int]
    ) -> list[Tensor]:
        with sharing(self.model):
            output = self.model(
                input_ids=ids,
                position_ids=positions,
                past_key_values=prefix,
                use_cache=True,
                **_asked(wanted),
            )
        return _chosen(output, wanted)


def _asked(wanted: Sequence[int]) -> dict[str, bool]:
    return {"output_hidden_states": any(layer != -1 for layer in wanted)}


def _chosen(output: Any, wanted: Sequence[int]) -> list[Tensor]:
    return [output.last_hidden_state if k == -1 else output.hidden_states[k] for k in wanted]
