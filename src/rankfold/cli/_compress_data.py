"""What a compression learns from: a data set or a file of inputs."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from rankfold._errors import DataError, OptionError
from rankfold.cli._compress_config import CompressConfig
from rankfold.cli._compress_normalize import normalized
from rankfold.cli._input_shapes import InputShape, read_input_shapes
from rankfold.data import DATASETS, Dataset, load_dataset, open_tensor
from rankfold.report import sizes

__all__ = ["CompressionData", "input_shapes_of", "load_compression_data"]

_WHOLE = {"int32": torch.int32, "int64": torch.int64, "bool": torch.bool}


@dataclass(frozen=True)
class CompressionData:
    """Samples for calibration, and the data set they are from.

    Arguments:
        calibration: ``(N, ...)`` inputs, or None for none.
        dataset: with its training and test parts, or None.
    """

    calibration: Tensor | None = None
    dataset: Dataset | None = None

    def calibration_batches(self, batch_size: int, device: torch.device) -> list[Tensor]:
        """The inputs in parts of nearly the same size."""
        if self.calibration is None:
            return []
        parts = self.calibration.tensor_split(ceil(len(self.calibration) / batch_size))
        return [part.to(device) for part in parts]


def input_shapes_of(config: CompressConfig) -> tuple[InputShape, ...]:
    """What one sample looks like: as given, or else as the data have it, or as the network is known to take it.

    Raises:
        OptionError: it is known from nowhere, or the data have another shape than was given.
        DataError: the calibration file is missing or damaged.
    """
    if config.calibrate is None:
        return read_input_shapes(config.model, config.input_shape)
    found = _data_shape(config)
    if not config.input_shape:
        return (found,)
    given = read_input_shapes(config.model, config.input_shape)
    if len(given) != 1 or given[0].sizes != found.sizes:
        words = " ".join(config.input_shape)
        raise OptionError(
            f"compress: samples in {config.calibrate} have the shape {sizes(found.sizes)}, --input-shape says {words}; "
            "leave it out, or name data of one input of that shape."
        )
    return given


def load_compression_data(config: CompressConfig, shape: InputShape, dtype: torch.dtype) -> CompressionData:
    """Read the data, once the network is known to be there.

    Arguments:
        config: checked settings.
        shape: of one sample.
        dtype: of the parameters of the network, for inputs that have none of their own.

    Raises:
        DataError: missing or damaged.
        OptionError: constants for another number of channels.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if config.calibrate is None:
        return CompressionData()
    if config.calibrate in DATASETS:
        dataset = normalized(load_dataset(config.calibrate, data_dir=config.data_dir), config.normalize)
        calibration = _drawn(dataset.train_inputs, config.calibration_samples, generator)
        return CompressionData(None if calibration is None else calibration.to(shape.dtype or dtype), dataset)
    values = open_tensor(config.calibrate, config.key).read()
    drawn = _drawn(values, config.calibration_samples, generator)
    assert drawn is not None
    return CompressionData(drawn.to(shape.dtype or dtype))


def _drawn(inputs: Tensor, count: int, generator: torch.Generator) -> Tensor | None:
    if count == 0:
        return None
    return inputs[torch.randperm(len(inputs), generator=generator)[:count]]


def _data_shape(config: CompressConfig) -> InputShape:
    assert config.calibrate is not None
    if config.calibrate in DATASETS:
        return InputShape(DATASETS[config.calibrate].input_shape)
    source = open_tensor(config.calibrate, config.key)
    if source.shape is None or source.stored != torch.Size(source.shape).numel():
        raise DataError(f"{source.path}: the tensor is sparse; write dense samples along its first axis.")
    return InputShape(source.shape[1:], _WHOLE.get(source.stored_dtype))
