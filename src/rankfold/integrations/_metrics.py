"""Ranks and sizes as the named numbers that loggers of trainers take."""

from math import prod

from rankfold.training import TDLRT

__all__ = ["rank_metrics"]


def rank_metrics(optimizer: TDLRT, prefix: str = "rankfold") -> dict[str, float]:
    """Parameters in cores and factors, what share of the dense weights is saved, and every rank of the last truncation.

    Arguments:
        optimizer: that trains the layers.
        prefix: of all names.

    Returns:
        ``rankfold/parameters``, ``rankfold/compression`` in (-inf, 1), and ``rankfold/rank/LAYER/mode_0`` and so on.
    """
    ranks = optimizer.exact_ranks
    kept = dense = 0
    named: dict[str, float] = {}
    for name, layer in optimizer.layers.items():
        kept += prod(ranks[name]) + sum(layer.weight_shape[mode] * ranks[name][mode] for mode in layer.modes)
        dense += prod(layer.weight_shape)
        for mode in layer.modes:
            named[f"{prefix}/rank/{name or 'network'}/mode_{mode}"] = float(ranks[name][mode])
    return {f"{prefix}/parameters": float(kept), f"{prefix}/compression": 1 - kept / dense, **named}
