"""TDLRT under Lightning's trainer. The only file here that imports Lightning."""

from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from rankfold._errors import OptionError
from rankfold.integrations._closures import closure_first
from rankfold.integrations._lightning_optimizers import checked_optimizers, optimizers_of
from rankfold.integrations._metrics import rank_metrics
from rankfold.training import TDLRT

try:
    try:
        from lightning.pytorch import Callback
    except ImportError:  # the same trainer under its older name
        from pytorch_lightning import Callback
except ImportError as error:
    raise ImportError(
        f"rankfold.integrations: Lightning cannot be imported ({error}); pip install 'rankfold[lightning]'."
    ) from None

__all__ = ["LightningCallback"]


class LightningCallback(Callback):  # pyright: ignore[reportGeneralTypeIssues] - of one package or the other
    """Lets Lightning's trainer work with the :class:`rankfold.TDLRT` that ``configure_optimizers`` returns.

    Validation and the end of an epoch see exact ranks; ``gradient_clip_val`` clips as
    ``TDLRT.clip_grad_norm_`` does, unless the module has a ``configure_gradient_clipping`` of its own;
    every step evaluates its batches once; and parameters, compression and ranks are logged at the end of an epoch.

    Arguments:
        log: whether to log.

    ``fit`` raises OptimizerError if there is no TDLRT, and OptionError for callbacks that average weights and for
    clipping by value.

    Example:
        >>> LightningCallback(log=False).state_key
        'LightningCallback'
    """

    def __init__(self, log: bool = True) -> None:
        self._log, self._clip, self._pending = log, None, False
        self._hooks: list[RemovableHandle] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over what the trainer does with the gradients."""
        found = checked_optimizers(trainer)
        self._hooks = [optimizer.register_step_pre_hook(closure_first) for optimizer in found]
        self._hooks += [optimizer.register_step_post_hook(self._stepped) for optimizer in found]
        clipping = type(pl_module).configure_gradient_clipping.__qualname__
        if trainer.gradient_clip_val and clipping == "LightningModule.configure_gradient_clipping":
            if trainer.gradient_clip_algorithm == "value":
                raise OptionError(
                    "LightningCallback: gradient_clip_algorithm is 'value', but the entries of a core depend on its "
                    "bases; clip by 'norm'."
                )
            self._clip, trainer.gradient_clip_val = trainer.gradient_clip_val, None

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """Note gradients that wait for a step: a change of ranks would lose them."""
        self._pending = True

    def _stepped(self, *_: Any) -> None:
        self._pending = False

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
        """Clip the gradients that the inner optimiser uses."""
        if self._clip is not None and isinstance(optimizer, TDLRT):
            optimizer.clip_grad_norm_(self._clip)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Bring the ranks to what the tolerance allows, unless gradients are being accumulated."""
        for optimizer in [] if self._pending else optimizers_of(trainer):
            optimizer.truncate()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Bring the ranks to what the tolerance allows, and log them."""
        found = optimizers_of(trainer)
        for number, optimizer in enumerate(found):
            optimizer.truncate()
            if self._log:
                place = f"rankfold/{number}" if len(found) > 1 else "rankfold"
                self.log_dict(rank_metrics(optimizer, place), sync_dist=True)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """As at the end, which does not come then."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave trainer and optimiser as they were."""
        for hook in self._hooks:
            hook.remove()
        if self._clip is not None:
            trainer.gradient_clip_val = self._clip
        self._clip, self._hooks, self._pending = None, [], False
