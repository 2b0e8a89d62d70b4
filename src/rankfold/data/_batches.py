"""Minibatches of tensors in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rankfold._errors import OptionError

__all__ = ["batches"]


def batches(
    inputs: Tensor,
    targets: Tensor,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    skip: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over one epoch of minibatches; the last one may be shorter.

    The order is drawn at the call, once for the whole epoch: with the generator in the same state, ``skip``
    leaves out batches without changing the rest, so an epoch goes on where it was interrupted.

    Arguments:
        inputs: ``(N, ...)``, on any device.
        targets: ``(N, ...)``, on any device.
        batch_size: number of examples in a batch, at least 1.
        generator: shuffles with ``torch.randperm``; None keeps the order of the tensors.
        skip: index of the first batch to yield, at least 0.

    Returns:
        An iterator over ``ceil(N / batch_size) - skip`` pairs of inputs and targets.

    Raises:
        OptionError: different numbers of inputs and targets, or a number below its range.

    Reference:
        Sampling without replacement, the standard epoch of stochastic gradient descent (Bottou 2012,
        "Stochastic gradient descent tricks").

    Example:
        >>> import torch
        >>> [len(targets) for _, targets in batches(torch.zeros(5, 2), torch.zeros(5), 2, skip=1)]
        [2, 1]
    """
    count = len(inputs)
    if count != len(targets):
        raise OptionError(f"batches: got {count} inputs and {len(targets)} targets; pass as many of each.")
    if batch_size < 1:
        raise OptionError(f"batches: got batch_size={batch_size}; pass at least 1.")
    if skip < 0:
        raise OptionError(f"batches: got skip={skip}; pass at least 0.")
    starts = range(skip * batch_size, count, batch_size)
    if generator is None:
        return ((inputs[k : k + batch_size], targets[k : k + batch_size]) for k in starts)
    order = torch.randperm(count, generator=generator, device=generator.device)
    # Each order once on each device, not once per batch.
    of_inputs, of_targets = order.to(inputs.device), order.to(targets.device)
    return ((inputs[of_inputs[k : k + batch_size]], targets[of_targets[k : k + batch_size]]) for k in starts)
