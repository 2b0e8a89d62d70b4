"""What a page says about a compression, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankfold.report._layer_costs import Costs
from rankfold.report.page._training_record import ModeSpectrum

__all__ = ["CompressedLayerRecord", "CompressionRecord", "NetworkCosts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedLayerRecord:
    """One layer that was compressed, or left dense for a reason.

    Arguments:
        name, kind, shape: of the layer and its dense weight.
        modes: factorised modes; empty where it was left dense.
        ranks: one per factorised mode.
        dense: as a dense layer; parameters without the bias.
        now: as the plain layers that it folds to; the same where it was left dense.
        error: relative to the norm of the weight, None where it was left dense.
        weighted_error: the same as far as calibration says that it counts, None without.
        reason: why it was left dense, or None.
        places: numbers of the singular values that the spectra hold, from 1.
        spectra: of the dense weight, whose values are those at the places up to its size.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    modes: tuple[int, ...]
    ranks: tuple[int, ...]
    dense: Costs
    now: Costs
    error: float | None
    weighted_error: float | None
    reason: str | None
    places: tuple[int, ...] = ()
    spectra: tuple[ModeSpectrum, ...] = ()

    @property
    def title(self) -> str:
        """The name, or words where the network is a single layer, which has none."""
        return self.name or "(the network)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCosts:
    """The whole network, dense or folded.

    Arguments:
        parameters: numbers in it.
        flops: per sample.
        seconds: per call.
        bytes: of its file.
        accuracy: on the test set, None where none was named.
    """

    parameters: int
    flops: int
    seconds: float
    bytes: int
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionRecord:
    """One compression.

    Arguments:
        name: of its record.
        settings: by name, as they are stored.
        command: the words that make it again.
        versions: of what made it.
        layers: in the order of the network.
        before, after: the dense network and the folded one.
        samples: number of calibration samples.
        test_samples: that the accuracies rest on.
        output_change: in relative norm on the first calibration batch, or on noise, before any fine-tuning; None where
            it is not known.
        place: threads or device of the times, in words.
        seconds: what took how long, by name.
        inputs: what one sample of each input looks like, as for ``--input-shape``; empty where it is not known.
        export: of the exported network, or None.
        export_failure: why there is none although it was asked for, or None.
    """

    name: str
    settings: Mapping[str, Any]
    command: str
    versions: Mapping[str, str]
    layers: tuple[CompressedLayerRecord, ...]
    before: NetworkCosts
    after: NetworkCosts
    samples: int
    test_samples: int
    output_change: float | None
    place: str
    seconds: Mapping[str, float]
    inputs: tuple[str, ...] = ()
    export: Mapping[str, Any] | None = None
    export_failure: str | None = None

    @property
    def compressed(self) -> tuple[CompressedLayerRecord, ...]:
        """The layers that have ranks."""
        return tuple(layer for layer in self.layers if layer.reason is None)

    @property
    def share(self) -> float:
        """Parameters now over parameters before, 1 of a network without any."""
        return self.after.parameters / self.before.parameters if self.before.parameters else 1.0

    @property
    def time_ratio(self) -> float | None:
        """Time now over time before, None where that is nothing."""
        return self.after.seconds / self.before.seconds if self.before.seconds else None

    @property
    def gained(self) -> float | None:
        """Accuracy now minus accuracy before, None where it was not measured."""
        now, before = self.after.accuracy, self.before.accuracy
        return None if now is None or before is None else now - before

    @property
    def timed(self) -> bool:
        """Whether layers were timed one by one."""
        return any(layer.dense.seconds is not None for layer in self.layers)

    @property
    def samples_timed(self) -> str:
        """The samples of a measured call, in words."""
        count = self.settings["latency_batch"]
        return f"{count} sample{'' if count == 1 else 's'}"
