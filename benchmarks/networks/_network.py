"""One trained network with its data and its own metric, and the examples that all of them share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

__all__ = ["Examples", "Network", "NetworkData"]

Call = tuple[tuple[Tensor, ...], Tensor]  # the arguments of one call of the network, and its targets


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets, examples along the first axis of each.

    Arguments:
        inputs: the arguments of the network, each ``(N, ...)``.
        targets: ``(N, ...)``.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def first(self, count: int | None) -> "Examples":
        """The first examples, all of them for None."""
        return Examples(tuple(part[:count] for part in self.inputs), self.targets[:count])

    def batches(self, size: int) -> Iterator[Call]:
        """Cut into batches, the last one as small as it comes."""
        parts = [part.split(size) for part in self.inputs]
        yield from zip(zip(*parts, strict=True), self.targets.split(size), strict=True)


@dataclass(frozen=True, eq=False)
class NetworkData:
    """What is read once from the folder of data.

    Arguments:
        weights: the trained weights by name.
        calibration: examples to compress with; the metric never sees them.
        test: examples that the metric is taken over.
    """

    weights: dict[str, Tensor]
    calibration: Examples
    test: Examples


@dataclass(frozen=True)
class Network:
    """A trained network to compress.

    Arguments:
        name: the name it is asked for by.
        summary: what it is, in one line.
        source: where the weights were published.
        skeleton: builds it with fresh weights.
        read: reads its data below a folder, or below RANKFOLD_DATA for None.
        loss: mean loss from what the network returns and the targets.
        evaluate: metrics of a network on the first so many test examples (None: all), the main one first.
        higher_is_better: whether a larger main metric is better.
        left_dense: names of layers that a compression leaves alone.
        batch: examples in one call where only the throughput counts.
    """

    name: str
    summary: str
    source: str
    skeleton: Callable[[], nn.Module]
    read: Callable[[Path | None], NetworkData]
    loss: Callable[[Any, Tensor], Tensor]
    evaluate: Callable[[nn.Module, NetworkData, int | None], dict[str, float]]
    higher_is_better: bool
    left_dense: tuple[str, ...]
    batch: int

    def build(self, data: NetworkData) -> nn.Module:
        """The trained network, in evaluation mode."""
        model = self.skeleton()
        model.load_state_dict(data.weights)
        return model.eval()

    def calibration(self, data: NetworkData, count: int) -> Iterator[Call]:
        """The first ``count`` calibration examples, in batches."""
        return data.calibration.first(count).batches(self.batch)
