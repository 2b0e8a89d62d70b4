"""A Llama-style language model as plain modules: every weight is that of an nn.Linear or nn.Embedding.

Axes: N sequences, T positions, H query heads, K key and value heads, D numbers per head, E = H D features.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Llama", "Sizes"]

_EPSILON = 1e-5  # of the normalisation, as the weights were trained


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model.

    Arguments:
        features: E, numbers per position; a multiple of ``heads``.
        hidden: inner features of the feed-forward part.
        layers: number of layers.
        heads: H.
        key_heads: K; a divisor of H, each serves H / K neighbouring query heads.
        vocabulary: number of tokens.
        context: most positions.
        theta: base of the rotary angles.
    """

    features: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    context: int
    theta: float = 10_000.0


class Llama(nn.Module):
    """Tokens to logits; the output layer has the weight of the embedding.

    Arguments:
        sizes: sizes of the model.

    Reference:
        Touvron et al. 2023, "LLaMA: open and efficient foundation language models", section 2.2; rotary
        positions: Su et al. 2021, "RoFormer". Layers are named as in github.com/karpathy/llama2.c.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(sizes.vocabulary, sizes.features)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))
        self.norm = nn.RMSNorm(sizes.features, eps=_EPSILON)
        self.output = nn.Linear(sizes.features, sizes.vocabulary, bias=False)
        self.output.weight = self.tok_embeddings.weight
        half = sizes.features // sizes.heads // 2
        speeds = sizes.theta ** -(torch.arange(half, dtype=torch.float64) / half)
        angles = torch.outer(torch.arange(sizes.context, dtype=torch.float64), speeds)
        self.register_buffer("cosines", angles.cos().float(), persistent=False)
        self.register_buffer("sines", angles.sin().float(), persistent=False)
        self.register_load_state_dict_pre_hook(_take_output_from_embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens ``(N, T)`` to logits ``(N, T, vocabulary)`` of the next ones."""
        positions = tokens.shape[1]
        rotation = self.cosines[:positions], self.sines[:positions]
        hidden = self.tok_embeddings(tokens)
        for layer in self.layers:
            hidden = layer(hidden, rotation)
        return self.output(self.norm(hidden))


class _Layer(nn.Module):
    """Attention and a gated feed-forward part, each after a normalisation and added to its input."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(sizes.features, eps=_EPSILON)
        self.attention = _Attention(sizes)
        self.ffn_norm = nn.RMSNorm(sizes.features, eps=_EPSILON)
        self.feed_forward = _FeedForward(sizes)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation)
        return hidden + self.feed_forward(self.ffn_norm(hidden))


class _Attention(nn.Module):
    """Causal attention with fewer key and value heads than query heads."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads, self.key_heads = sizes.heads, sizes.key_heads
        width = sizes.features // sizes.heads
        self.wq = nn.Linear(sizes.features, sizes.heads * width, bias=False)
        self.wk = nn.Linear(sizes.features, sizes.key_heads * width, bias=False)
        self.wv = nn.Linear(sizes.features, sizes.key_heads * width, bias=False)
        self.wo = nn.Linear(sizes.heads * width, sizes.features, bias=False)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        query = _rotate(self.wq(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2), rotation)
        key = _rotate(self.wk(hidden).unflatten(-1, (self.key_heads, -1)).transpose(1, 2), rotation)
        value = self.wv(hidden).unflatten(-1, (self.key_heads, -1)).transpose(1, 2)
        shared = self.heads // self.key_heads
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.wo(mixed.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    """``w2(silu(w1 x) * w3 x)``."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.w1 = nn.Linear(sizes.features, sizes.hidden, bias=False)
        self.w2 = nn.Linear(sizes.hidden, sizes.features, bias=False)
        self.w3 = nn.Linear(sizes.features, sizes.hidden, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(hidden)) * self.w3(hidden))


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn neighbouring pairs of ``(N, H, T, D)`` by the angles of their positions, each ``(T, D / 2)``."""
    cosines, sines = rotation
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), -1).flatten(-2)


def _take_output_from_embedding(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Files hold the shared weight once."""
    embedding = state.get(f"{prefix}tok_embeddings.weight")
    if embedding is not None:
        state.setdefault(f"{prefix}output.weight", embedding)
