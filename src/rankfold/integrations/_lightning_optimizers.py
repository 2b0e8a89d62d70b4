"""The optimisers of Lightning's trainer that are ours, and what cannot go with them."""

from typing import Any

from rankfold._errors import OptimizerError, OptionError
from rankfold.training import TDLRT

__all__ = ["checked_optimizers", "optimizers_of"]


def optimizers_of(trainer: Any) -> list[TDLRT]:
    """Every TDLRT of a trainer, none before it fits."""
    return [optimizer for optimizer in trainer.optimizers if isinstance(optimizer, TDLRT)]


def checked_optimizers(trainer: Any) -> list[TDLRT]:
    """The same, as a training begins.

    Raises:
        OptimizerError: there is none.
        OptionError: a callback averages weights.
    """
    found = optimizers_of(trainer)
    if not found:
        raise OptimizerError(
            "LightningCallback: configure_optimizers returned no rankfold.TDLRT; return one over the module."
        )
    for callback in trainer.callbacks:
        if any("WeightAverag" in kind.__name__ for kind in type(callback).__mro__):
            raise OptionError(
                f"LightningCallback: {type(callback).__name__} averages cores and bases entry by entry, which is "
                "no average of weights; leave it out and average rankfold.densify(model)."
            )
    return found
