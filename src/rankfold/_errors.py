"""Errors of Rankfold: one sentence saying where, what came, what is allowed and what to do."""

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


class RankfoldError(Exception):
    """Base of every error that Rankfold raises on purpose."""


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
