"""Dense layers of a model -> factorised layers, in place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankfold._errors import ConversionError, NonFiniteError, OptionError
from rankfold.convert._attention import on_split_attention
from rankfold.convert._candidates import Candidate, convertible
from rankfold.convert._conversion import Conversion, ConvertedLayer
from rankfold.convert._encoders import settle_encoders
from rankfold.convert._parity import outputs, parity_allowed, relative_difference
from rankfold.convert._replace import replace_module
from rankfold.convert._select import Selector
from rankfold.convert._truncation import PlainTruncation, Truncation
from rankfold.convert._weight_views import choose_ranks, layer_options
from rankfold.layers import FactorizedLayer, require_module
from rankfold.ranks import Choice, Fraction, RankPolicy, as_policy

__all__ = ["convert_layers", "factorize"]

Modes = Sequence[int] | Literal["all"] | None


def factorize(
    model: nn.Module,
    rank: RankPolicy | int | float = Fraction(0.5),
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    modes: Modes = None,
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
            For a policy that measures, as :class:`rankfold.Latency` does, the model is run once.
        include: regular expressions for whole module names, or module classes; None means every layer.
        exclude: likewise, the layers to leave alone.
        modes: modes of convolution weights to factorise: None for the two channel modes, ``'all'``, or a tuple.
        rescale: keep the norm of each weight by scaling its core; for networks about to be trained from scratch.
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model. If given,
            the model is run on it and must agree with its own dense reconstruction.

    Returns:
        A :class:`Conversion`: one row per layer with shape, ranks, parameters before and after, or the reason
        it was skipped.

    Raises:
        SelectorError: a selector that matches no layer.
        OptionError: a rank that is neither policy nor number in range.
        NonFiniteError: a weight holds NaN or infinity.
        ConversionError: the parity check failed; the model is as it was.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
        >>> conversion = factorize(model, 5)
        >>> [row.ranks for row in conversion], type(model[0]).__module__
        ([(5, 5), (5, 5)], 'rankfold.layers._linear')
    """
    require_module(model, "factorize")
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
    if isinstance(modes, str) and modes != "all":
        raise OptionError(
            f"factorize: modes must be None, 'all' or a tuple of mode numbers, got {modes!r}; pass one of these."
        )
    candidates = convertible(model, include, exclude)
    chosen_modes = tuple(modes) if modes is not None and not isinstance(modes, str) else modes
    for group, choice in choose_ranks(model, candidates, policy, chosen_modes, truncation):
        _build(group, choice, truncation, rescale)
    before = None if example_inputs is None else outputs(model, example_inputs)
    _swap(model, candidates)
    conversion = Conversion(tuple(_row(candidate) for candidate in candidates))
    if before is None:
        return conversion
    try:
        return _checked(model, candidates, conversion, example_inputs, before)
    except BaseException:
        for candidate in candidates:
            if candidate.factorized is not None:
                replace_module(model, candidate.names, candidate.factorized, candidate.module)
        raise


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


def _swap(model: nn.Module, candidates: list[Candidate]) -> None:
    for candidate in candidates:
        if candidate.factorized is not None:
            replace_module(model, candidate.names, candidate.module, candidate.factorized)
    settle_encoders(model)


def _row(candidate: Candidate) -> ConvertedLayer:
    weight = candidate.weight
    before = 0 if weight is None else weight.numel()
    layer = candidate.factorized
    return ConvertedLayer(
        name=candidate.names[0],
        kind=type(candidate.module).__name__,
        shape=() if weight is None else tuple(weight.shape),
        ranks=None if layer is None else layer.ranks,
        parameters_before=before,
        parameters_after=before if layer is None else layer.tucker.num_parameters,
        reason=candidate.reason,
    )


def _checked(
    model: nn.Module,
    candidates: list[Candidate],
    conversion: Conversion,
    example_inputs: Any,
    before: list[Tensor],
) -> Conversion:
    after = outputs(model, example_inputs)
    converted = [candidate for candidate in candidates if candidate.factorized is not None]
    for candidate in converted:
        assert candidate.factorized is not None
        replace_module(model, candidate.names, candidate.factorized, candidate.factorized.dense())
    try:
        reconstructed = outputs(model, example_inputs)
    finally:
        for candidate in converted:
            assert candidate.factorized is not None
            for name in candidate.names:
                model.set_submodule(name, candidate.factorized)
    error, allowed = relative_difference(after, reconstructed), parity_allowed(model, len(converted))
    if not error <= allowed:
        raise ConversionError(
            f"factorize: the factorised model differs from its dense reconstruction by {error:.1e} (allowed is "
            f"{allowed:.1e}), the model is unchanged; exclude layers to find the one that reads its weight otherwise."
        )
    return replace(conversion, parity_error=error, output_change=relative_difference(after, before))
