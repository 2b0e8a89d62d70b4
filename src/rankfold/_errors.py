"""Errors of Rankfold: one sentence saying where, what came, what is allowed and what to do."""

from rankfold._visible import one_line

__all__ = [
    "CheckpointError",
    "ConversionError",
    "DataError",
    "ExportError",
    "NonFiniteError",
    "OptimizerError",
    "OptionError",
    "RankError",
    "RankfoldError",
    "SelectorError",
    "ShapeError",
]


_LONGEST = 2000  # letters of a sentence, more than any that quotes nothing from outside


class RankfoldError(Exception):
    """Base of every error that Rankfold raises on purpose.

    A sentence quotes what came, and that may come from a file: what a terminal would obey is written as its number, and
    of a sentence that would be very long the middle is left out.
    """

    def __str__(self) -> str:
        sentence = one_line(super().__str__())
        if len(sentence) <= _LONGEST:
            return sentence
        return f"{sentence[: _LONGEST // 2]} ... {sentence[-_LONGEST // 2 :]}"


class ShapeError(RankfoldError, ValueError):
    """Tensors whose shapes or dtypes do not belong together."""


class RankError(RankfoldError, ValueError):
    """A rank outside what the shape of the tensor allows."""


class OptionError(RankfoldError, ValueError):
    """An argument outside its allowed values."""


class SelectorError(RankfoldError, ValueError):
    """A selector of layers that matches nothing."""


class OptimizerError(RankfoldError, ValueError):
    """An inner optimiser whose state cannot be moved, or a state that does not fit the model."""


class ConversionError(RankfoldError, RuntimeError):
    """A conversion that would have changed what the model computes."""


class NonFiniteError(RankfoldError, RuntimeError):
    """NaN or infinity where a number is needed."""


class CheckpointError(RankfoldError, RuntimeError):
    """A file that is missing, damaged or does not fit the model."""

    #: Whether bytes of the file are not those that were written, so that an older one can take its place.
    damaged = False


class DataError(RankfoldError, RuntimeError):
    """A data set that is missing or damaged."""


class ExportError(RankfoldError, RuntimeError):
    """A model that cannot be exported, or a file that does not compute what the model does."""
