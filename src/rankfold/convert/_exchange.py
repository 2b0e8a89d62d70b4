"""Put factorised layers in the place of dense ones, check them, and tell what was done."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from rankfold._errors import ConversionError
from rankfold.convert._candidates import Candidate
from rankfold.convert._conversion import Conversion, ConvertedLayer
from rankfold.convert._encoders import settle_encoders
from rankfold.convert._parity import outputs, parity_allowed, relative_difference
from rankfold.convert._replace import replace_module

__all__ = ["exchanged"]


def exchanged(model: nn.Module, candidates: list[Candidate], example_inputs: Any) -> Conversion:
    """Replace every layer that has a factorised form, in place; all of them or none.

    Arguments:
        model: the dense model.
        candidates: its layers; those that have ``factorized`` are replaced.
        example_inputs: None, or what the model is run on before and after.

    Returns:
        One row per candidate.

    Raises:
        ConversionError: the model differs from its own dense reconstruction; it is as it was.
    """
    before = None if example_inputs is None else outputs(model, example_inputs)
    for candidate in candidates:
        if candidate.factorized is not None:
            replace_module(model, candidate.names, candidate.module, candidate.factorized)
    settle_encoders(model)
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
        parameters_after=before if layer is None else layer.value.num_parameters,
        reason=candidate.reason,
        note=None if layer is None else layer.note,
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
