"""``nn.MultiheadAttention`` with its four projections as layers of their own.

Axes: N batch, H heads, L queries, S keys, E dimensions of all heads together, D of one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold._errors import OptionError, ShapeError
from rankfold.layers._attention_masks import merged_mask
from rankfold.layers._format_layer import FormatLayer

__all__ = ["SplitAttention"]


class SplitAttention(nn.Module):
    """``nn.MultiheadAttention`` whose projections ``q_proj``, ``k_proj``, ``v_proj`` and ``out_proj`` are layers.

    ``nn.MultiheadAttention`` packs the weights of three projections in one parameter and hands all four to a
    fused function, so that nothing can take the place of a projection. Here each is a module that is called, and
    :func:`rankfold.factorize` can convert it. Arguments and results of the forward are the same, and fused
    kernels that read packed weights, as ``nn.TransformerEncoderLayer`` has one for evaluation, see that there are
    none. Nested tensors are refused.

    Arguments:
        attention: the attention to split. It is not changed; the new parameters of query, key and value share its
            memory where they are packed, until :meth:`detach_memory`.

    Example:
        >>> import torch
        >>> attention = nn.MultiheadAttention(12, 3, batch_first=True)
        >>> split, inputs = SplitAttention(attention), torch.randn(2, 5, 12)
        >>> torch.allclose(split(inputs, inputs, inputs)[0], attention(inputs, inputs, inputs)[0], atol=1e-6)
        True
        >>> [name for name, _ in split.named_children()]
        ['q_proj', 'k_proj', 'v_proj', 'out_proj']
    """

    # What nn.TransformerEncoderLayer asks for before it hands all weights to its fused kernel.
    _qkv_same_embed_dim = False
    in_proj_weight = None
    in_proj_bias = None
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module
    bias_k: nn.Parameter | None
    bias_v: nn.Parameter | None

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim, self.kdim, self.vdim = attention.embed_dim, attention.kdim, attention.vdim
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        self.dropout, self.batch_first = attention.dropout, attention.batch_first
        self.add_zero_attn = attention.add_zero_attn
        held = attention._parameters
        packed = held["in_proj_weight"]
        weights = [held[f"{name}_proj_weight"] for name in "qkv"] if packed is None else _thirds(packed)
        bias = held["in_proj_bias"]
        biases = [None] * 3 if bias is None else _thirds(bias)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weights, biases)
        self.out_proj = _linear(
            attention.out_proj._parameters["weight"], attention.out_proj._parameters["bias"]
        )
        self.bias_k, self.bias_v = held.get("bias_k"), held.get("bias_v")
        self.train(attention.training)

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """Of query, key and value, and that of the output."""
        return self.q_proj, self.k_proj, self.v_proj, self.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; arguments and results as of ``nn.MultiheadAttention``.

        Raises:
            ShapeError: nested tensors, inputs that are neither all batches nor all single sequences, or a mask of
                another shape.
            OptionError: ``is_causal`` without the mask that it is a hint about.
        """
        batched = _check_inputs(query, key, value)
        if is_causal and attn_mask is None:
            raise OptionError("SplitAttention: is_causal is a hint about attn_mask; pass the mask as well.")
        if not batched and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        projected = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if not batched:
            projected = tuple(rows[None] for rows in projected)
        elif not self.batch_first:
            projected = tuple(rows.transpose(0, 1) for rows in projected)
        q, k, v = projected
        # As in torch, the hint replaces the mask where nothing else needs it.
        causal = is_causal and key_padding_mask is None and not need_weights
        sizes = (q.shape[0], self.num_heads, q.shape[1], k.shape[1])
        mask = None if causal else merged_mask(attn_mask, key_padding_mask, sizes, q.dtype)
        k, v, mask = self._with_further_keys(k, v, mask)
        heads, weights = self._attend(
            self._heads(q), self._heads(k), self._heads(v), mask, causal, need_weights
        )
        joined = heads.transpose(1, 2)
        if batched and not self.batch_first:
            joined = joined.transpose(0, 1)
        output = self.out_proj(joined.flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if batched:
            return output, weights
        return output[0], None if weights is None else weights[0]

    def _heads(self, rows: Tensor) -> Tensor:
        """(N, S, E) to (N, H, S, D)."""
        return rows.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _with_further_keys(
        self, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Append the learned key and value, and those of zeros; nothing masks them."""
        further = []
        if self.bias_k is not None and self.bias_v is not None:
            further.append((self.bias_k.expand(k.shape[0], 1, -1), self.bias_v.expand(v.shape[0], 1, -1)))
        if self.add_zero_attn:
            further.append((torch.zeros_like(k[:, :1]), torch.zeros_like(v[:, :1])))
        if further:
            k = torch.cat([k, *(pair[0] for pair in further)], 1)
            v = torch.cat([v, *(pair[1] for pair in further)], 1)
            mask = None if mask is None else F.pad(mask, (0, len(further)))
        return k, v, mask

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        if not need_weights:
            dropout = self.dropout if self.training else 0.0
            return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal), None
        scores = (q * self.head_dim**-0.5) @ k.mT
        weights = torch.softmax(scores if mask is None else scores + mask, -1)
        weights = F.dropout(weights, self.dropout, self.training)
        return weights @ v, weights

    # -- in and out ------------------------------------------------------------------------------------

    @torch.no_grad()
    def detach_memory(self) -> None:
        """Give every parameter memory of its own, so that that of the packed weights can be freed."""
        for parameter in self.parameters():
            if parameter.untyped_storage().nbytes() > parameter.numel() * parameter.element_size():
                parameter.data = parameter.data.clone()

    @torch.no_grad()
    def dense(self) -> nn.MultiheadAttention:
        """The plain attention with all weights multiplied out, packed as they were."""
        attention = nn.MultiheadAttention(
            self.embed_dim,
            self.num_heads,
            self.dropout,
            bias=self.out_proj.bias is not None,
            add_bias_kv=self.bias_k is not None,
            add_zero_attn=self.add_zero_attn,
            kdim=self.kdim,
            vdim=self.vdim,
            batch_first=self.batch_first,
            device="meta",
        )
        *inputs, output = (_as_linear(projection) for projection in self.projections)
        if attention.in_proj_weight is not None:
            attention.in_proj_weight = _packed([linear.weight for linear in inputs])
        else:
            for name, linear in zip("qkv", inputs, strict=True):
                setattr(attention, f"{name}_proj_weight", linear.weight)
        attention.out_proj.weight = output.weight
        if output.bias is not None:
            attention.in_proj_bias = _packed([linear.bias for linear in inputs])
            attention.out_proj.bias = output.bias
        attention.bias_k, attention.bias_v = self.bias_k, self.bias_v
        return attention.train(self.training)


def _check_inputs(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether the inputs are batches."""
    if query.is_nested or key.is_nested or value.is_nested:
        raise ShapeError(
            "SplitAttention: got nested tensors; pass padded ones and a key_padding_mask, and build an "
            "nn.TransformerEncoder around it with enable_nested_tensor=False."
        )
    dimensions = query.ndim, key.ndim, value.ndim
    if dimensions not in ((2, 2, 2), (3, 3, 3)) or key.shape[:-1] != value.shape[:-1]:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (query, key, value))
        raise ShapeError(
            f"SplitAttention: query, key and value have the shapes {shapes}; all must be batches of three axes or "
            "sequences of two, and there must be as many values as keys."
        )
    return query.ndim == 3


def _thirds(packed: nn.Parameter) -> list[nn.Parameter]:
    """Query's, key's and value's part, in the same memory."""
    parts = packed.detach().chunk(3)
    if packed.is_inference():  # of such memory nothing can be trained
        parts = [part.clone() for part in parts]
    return [nn.Parameter(part, requires_grad=packed.requires_grad) for part in parts]


def _packed(parts: list[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.cat(parts), requires_grad=any(part.requires_grad for part in parts))


def _linear(weight: nn.Parameter | None, bias: nn.Parameter | None) -> nn.Linear:
    """A linear layer of given parameters."""
    assert weight is not None
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = weight
    if bias is not None:
        linear.bias = bias
    return linear


def _as_linear(projection: nn.Module) -> nn.Linear:
    linear = projection.dense() if isinstance(projection, FormatLayer) else projection
    assert isinstance(linear, nn.Linear)
    return linear
