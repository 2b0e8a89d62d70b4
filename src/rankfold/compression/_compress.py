"""A trained model -> a smaller one, in place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import ConversionError, NonFiniteError, OptionError
from rankfold.compression._compression import CompressedLayer, Compression
from rankfold.compression._finetune import FineTuning, finetune_model
from rankfold.compression._moments import collect_moments, model_input, samples_in
from rankfold.compression._patches import is_lookup
from rankfold.compression._refit import Refit, can_refit, check_can_be_read_again, refit_layers
from rankfold.compression._weighted import WeightedTruncation
from rankfold.convert import (
    Budget,
    Candidate,
    Conversion,
    PlainTruncation,
    Truncation,
    convert_layers,
    convertible,
    factorized_layers,
    fold_in_place,
    on_split_attention,
    outputs,
    relative_difference,
    split_attention,
    weight_groups,
)
from rankfold.layers import FactorizedLayer, require_module
from rankfold.ranks import RankPolicy, as_policy

__all__ = ["compress"]

Loss = Callable[[Any, Any], Tensor]


@torch.inference_mode(False)  # what is read and made in inference mode could not carry a gradient
def compress(
    model: nn.Module,
    policy: RankPolicy | int | float = Budget(params=0.5),
    *,
    calibration: Iterable[Any] | None = None,
    loss: Loss | None = None,
    refit: bool = True,
    finetune: FineTuning | None = None,
    fold: bool = True,
    include: Any = None,
    exclude: Any = None,
    modes: Sequence[int] | str | None = None,
    example_inputs: Any = None,
    seed: int = 0,
) -> Compression:
    """Make a trained model smaller, in place: factorise its layers by a rank policy, fine-tune them, fold them.

    With calibration data each weight is approximated where it hurts least: the error is weighted by the second
    moments of the layer's inputs and of the gradients of its outputs, and a policy over the whole model, such as
    :class:`rankfold.Budget`, compares layers by how much the outputs of the model change. A few hundred samples
    are enough, and no labels are needed. Without them the error is that of the weights.

    Arguments:
        model: any trained module; layers that cannot be converted are left alone and listed with the reason.
        policy: a rank policy, a whole number or a fraction, as :func:`rankfold.factorize` takes it.
        calibration: None, or batches: tensors, pairs of inputs and targets of which the first goes to the model,
            or mappings of keyword arguments. A list or a DataLoader; with ``refit=False`` any iterable, read once.
        loss: None, or a function of the model's outputs and the batch that gives a scalar, summed over samples; then
            errors are weighted by gradients of this loss in place of those of the outputs.
        refit: with calibration, fit each factorised layer once more to what the dense one gives, from the first to the
            last, now that its inputs have changed by the truncation of those before it. Reads the data once more per
            layer, with both models.
        finetune: None, or how to train the factorised model before it is folded.
        fold: whether to end with plain ``nn`` layers; otherwise the layers stay factorised, ready for TDLRT.
        include, exclude, modes: as of :func:`rankfold.factorize`.
        example_inputs: what to check the factorised model on; by default the first calibration batch.
        seed: of the random signs that combine the outputs.

    Returns:
        A :class:`Compression`: one row per layer, the errors, and the sizes before and after.

    Raises:
        OptionError: an argument out of range, or a budget that even the lowest ranks exceed.
        NonFiniteError: a weight or the calibration data hold NaN or infinity.
        ConversionError: the parity check failed.

    In all these cases the model is as it was. An error or an interruption in fine-tuning leaves the model factorised,
    as far as it was trained.

    Reference:
        Activation-aware truncation as in Yuan et al. 2023, "ASVD", and Wang et al. 2024, "SVD-LLM"; the output side as
        in Martens, Grosse 2015, "Optimizing neural networks with Kronecker-factored approximate curvature".

    Example:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> data = [torch.randn(100, 64) for _ in range(3)]
        >>> compression = compress(model, Budget(params=0.5), calibration=data)
        >>> bool(compression.share <= 0.5), compression.samples
        (True, 300)
    """
    require_module(model, "compress")
    if not isinstance(finetune, FineTuning | None):
        raise OptionError(
            f"compress: finetune is a {type(finetune).__name__}; pass FineTuning(batches=...) or None."
        )
    rule = as_policy(policy)
    if calibration is not None:
        _check_batches(calibration)
        if refit:
            check_can_be_read_again(calibration)
    elif loss is not None:
        raise OptionError(
            "compress: got a loss without calibration data; pass calibration= too, or leave out the loss."
        )
    if finetune is not None and not any(parameter.requires_grad for parameter in model.parameters()):
        raise OptionError(
            "compress: every parameter of the model is frozen, so fine-tuning has nothing to train; call "
            "model.requires_grad_(True), or leave finetune out."
        )
    # Copied first: a model may keep what it computed, which cannot be copied with the graph of its gradients.
    refit = refit and calibration is not None
    dense = deepcopy(model) if refit or (finetune is not None and finetune.distillation) else None
    selection = {"include": include, "exclude": exclude, "modes": modes}
    with torch.compiler.set_stance("force_eager"):  # compiled code does not see hooks that are added later
        compression = _truncated(
            model, dense if refit else None, rule, calibration, loss, selection, example_inputs, fold, seed
        )
    if finetune is not None and any(True for _ in factorized_layers(model)):
        finetune_model(model, finetune, dense if finetune.distillation else None)
    if fold:
        fold_in_place(model)
    return compression


@on_split_attention
def _truncated(
    model: nn.Module,
    dense: nn.Module | None,
    rule: RankPolicy,
    calibration: Iterable[Any] | None,
    loss: Loss | None,
    selection: dict[str, Any],
    example_inputs: Any,
    fold: bool,
    seed: int,
) -> Compression:
    """All up to the truncated and, with a dense model, fitted network; the model is as it was if an error is raised."""
    candidates = convertible(model, selection["include"], selection["exclude"])
    truncation: Truncation = PlainTruncation()
    samples = 0
    try:
        if calibration is not None:
            first = _First(calibration)
            truncation, samples = _calibrated(model, candidates, first, loss, seed)
            example_inputs = first.inputs if example_inputs is None else example_inputs
        if isinstance(rule, Budget) and rule.measures and rule.example_inputs is None:
            rule = replace(rule, example_inputs=example_inputs)
        before = _size(model)
        conversion = convert_layers(model, rule, truncation, **selection, example_inputs=example_inputs)
        if dense is not None:
            assert calibration is not None
            assert isinstance(truncation, WeightedTruncation)
            with split_attention(dense):
                refit_layers(model, dense, _to_refit(model, dense, candidates, truncation), calibration)
            change = relative_difference(outputs(model, example_inputs), outputs(dense, example_inputs))
            conversion = replace(conversion, output_change=change)
        return Compression(
            layers=_rows(model, conversion, candidates, truncation),
            parameters_before=before,
            parameters_after=_folded_size(model, example_inputs if fold else None),
            output_change=conversion.output_change,
            samples=samples,
        )
    except BaseException:
        for candidate in candidates:
            for name in candidate.names if candidate.reason is None else ():
                model.set_submodule(name, candidate.module)
        raise


def _check_batches(calibration: Any) -> None:
    """Raise OptionError for one batch in place of several: what it yields would be taken for batches."""
    if isinstance(calibration, Tensor | Mapping | str) or not (
        isinstance(calibration, Iterable) or hasattr(calibration, "__getitem__")
    ):
        raise OptionError(
            f"compress: calibration is a {type(calibration).__name__}; pass batches: a list, as in [inputs], or a "
            "DataLoader."
        )


class _First:
    """Batches as they come, of which the first is kept."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches, self.inputs = batches, None

    def __iter__(self) -> Any:
        for batch in self.batches:
            if self.inputs is None and samples_in(batch):
                self.inputs = model_input(batch)
            yield batch


def _calibrated(
    model: nn.Module, candidates: list[Candidate], batches: Iterable[Any], loss: Loss | None, seed: int
) -> tuple[WeightedTruncation, int]:
    groups = weight_groups(candidates)
    for name, weight in ((group[0].names[0], group[0].weight) for group in groups):
        if weight is not None and not bool(weight.isfinite().all()):
            raise NonFiniteError(
                f"layer {name!r}: its weight holds NaN or infinity; mend it or exclude the layer."
            )
    weights, modes = {}, {}
    for group in groups:
        # A table that is shared with an output layer counts as that layer uses it.
        weighed = max(group, key=lambda candidate: not is_lookup(candidate.module)).rule.layer.channel_modes
        modes[id(group[0].weight)] = weighed
        weights[id(group[0].weight)] = [c.module for c in group if c.rule.layer.channel_modes == weighed]
    moments, samples = collect_moments(model, weights, modes, batches, loss=loss, seed=seed)
    return WeightedTruncation(moments), samples


def _to_refit(
    model: nn.Module, dense: nn.Module, candidates: list[Candidate], truncation: WeightedTruncation
) -> list[Refit]:
    """The factorised layers that can be fitted; a weight that several layers share would need one fit for all."""
    before, after, found = dict(dense.named_modules()), dict(model.named_modules()), []
    for group in weight_groups(candidates):
        name = group[0].names[0]
        layer = after[name]
        if len(group) > 1 or not isinstance(layer, FactorizedLayer):
            continue
        weight = truncation.calibrated_weight(group)
        if can_refit(layer, before[name], weight.moments):
            found.append(Refit(name, before[name], layer, weight))
    return found


def _rows(
    model: nn.Module, conversion: Conversion, candidates: list[Candidate], truncation: Truncation
) -> tuple[CompressedLayer, ...]:
    """What was done to each layer; ``candidates`` are the dense layers that the model had."""
    dense = {candidate.names[0]: candidate for candidate in candidates}
    modules, rows = dict(model.named_modules()), []
    for row in conversion:
        shared = {
            "name": row.name,
            "kind": row.kind,
            "shape": row.shape,
            "parameters_before": row.parameters_before,
        }
        layer = modules[row.name]
        if not isinstance(layer, FactorizedLayer):
            rows.append(CompressedLayer(**shared, parameters_after=row.parameters_before, reason=row.reason))
            continue
        error, weighted = _errors(dense[row.name], layer, truncation)
        rows.append(
            CompressedLayer(
                **shared,
                modes=layer.modes,
                ranks=tuple(layer.ranks[mode] for mode in layer.modes),
                parameters_after=_size(layer.folded()) - (0 if layer.bias is None else layer.bias.numel()),
                error=error,
                weighted_error=weighted,
            )
        )
    return tuple(rows)


@torch.no_grad()
def _errors(
    candidate: Candidate, layer: FactorizedLayer, truncation: Truncation
) -> tuple[float, float | None]:
    weight = candidate.weight
    assert weight is not None
    approximation = layer.weight
    error = _ratio(
        float((weight - approximation).double().square().sum()), float(weight.double().square().sum())
    )
    if not isinstance(truncation, WeightedTruncation):
        return error, None
    return error, _ratio(*truncation.error([candidate], approximation))


def _ratio(lost: float, total: float) -> float:
    return (lost / total) ** 0.5 if total > 0 else 0.0


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _folded_size(model: nn.Module, example_inputs: Any) -> int:
    """Parameters of the model with each factorised layer folded to its smallest plain form, which is tried if asked."""
    copy = deepcopy(model)
    fold_in_place(copy)
    if example_inputs is not None:
        try:
            outputs(copy, example_inputs)
        except AttributeError as error:
            raise ConversionError(
                f"compress: the folded model fails on the example inputs ({error}), as one does that reads the weight "
                "of a layer itself; exclude that layer, or pass fold=False."
            ) from error
    return _size(copy)
