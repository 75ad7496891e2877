"""Runs the layers of Llama and its kin with fewer, larger operations than transformers does.

Projections that read the same input are one product, queries and keys are rotated together, and the residual
stream stays in float32. Notation: B rows, t tokens of each, H query heads, h heads of keys and values, width
d of a head, D of the states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from rmlab.models.decoding.layers import UsualLayers
from rmlab.models.decoding.products import Product, has_room
from rmlab.models.decoding.shared_prefix import SharedPrefix
from rmlab.models.decoding.trials import agree, trial_tokens

_LAYERS = {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer"}
_TRIAL = (24, 24)  # lengths of the texts of a trial
_TRIED = 2  # layers of a trial: after more of them rounding in bfloat16 would hide a difference
# layer, queries [B, H, t, d], keys and values [B, h, t, d] -> [B, t, H, d]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LayerKeys:
    """The keys and values of a layer, [B, h, t, d]."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class KeptKeys:
    """The keys and values of all layers, in the form of transformers' Cache."""

    layers: list[LayerKeys]


class FusedLayers:
    """The layers of a model without its output layer, as `Layers`."""

    def __init__(self, model: Any) -> None:
        """model: an AutoModel of one of the kinds in _LAYERS."""
        lay_out = has_room(p for layer in model.layers for p in layer.parameters())
        self.embed, self.rotary = model.embed_tokens, model.rotary_emb
        self.layers = [_Layer(layer, lay_out) for layer in model.layers]
        self.norm = model.norm
        self.scale = model.layers[0].self_attn.scaling
        self.dtype = model.dtype

    def whole(self, ids: Tensor, wanted: Sequence[int], mask: Tensor | None = None) -> list[Tensor]:
        if mask is not None:
            raise ValueError("fused layers read texts whose padding is not seen")
        return self._read(ids, wanted, lambda keys, values: None)

    def keys(self, ids: Tensor) -> KeptKeys:
        return self.read(ids, [-1])[1]

    def read(self, ids: Tensor, wanted: Sequence[int]) -> tuple[list[Tensor], KeptKeys]:
        """Reads whole texts; returns the states of the wanted layers, and the keys and values of all."""
        kept: list[LayerKeys] = []

        def keep(keys: Tensor, values: Tensor) -> None:
            kept.append(LayerKeys(keys.contiguous(), values.contiguous()))  # not the whole product of them

        return self._read(ids, wanted, keep), KeptKeys(kept)

    def _read(
        self, ids: Tensor, wanted: Sequence[int], keep: Callable[[Tensor, Tensor], None]
    ) -> list[Tensor]:
        def attend(number: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            keep(keys, values)
            read = scaled_dot_product_attention(
                query, keys, values, is_causal=True, scale=self.scale, enable_gqa=True
            )
            return read.transpose(1, 2)

        positions = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
        return self._states(ids, positions, attend, wanted)

    def after(
        self, prefix: SharedPrefix, ids: Tensor, positions: Tensor, wanted: Sequence[int]
    ) -> list[Tensor]:
        def attend(number: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            layer = prefix.layers[number]
            layer.append(keys, values)
            return layer.attend(query, self.scale, None)

        return self._states(ids, positions, attend, wanted)

    def _states(self, ids: Tensor, positions: Tensor, attend: Attend, wanted: Sequence[int]) -> list[Tensor]:
        rows, t = ids.shape
        x = self.embed(ids).view(rows * t, -1).float()
        cos, sin = (part.reshape(rows * t, 1, -1) for part in self.rotary(x.to(self.dtype), positions))
        half = sin.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        depth = len(self.layers)
        numbers = [layer % (depth + 1) for layer in wanted]
        found = {}
        for number, layer in enumerate(self.layers):
            if number in numbers:
                found[number] = x.to(self.dtype, copy=True)
            layer.run(x, number, (rows, t), (cos, sin), attend)
        if depth in numbers:
            found[depth] = _normed(x, self.norm, self.dtype)
        return [found[number].view(rows, t, -1) for number in numbers]


class _Layer:
    def __init__(self, layer: Any, lay_out: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.width = attention.head_dim
        self.n_keys = attention.k_proj.weight.shape[0] // self.width
        self.qkv = _joined([attention.q_proj, attention.k_proj, attention.v_proj], lay_out)
        self.out = Product(attention.o_proj.weight, attention.o_proj.bias, lay_out)
        self.gate_up = _joined([mlp.gate_proj, mlp.up_proj], lay_out)
        self.down = Product(mlp.down_proj.weight, mlp.down_proj.bias, lay_out)
        self.before, self.between = layer.input_layernorm, layer.post_attention_layernorm

    def run(
        self, x: Tensor, number: int, shape: tuple[int, int], turn: tuple[Tensor, Tensor], attend: Attend
    ) -> None:
        """Adds what the layer finds to the residual stream x, [B * t, D] float32."""
        dtype, h = self.before.weight.dtype, self.n_keys
        heads = self.qkv(_normed(x, self.before, dtype)).view(len(x), -1, self.width)
        turned = _turned(heads[:, :-h], *turn)
        query, keys, values = (
            part.view(*shape, -1, self.width).transpose(1, 2)
            for part in (turned[:, :-h], turned[:, -h:], heads[:, -h:])
        )
        x += self.out(attend(number, query, keys, values).reshape(len(x), -1))
        gate, up = self.gate_up(_normed(x, self.between, dtype)).chunk(2, dim=-1)
        x += self.down(silu(gate).mul_(up))


def _normed(x: Tensor, norm: Any, dtype: torch.dtype) -> Tensor:
    return rms_norm(x, norm.weight.shape, None, norm.variance_epsilon).to(dtype).mul_(norm.weight)


def _turned(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates heads [n, k, d] by their positions; the first half of sin is negated."""
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, dims=-1), sin)


def _joined(layers: Sequence[Any], lay_out: bool) -> Product:
    """Joins layers that read the same input; each keeps its part of the joined weight, so that it takes no
    more memory."""
    biases = [layer.bias for layer in layers]
    if len({bias is None for bias in biases}) > 1:
        raise AttributeError("some of the layers have a bias, and some have none")
    weight = torch.cat([layer.weight.detach() for layer in layers])
    for layer, part in zip(layers, weight.split([len(layer.weight) for layer in layers]), strict=True):
        layer.weight.data = part
    return Product(weight, None if biases[0] is None else torch.cat(biases).detach(), lay_out)


def fuse(model: Any) -> FusedLayers | None:
    """Returns the fused layers of an AutoModel on a CPU, or None where they would not be the same as its own.

    Its kind must be known here, and the first layers must agree on a few texts.
    """
    layers = getattr(model, "layers", None)
    if not layers or any(type(layer).__name__ not in _LAYERS for layer in layers):
        return None
    if model.device.type != "cpu" or model.config.hidden_act != "silu":
        return None
    if type(model.norm) is not type(layers[0].input_layernorm):
        return None
    ids, after = torch.tensor(trial_tokens(model, _TRIAL)), min(_TRIED, len(layers))
    try:
        with torch.inference_mode():
            expected = UsualLayers(model).whole(ids, [after])[0]  # before its weights move
        with torch.no_grad():
            fused = FusedLayers(model)
    except (AttributeError, RuntimeError, TypeError, ValueError):  # of its kind by name alone
        return None
    return fused if agree(lambda: fused.whole(ids, [after])[0], lambda: expected, model.dtype) else None
