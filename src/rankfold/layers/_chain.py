"""The chain of a factorised layer as one differentiable operation: narrow, apply the core, widen.

Its backward is written out. That is faster than autograd's through the same three stages, because each gradient is
taken in the form that the kernels like, and it is where TDLRT's exact step finds everything it needs in one pass.

Axes: n full dimensions, r ranks; k widened ranks, at most 2r.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from rankfold.layers._one_pass import OnePass, Pair
from rankfold.layers._sides import Side, is_channels_last
from rankfold.layers._tracing import being_traced, in_a_batch
from rankfold.layers._windows import Window
from rankfold.linalg import mode_inner, mode_products

__all__ = ["Chain", "run_chain"]


@dataclass(frozen=True, slots=True)
class Chain:
    """The stages of one layer.

    Arguments:
        incoming: side of the mode that faces the input, None if that mode has no factor.
        window: the core, with the factors of all other modes multiplied in.
        outgoing: side of the mode that faces the output, None if that mode has no factor.
        modes: which modes of the core face input and output.
        plain: whether the same window without sides is the dense layer (no groups, nothing looked up).
    """

    incoming: Side | None
    window: Window
    outgoing: Side | None
    modes: tuple[int, int]
    plain: bool

    def narrowed(self, input: Tensor, inner: Tensor | None) -> Tensor:
        """The hidden input."""
        return input if self.incoming is None or inner is None else self.incoming.down(input, inner)

    def pulled_back(self, gradient: Tensor, outer: Tensor | None) -> Tensor:
        """Gradient of the hidden output."""
        return gradient if self.outgoing is None or outer is None else self.outgoing.down(gradient, outer)

    def apply(
        self, input: Tensor, core: Tensor, bias: Tensor | None, inner: Tensor | None, outer: Tensor | None
    ) -> Tensor:
        """The layer's output, by operations that autograd differentiates."""
        hidden = self.narrowed(input, inner)
        if self.outgoing is None or outer is None:
            return self.window.forward(hidden, core, bias)
        return self.outgoing.up(self.window.forward(hidden, core, None), outer, bias)

    def core_gradient(
        self,
        input: Tensor,
        gradient: Tensor,
        core: Tensor,
        factors: Pair,
        fresh: Pair,
        known: Pair = (None, None),
    ) -> Tensor:
        """Gradient of a core between widened factors.

        Arguments:
            input, gradient: of the layer and of its output.
            core: the core between the factors that are widened.
            factors: of the two sides.
            fresh: their new columns; None or none at all where nothing is new.
            known: hidden input, and gradient of the hidden output, where they are at hand.
        """
        sizes, hidden = list(core.shape), []
        for side, mode, full, factor, new, reduced in zip(
            (self.incoming, self.outgoing), self.modes, (input, gradient), factors, fresh, known, strict=True
        ):
            if side is None or factor is None:
                hidden.append(full)
                continue
            part = side.down(full, factor) if reduced is None else reduced
            if new is not None and new.shape[1]:
                part = side.widened(part, full, factor, new)
                sizes[mode] += new.shape[1]
            hidden.append(part)
        return self.window.core_gradient(hidden[0], hidden[1], tuple(sizes))[0]

    def dense_gradient_is_cheaper(
        self, core: Tensor, inner: Tensor | None, outer: Tensor | None, positions: int, widened: bool
    ) -> bool:
        """Whether all gradients are cheaper as projections of the dense weight's, by multiplications."""
        if not self.plain or inner is None or outer is None:
            return False
        (n_in, r_in), (n_out, r_out) = inner.shape, outer.shape
        k_in, k_out = (min(2 * r_in, n_in), min(2 * r_out, n_out)) if widened else (r_in, r_out)
        size = prod(core.shape) // (r_in * r_out)
        sides = r_in * n_in + r_out * n_out + (k_in * n_in + k_out * n_out if widened else 0)
        chain = positions * (sides + size * k_in * k_out)
        projections = size * (n_in * n_out * (r_in + k_in) + k_in * n_out * (r_out + k_out))
        return positions * size * n_in * n_out + projections < chain


def run_chain(
    chain: Chain,
    input: Tensor,
    core: Tensor,
    bias: Tensor | None,
    inner: Tensor | None,
    outer: Tensor | None,
    *,
    one_pass: OnePass | None = None,
    recompute: bool = False,
) -> Tensor:
    """Apply a chain, differentiably.

    Arguments:
        chain: the stages.
        input: the layer's input.
        core: the core with all factors but the sides' multiplied in.
        bias: of the layer.
        inner, outer: factors of the incoming and the outgoing side.
        one_pass: where the backward leaves the core gradient in widened bases; None if nobody asks for it.
        recompute: compute hidden values anew in the backward, to keep less memory.

    Returns:
        The layer's output.
    """
    if not torch.is_grad_enabled() or being_traced(input):
        return chain.apply(input, core, bias, inner, outer)
    return _Fused.apply(chain, one_pass, recompute, input, core, bias, inner, outer)  # pyright: ignore


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        chain: Chain,
        one_pass: OnePass | None,
        recompute: bool,
        input: Tensor,
        core: Tensor,
        bias: Tensor | None,
        inner: Tensor | None,
        outer: Tensor | None,
    ) -> Tensor:
        hidden = chain.narrowed(input, inner)
        if chain.outgoing is None or outer is None:
            between = output = chain.window.forward(hidden, core, bias)
        else:
            between = chain.window.forward(hidden, core, None)
            output = chain.outgoing.up(between, outer, bias)
        widened = one_pass is not None and not one_pass.accumulate
        positions = between.numel() // (outer.shape[1] if outer is not None else core.shape[chain.modes[1]])
        dense = chain.dense_gradient_is_cheaper(core, inner, outer, positions, widened)
        # Projections of the dense gradient need neither hidden value.
        keep_between = not (recompute or dense or outer is None)
        keep_hidden = not (recompute or dense or inner is None)
        ctx.save_for_backward(
            input,
            core,
            bias,
            inner,
            outer,
            hidden if keep_hidden else None,
            between if keep_between else None,
        )
        ctx.chain, ctx.one_pass, ctx.dense = chain, one_pass, dense
        ctx.hidden_layout = hidden.shape, hidden.stride()
        # Rows of a product seen as images are a view, on which autograd forbids operations in place such as ReLU's; the
        # same memory without that relation is not.
        return output.data

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, core, bias, inner, outer, hidden, between = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, None, None, *_differentiable(ctx.chain, gradient, (input, core, bias, inner, outer))
        gradient = _like_layout(gradient, input)
        work = _Backward(ctx, input, gradient, core, bias, inner, outer, hidden, between)
        return None, None, None, *work.gradients()


@dataclass(slots=True)
class _Backward:
    """One backward pass through a chain."""

    ctx: Any
    input: Tensor
    gradient: Tensor
    core: Tensor
    bias: Tensor | None
    inner: Tensor | None
    outer: Tensor | None
    hidden: Tensor | None
    between: Tensor | None

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Of input, core, bias, inner and outer factor."""
        chain: Chain = self.ctx.chain
        one_pass: OnePass | None = self.ctx.one_pass
        pulled = chain.pulled_back(self.gradient, self.outer)
        like_hidden = self.hidden
        if like_hidden is None:
            shape, stride = self.ctx.hidden_layout
            like_hidden = torch.empty_strided(shape, stride, dtype=pulled.dtype, device=pulled.device)
        needs_input, needs_core, needs_bias, needs_inner, needs_outer = self.ctx.needs_input_grad[3:]
        at_hidden = None
        if needs_input or needs_inner:
            at_hidden = chain.window.input_gradient(like_hidden, pulled, self.core)
        input_gradient = at_hidden if needs_input else None
        if needs_input and chain.incoming is not None and self.inner is not None:
            input_gradient = chain.incoming.up(at_hidden, self.inner)  # pyright: ignore[reportArgumentType]
        needed = (needs_core, self.inner is None or needs_inner, self.outer is None or needs_outer)
        if not all(needed) or in_a_batch(self.gradient):  # frozen in part, or many gradients in one batch
            one_pass = None
        if self.ctx.dense and needs_core and needs_inner and needs_outer:
            core, bias, inner, outer = self._by_dense_gradient(chain, one_pass, needs_bias)
        else:
            core, bias, inner, outer = self._by_stages(
                chain, one_pass, pulled, at_hidden, (needs_core, needs_bias, needs_inner, needs_outer)
            )
        return input_gradient, core, bias, inner, outer

    def _by_stages(
        self,
        chain: Chain,
        one_pass: OnePass | None,
        pulled: Tensor,
        at_hidden: Tensor | None,
        needs: tuple[bool, bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        needs_core, needs_bias, needs_inner, needs_outer = needs
        inner = outer = core = bias = None
        if needs_inner and chain.incoming is not None and self.inner is not None:
            assert at_hidden is not None
            inner, _ = chain.incoming.gradients(at_hidden, self.input, self.inner)
        if self.outer is not None and chain.outgoing is not None and (needs_outer or needs_bias):
            outer, bias = chain.outgoing.gradients(
                self._between(chain), self.gradient, self.outer, needs_bias
            )
        bias_left = needs_bias and self.outer is None
        shape = tuple(self.core.shape)
        if one_pass is not None and needs_core:
            known = (self.hidden, pulled)
            sides = (self.inner, self.outer)
            core = one_pass.collect(chain, self.input, self.gradient, self.core, sides, (inner, outer), known)
        if core is None and (needs_core or bias_left):
            hidden = chain.narrowed(self.input, self.inner) if self.hidden is None else self.hidden
            core, bias_sums = chain.window.core_gradient(hidden, pulled, shape, bias_left)
            bias = bias_sums if bias_left else bias
        elif bias_left:
            bias = self.gradient.movedim(1 if self.core.ndim > 2 else -1, 0).flatten(1).sum(1)
        return core, bias, inner, outer

    def _between(self, chain: Chain) -> Tensor:
        if self.between is not None:
            return self.between
        hidden = chain.narrowed(self.input, self.inner) if self.hidden is None else self.hidden
        return chain.window.forward(hidden, self.core, None)

    def _by_dense_gradient(
        self, chain: Chain, one_pass: OnePass | None, needs_bias: bool
    ) -> tuple[Tensor | None, ...]:
        """All gradients as projections of dL/dW: dU_i = Mat_i(G x_j U_jᵀ) Mat_i(C)ᵀ."""
        assert self.inner is not None
        assert self.outer is not None
        (before, after), size = chain.modes, list(self.core.shape)
        size[before], size[after] = self.inner.shape[0], self.outer.shape[0]
        dense, bias = chain.window.core_gradient(self.input, self.gradient, tuple(size), needs_bias)
        inner = mode_inner(mode_products(dense, {after: self.outer.mT}), self.core, before)
        outer = mode_inner(mode_products(dense, {before: self.inner.mT}), self.core, after)
        core = None
        if one_pass is not None and one_pass.accumulate:
            sides = (self.inner, self.outer)
            one_pass.collect(chain, self.input, self.gradient, self.core, sides, (inner, outer))
        elif one_pass is not None:
            core = one_pass.project(chain, dense, self.core, (self.inner, self.outer), (inner, outer))
        if core is None:
            core = mode_products(dense, {before: self.inner.mT, after: self.outer.mT})
        return core, bias, inner, outer


def _differentiable(
    chain: Chain, gradient: Tensor, tensors: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    """The same gradients by autograd's own rules, for a backward that is to be differentiated again."""
    input, core, bias, inner, outer = tensors
    assert input is not None
    assert core is not None
    output = chain.apply(input, core, bias, inner, outer)
    wanted = [t for t in tensors if t is not None and t.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True, allow_unused=True))
    return tuple(next(found) if t is not None and t.requires_grad else None for t in tensors)


def _like_layout(gradient: Tensor, input: Tensor) -> Tensor:
    """Images come in the input's memory format, so that no kernel reorders them."""
    if gradient.ndim == 4 and is_channels_last(input):
        return gradient.contiguous(memory_format=torch.channels_last)
    return gradient.contiguous()
