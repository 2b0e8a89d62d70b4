"""Constants that networks were trained with, where they are not those of the data set."""

from dataclasses import dataclass
from math import isfinite

from rankfold._errors import OptionError
from rankfold._registry import Registry
from rankfold.data import Dataset

__all__ = ["NORMALIZATIONS", "Normalization", "given_normalization", "normalized"]


@dataclass(frozen=True, slots=True)
class Normalization:
    """What is subtracted from pixels in [0, 1], and what they are divided by then.

    Arguments:
        name: the name it is asked for by.
        mean: one number per channel, a single one for any number of channels, or none for those of the data set.
        deviation: likewise.
        source: where the numbers are from.
    """

    name: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    source: str


NORMALIZATIONS: Registry[Normalization] = Registry(
    "normalize",
    Normalization("dataset", (), (), "the training pixels of the data set"),
    Normalization(
        "imagenet",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "PyTorch's networks for ImageNet, github.com/pytorch/vision",
    ),
    Normalization("unit", (0.0,), (1.0,), "pixels as they are"),
)


def given_normalization(text: str) -> Normalization:
    """The constants that ``--normalize`` names or lists.

    Raises:
        OptionError: an unknown name, or lists that are none.

    Example:
        >>> given_normalization("0.5/0.25").deviation
        (0.25,)
    """
    if "/" not in text:
        return NORMALIZATIONS[text]
    try:
        mean, deviation = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError:
        mean, deviation = (), ()
    if (
        not mean
        or len(mean) != len(deviation)
        or not all(map(isfinite, mean + deviation))
        or min(deviation) <= 0
    ):
        raise OptionError(
            f"normalize: got {text!r}, allowed are as many means as deviations over 0, one per channel; write them as "
            "0.5,0.5,0.5/0.25,0.25,0.25."
        )
    return Normalization(text, mean, deviation, "")


def normalized(dataset: Dataset, text: str) -> Dataset:
    """A data set with the constants that ``--normalize`` names or lists.

    Raises:
        OptionError: they are for another number of channels.
    """
    chosen, channels = given_normalization(text), len(dataset.mean)
    if not chosen.mean:
        return dataset
    if len(chosen.mean) not in (1, channels):
        raise OptionError(
            f"normalize: {chosen.name} has constants for {len(chosen.mean)} channels, {dataset.name} has {channels}; "
            "give as many."
        )
    times = channels // len(chosen.mean)
    return dataset.normalized(chosen.mean * times, chosen.deviation * times)
