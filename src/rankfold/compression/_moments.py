"""Second moments of what weights are given and of how their outputs matter, in one pass over calibration data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, OptionError, RankfoldError
from rankfold.compression._patches import for_products, gradient_rows, is_lookup, patches, window_size
from rankfold.convert import tensors_in

__all__ = ["Moments", "collect_moments"]

Loss = Callable[[Any, Any], Tensor]

# Rows of the largest joint moment of channels and window positions that is kept, 42 MB in float64; beyond it the
# moment is taken for the Kronecker product of one of channels and one of window positions, n^2 + k^2 numbers.
_LARGEST_JOINT = 2304
# Channels of which all products are kept, 134 MB; beyond it, as for the words of a language, only their squares.
_LARGEST_CHANNELS = 4096


@dataclass(slots=True)
class Moments:
    """Of one weight, in float64.

    With A the second moment of inputs (channels times window positions) at one position, and G that of the
    gradients of the outputs summed over the positions of one sample, a change D of the weight changes what the
    gradients are of by ``trace(G D A D^T)`` in the mean square, if inputs and gradients are independent: the
    approximation of K-FAC (Martens, Grosse 2015, "Optimizing neural networks with Kronecker-factored
    approximate curvature").

    Arguments:
        incoming: mode of the weight that faces the input.
        outgoing: mode of the weight that faces the output.
        inputs: ``(n_in, n_in)`` second moment of channels, or ``(n_in,)`` its diagonal, the frequencies of indices.
        window: ``(k, k)`` second moment of window positions, with trace 1.
        joint: ``(n_in k, n_in k)``, or None where that would be too large.
        outputs: ``(n_out, n_out)``, drawn towards a multiple of the identity, or its diagonal.
    """

    incoming: int
    outgoing: int
    inputs: Tensor
    window: Tensor
    joint: Tensor | None
    outputs: Tensor


class _Sums:
    """Of the layers that share one weight."""

    def __init__(self, weight: Tensor, incoming: int, outgoing: int, modules: Sequence[nn.Module]) -> None:
        options = {"dtype": torch.float64, "device": weight.device}
        channels, window = weight.shape[incoming], window_size(modules[0])
        self.incoming, self.outgoing, self.lookup = incoming, outgoing, is_lookup(modules[0])
        rows = channels * window
        self.whole = not self.lookup and rows <= _LARGEST_JOINT
        self.inputs = _empty(0 if self.lookup else _LARGEST_CHANNELS, channels, **options)
        self.window = torch.zeros(window, window, **options)
        self.joint = torch.zeros(rows, rows, **options) if self.whole else None
        self.outputs = _empty(_LARGEST_CHANNELS, weight.shape[outgoing], **options)
        self.positions = 0

    def add_inputs(self, module: nn.Module, given: Tensor) -> None:
        if is_lookup(module):
            self.inputs += torch.bincount(given.flatten(), minlength=len(self.inputs)).double()
            self.positions += given.numel()
            return
        for part in patches(module, given.detach()):
            rows = for_products(part)
            if self.joint is not None:
                flat = rows.flatten(1)
                self.joint += (flat.mT @ flat).double()
            else:
                channels, window = rows.transpose(1, 2).flatten(0, 1), rows.flatten(0, 1)
                self.inputs += _products(channels, self.inputs.ndim)
                self.window += (window.mT @ window).double()
            self.positions += len(rows)

    def add_gradient(self, module: nn.Module, gradient: Tensor) -> None:
        rows = for_products(gradient_rows(module, gradient))
        groups = rows.shape[1] // len(self.outputs)
        # A factor over the outputs of one group serves all groups.
        rows = rows.reshape(-1, len(self.outputs)) if groups > 1 else rows
        self.outputs += _products(rows, self.outputs.ndim)

    def moments(self, samples: int, groups: int) -> Moments | None:
        if not self.positions:
            return None
        channels, size = len(self.inputs), len(self.window)
        joint = None if self.joint is None else self.joint / self.positions
        if joint is not None:
            blocks = joint.reshape(channels, size, channels, size)
            inputs, window = blocks.diagonal(dim1=1, dim2=3).sum(-1), blocks.diagonal(dim1=0, dim2=2).sum(-1)
        else:
            inputs, window = self.inputs / self.positions, self.window
        if self.lookup:
            window = torch.ones_like(window)
        trace = window.trace()
        window = window / torch.where(trace > 0, trace, 1.0)
        outputs = self.outputs / samples
        if groups > 1 and self.outgoing == 0:
            outputs = _in_groups(outputs, groups)
        elif groups > 1:
            inputs = _in_groups(inputs, groups)
            joint = None if joint is None else _in_groups(joint, groups)
        return Moments(self.incoming, self.outgoing, inputs, window, joint, _shrunk(outputs, samples))


def _empty(largest: int, size: int, **options: Any) -> Tensor:
    return torch.zeros((size, size) if size <= largest else (size,), **options)


def _shrunk(moment: Tensor, samples: int) -> Tensor:
    """A second moment drawn towards a multiple of the identity, the more the fewer samples there are for its size.

    Every sample has one gradient, of random signs, so that with few of them most directions of the outputs look as if
    they did not matter (Ledoit, Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices").
    """
    if moment.ndim == 1:
        return moment
    share = len(moment) / (len(moment) + samples)
    mean = moment.diagonal().mean()
    return (1 - share) * moment + share * mean * torch.eye(
        len(moment), dtype=moment.dtype, device=moment.device
    )


def _in_groups(moment: Tensor, groups: int) -> Tensor:
    """Without products of mode 0 between groups: different groups never meet, so their products do not add up."""
    if moment.ndim == 1:
        return moment
    group = torch.arange(len(moment), device=moment.device) * groups // len(moment)
    return moment * (group[:, None] == group)


def _products(rows: Tensor, dimension: int) -> Tensor:
    """All products of columns, or their squares."""
    return (rows.mT @ rows if dimension == 2 else rows.square().sum(0)).double()


def collect_moments(
    model: nn.Module,
    weights: Mapping[int, Sequence[nn.Module]],
    channel_modes: Mapping[int, tuple[int, int]],
    batches: Iterable[Any],
    *,
    loss: Loss | None = None,
    seed: int = 0,
) -> tuple[dict[int, Moments], int]:
    """Run a model over calibration data once and note the moments of its layers.

    Without a loss the gradients are those of random combinations of the outputs with signs +1 and -1, one per
    batch entry, so that ``trace(G D A D^T)`` estimates the squared change of the outputs themselves: no labels
    are needed, and a network that is sure of its answers still says which of its channels they rest on.

    Arguments:
        model: the dense model; it is run in eval mode and nothing in it is changed.
        weights: for each weight, by identity, the layers that have it.
        channel_modes: likewise the modes of the weight that face input and output.
        batches: what the model is called with; see :func:`rankfold.compress`.
        loss: None, or a scalar from the model's outputs and the batch, a sum over its samples.
        seed: of the signs.

    Returns:
        The moments of every weight that the data reach, and the number of samples.

    Raises:
        OptionError: no batch, or outputs without gradient.
        NonFiniteError: the data, or the gradients, hold NaN or infinity.
    """
    owners = {module: key for key, modules in weights.items() for module in modules}
    sums = {key: _Sums(_weight(modules[0]), *channel_modes[key], modules) for key, modules in weights.items()}
    tracked: list[tuple[nn.Module, Tensor]] = []
    watching = False

    def note(
        module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Tensor
    ) -> Tensor:
        leaf = output if output.requires_grad else output.detach().requires_grad_()
        if watching:  # checkpointed activations are computed once more in the backward
            with torch.autocast(output.device.type, enabled=False):
                sums[owners[module]].add_inputs(module, arguments[0] if arguments else options["input"])
            tracked.append((module, leaf))
        return leaf.clone()  # what follows may work in place

    flags = {module: module.training for module in model.modules()}
    handles = [module.register_forward_hook(note, with_kwargs=True) for module in owners]
    samples, generator = 0, torch.Generator().manual_seed(seed)
    cudnn = torch.backends.cudnn.enabled
    try:
        model.eval()
        if any(isinstance(module, nn.RNNBase) for module in flags):
            torch.backends.cudnn.enabled = False  # its recurrent layers have no backward in eval mode
        for batch in batches:
            tracked.clear()
            samples += samples_in(batch)
            with torch.inference_mode(False), torch.enable_grad():
                watching = True
                outputs = _outputs(model, batch)
                watching = False
                if not tracked:
                    continue
                value = _random_combination(outputs, generator) if loss is None else loss(outputs, batch)
                _require_gradient(value, loss)
                gradients = torch.autograd.grad(value, [leaf for _, leaf in tracked], allow_unused=True)
            for (module, _), gradient in zip(tracked, gradients, strict=True):
                if gradient is not None:
                    with torch.autocast(gradient.device.type, enabled=False):
                        sums[owners[module]].add_gradient(module, gradient)
    finally:
        tracked.clear()
        for handle in handles:
            handle.remove()
        for module, flag in flags.items():
            module.training = flag
        if torch.backends.cudnn.enabled != cudnn:
            torch.backends.cudnn.enabled = cudnn
    if not samples:
        raise OptionError(
            "compress: the calibration data hold no batch; pass a list of batches or a DataLoader."
        )
    found = {}
    for key, each in sums.items():
        moments = each.moments(samples, getattr(weights[key][0], "groups", 1))
        if moments is not None:
            if not bool(moments.inputs.isfinite().all() & moments.outputs.isfinite().all()):
                raise NonFiniteError(
                    "compress: calibration met NaN or infinity in the inputs or gradients of a layer; check the data."
                )
            found[key] = moments
    return found, samples


def _outputs(model: nn.Module, batch: Any) -> Any:
    """As :func:`call_model`, for a batch that nothing has been said of yet."""
    try:
        return call_model(model, batch)
    except RankfoldError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        values = batch.values() if isinstance(batch, Mapping) else [model_input(batch)]
        shapes = " and ".join(str(tuple(value.shape)) for value in values if isinstance(value, Tensor))
        first = str(error).partition("\n")[0]
        raise OptionError(
            f"compress: the model fails on a calibration batch of shape {shapes} ({first}); pass batches that it "
            "takes, as tensors, pairs of inputs and targets, or mappings of keyword arguments."
        ) from error


def call_model(model: nn.Module, batch: Any) -> Any:
    """The outputs for a batch: a tensor, a mapping of keyword arguments, or a pair of inputs and targets."""
    if isinstance(batch, Mapping):
        return model(**{name: _with_gradient(value) for name, value in batch.items()})
    return model(_with_gradient(model_input(batch)))


def _with_gradient(value: Any) -> Any:
    """An input made in inference mode as one that a gradient may be computed of."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def model_input(batch: Any) -> Any:
    """The first element of what a loader with targets yields, or the batch itself."""
    return batch[0] if isinstance(batch, list | tuple) else batch


def samples_in(batch: Any) -> int:
    """Length of the first tensor of a batch."""
    values = list(batch.values()) if isinstance(batch, Mapping) else [model_input(batch)]
    first = next((value for value in values if isinstance(value, Tensor)), None)
    if first is None:
        raise OptionError(
            f"compress: a calibration batch is a {type(batch).__name__} without a tensor; yield tensors, pairs of "
            "inputs and targets, or mappings of keyword arguments."
        )
    return len(first) if first.ndim else 1


def _weight(module: nn.Module) -> Tensor:
    weight = module._parameters["weight"]
    assert weight is not None
    return weight


def _random_combination(outputs: Any, generator: torch.Generator) -> Tensor:
    total = torch.zeros(())
    for tensor in tensors_in(outputs):
        if not (tensor.is_floating_point() and tensor.requires_grad):
            continue
        signs = torch.randint(0, 2, tensor.shape, generator=generator).to(tensor.device, tensor.dtype)
        total = total.to(tensor.device) + (tensor * (2 * signs - 1)).sum()
    return total


def _require_gradient(value: Any, loss: Loss | None) -> None:
    if isinstance(value, Tensor) and value.requires_grad and value.numel() == 1:
        return
    if loss is None:
        raise OptionError(
            "compress: the outputs of the model carry no gradient, so nothing tells how they depend on a layer; pass "
            "loss=, a function of outputs and batch that gives a scalar with a gradient."
        )
    if not isinstance(value, Tensor):
        got = f"a {type(value).__name__}"
    elif value.numel() != 1:
        got = f"a tensor of shape {tuple(value.shape)}"
    else:
        got = "a scalar whose gradient is cut off: its values carry no gradient"
    raise OptionError(
        f"compress: loss must give a scalar with a gradient, a sum over the samples of a batch; it gave {got}."
    )
