"""What a page says about a training run, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rankfold.diagnostics import LayerState

__all__ = ["FailureRecord", "LayerRecord", "ModeSpectrum", "RankChange", "TimesRecord", "TrainingRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSpectrum:
    """Singular values of one unfolding of a weight.

    Arguments:
        mode: of the weight.
        size: rows of the unfolding, the most values there could be.
        values: from the largest; as many as the rank where the layer is factorised.
    """

    mode: int
    size: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One layer at the end of a run.

    Arguments:
        name, kind, shape: of the layer and its dense weight.
        modes: factorised modes; empty for a dense layer.
        ranks: dimensions of the core, None for a dense layer.
        parameters_dense, parameters: numbers in it, dense and now.
        flops_dense, flops: operations per sample, dense and now; None where they are not known.
        spectra: of the weight as it is.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    modes: tuple[int, ...]
    ranks: tuple[int, ...] | None
    parameters_dense: int
    parameters: int
    flops_dense: int | None
    flops: int | None
    spectra: tuple[ModeSpectrum, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChange:
    """One truncation of one layer that was worth a line.

    Arguments:
        step: optimiser step after which it happened.
        before, ranks: core dimensions before its cycle and after it.
        error: what was cut, relative to the norm of the weight.
        capped: whether the tolerance asked for more ranks than there were.
    """

    step: int
    before: tuple[int, ...]
    ranks: tuple[int, ...]
    error: float | None
    capped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesRecord:
    """What a trained network takes in use, measured after the end of its run.

    Arguments:
        batch: samples per call.
        place: device and threads, in words.
        versions: of what measured it.
        network: seconds per call of the whole network, dense and folded.
        layers: the same of each factorised layer by name, on what the network gives it.
    """

    batch: int
    place: str
    versions: Mapping[str, str]
    network: tuple[float, float]
    layers: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """Why a run ended before its time.

    Arguments:
        epoch: in which, from 1.
        sentence: what the command said.
        diverged: whether numbers became infinite or none.
    """

    epoch: int
    sentence: str
    diverged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """One run.

    Arguments:
        name: of its folder.
        settings: by name, as they are stored.
        metrics: one line per epoch, as they are stored.
        changes: for each layer its truncations in order.
        layers: of the model after the last whole epoch; empty where there is none.
        versions: of what made it.
        command: the words that make it again.
        usual: settings by name, as they are where nothing else is asked for.
        classes: of the data set; None where they are not known.
        times: None where they were not measured.
        failure: None of a run that did not fail.
        states: what a monitor saw of its layers, in the order of the steps.
    """

    name: str
    settings: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    changes: Mapping[str, tuple[RankChange, ...]]
    layers: tuple[LayerRecord, ...]
    versions: Mapping[str, str]
    command: str
    usual: Mapping[str, Any] = field(default_factory=dict)
    classes: int | None = None
    times: TimesRecord | None = None
    failure: FailureRecord | None = None
    states: tuple[LayerState, ...] = ()

    @property
    def dense(self) -> bool:
        """Whether the ordinary network was trained."""
        return bool(self.settings.get("dense"))

    @property
    def last(self) -> Mapping[str, Any]:
        """The last line of metrics; empty before the first epoch is complete."""
        return self.metrics[-1] if self.metrics else {}

    @property
    def seconds(self) -> float:
        """Training time of all epochs."""
        return sum(float(line["seconds"]) for line in self.metrics)

    @property
    def complete(self) -> bool:
        """Whether all epochs are there."""
        return len(self.metrics) >= int(self.settings["epochs"])

    @property
    def parameters(self) -> int | None:
        """Of the whole network now."""
        return self.last.get("parameters")

    @property
    def parameters_dense(self) -> int | None:
        """Of the whole network with all layers dense."""
        if self.parameters is None:
            return None
        return self.parameters + sum(layer.parameters_dense - layer.parameters for layer in self.layers)

    @property
    def flops(self) -> tuple[int, int] | None:
        """Operations per sample of the layers, dense and now; None where they are not known."""
        known = [(layer.flops_dense, layer.flops) for layer in self.layers]
        if not known or any(dense is None or now is None for dense, now in known):
            return None
        return sum(dense or 0 for dense, _ in known), sum(now or 0 for _, now in known)
