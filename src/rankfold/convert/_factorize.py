"""Dense layers of a model -> factorised layers, in place."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rankfold._errors import NonFiniteError
from rankfold.convert._attention import on_split_attention
from rankfold.convert._candidates import Candidate, convertible
from rankfold.convert._conversion import Conversion
from rankfold.convert._exchange import exchanged
from rankfold.convert._format_options import Modes, checked_cores, checked_modes
from rankfold.convert._select import Selector
from rankfold.convert._truncation import PlainTruncation, Truncation
from rankfold.convert._tt_matrix import convert_to_tt_matrix
from rankfold.convert._weight_views import choose_ranks, layer_options
from rankfold.layers import FactorizedLayer, require_module
from rankfold.ranks import Choice, Fraction, RankPolicy, as_policy

__all__ = ["convert_layers", "factorize"]


def factorize(
    model: nn.Module,
    rank: RankPolicy | int | float = Fraction(0.5),
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    modes: Modes = None,
    format: str = "tucker",
    cores: int | None = None,
    rescale: bool = False,
    example_inputs: Any = None,
) -> Conversion:
    """Replace the linear, convolution and embedding layers of a model by factorised ones, in place.

    A layer that cannot be converted without changing what it computes is left alone and listed with the
    reason. Weights that modules share stay shared. ``nn.MultiheadAttention`` is split into its four projections
    (:class:`rankfold.layers.SplitAttention`) where one of them is converted. In evaluation
    ``nn.TransformerEncoderLayer`` calls converted layers, where torch else hands all weights to one fused kernel, and
    ``nn.TransformerEncoder`` no longer writes zeros to padded rows. Nothing is changed if an error is raised.

    Arguments:
        model: any module; its layers are replaced, its other parameters and buffers are not touched.
        rank: a rank policy, a whole number (:class:`rankfold.Fixed`) or a float (:class:`rankfold.Fraction`).
            For a policy that measures, as :class:`rankfold.Latency` does, the model is run once. With ``tt_matrix``
            the ranks are those of the bonds, and :class:`rankfold.Tolerance` and :class:`rankfold.Latency` (in powers
            of two) are the policies that may look at weights.
        include: regular expressions for whole module names, or module classes; None means every layer.
        exclude: likewise, the layers to leave alone.
        modes: modes of convolution weights to factorise: None for the two channel modes, ``'all'``, or a tuple.
        format: how weights are written, a name in :data:`rankfold.convert.FORMATS`. A ``tt_matrix``
            (:class:`rankfold.TTMatrix`) stands for linear layers and embeddings; it is small rather than fast, and the
            table says how many multiplications its contraction takes. :class:`rankfold.TDLRT` trains its cores by the
            inner optimiser, at fixed ranks.
        cores: with ``tt_matrix``, the number of factors that rows and columns are split into, 2 or more; None is 3.
        rescale: keep the norm of each weight by scaling it; for networks about to be trained from scratch.
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model. If given,
            the model is run on it and must agree with its own dense reconstruction.

    Returns:
        A :class:`Conversion`: one row per layer with shape, ranks, parameters before and after, or the reason
        it was skipped.

    Raises:
        SelectorError: a selector that matches no layer.
        OptionError: a rank that is neither policy nor number in range, or an unknown format, or options that it does
            not take.
        NonFiniteError: a weight holds NaN or infinity.
        ConversionError: the parity check failed; the model is as it was.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
        >>> conversion = factorize(model, 5)
        >>> [row.ranks for row in conversion], type(model[0]).__module__
        ([(5, 5), (5, 5)], 'rankfold.layers._linear')
        >>> factorize(nn.Sequential(nn.Linear(64, 64)), 2, format="tt_matrix")
        <Conversion: 1 of 1 layers factorised, 96.9% fewer parameters in them; print shows them>
    """
    require_module(model, "factorize")
    number = checked_cores("factorize", format, modes, cores)
    if number is not None:
        return convert_to_tt_matrix(
            model,
            as_policy(rank),
            number,
            include=include,
            exclude=exclude,
            rescale=rescale,
            example_inputs=example_inputs,
        )
    return convert_layers(
        model,
        as_policy(rank),
        PlainTruncation(),
        include=include,
        exclude=exclude,
        modes=modes,
        rescale=rescale,
        example_inputs=example_inputs,
    )


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
@on_split_attention
def convert_layers(
    model: nn.Module,
    policy: RankPolicy,
    truncation: Truncation,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    modes: Modes = None,
    rescale: bool = False,
    example_inputs: Any = None,
) -> Conversion:
    """:func:`factorize` with a given way to approximate weights; the other arguments are its."""
    chosen_modes = checked_modes("factorize", modes)
    candidates = convertible(model, include, exclude)
    for group, choice in choose_ranks(model, candidates, policy, chosen_modes, truncation):
        _build(group, choice, truncation, rescale)
    return exchanged(model, candidates, example_inputs)


def _build(group: list[Candidate], choice: Choice, truncation: Truncation, rescale: bool) -> None:
    """Factorised layers for modules that share a weight; they share core and factors."""
    for candidate in group:
        options = layer_options(candidate, choice.modes)
        layer = candidate.rule.layer.like(candidate.module, rank=choice.ranks, **options)
        if candidate is group[0]:
            _assign(layer, group, choice, truncation, rescale)
        else:
            assert group[0].factorized is not None
            layer.share(group[0].factorized)
        candidate.factorized = layer


@torch.no_grad()
def _assign(
    layer: FactorizedLayer, group: list[Candidate], choice: Choice, truncation: Truncation, rescale: bool
) -> None:
    weight = group[0].weight
    assert weight is not None
    ranks = tuple(layer.core.shape[mode] for mode in layer.modes)
    try:
        tucker = truncation.tucker(group, Choice(choice.modes, ranks))
    except NonFiniteError as error:
        raise NonFiniteError(f"layer {group[0].names[0]!r}: {error}") from error
    layer.assign_approximation(tucker, weight, rescale=rescale)
