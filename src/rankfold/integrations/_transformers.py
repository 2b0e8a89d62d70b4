"""TDLRT under the Trainer of transformers. The only file here that imports transformers."""

from math import inf
from typing import Any

from rankfold._errors import OptionError
from rankfold.integrations._metrics import rank_metrics
from rankfold.integrations._ties import require_separate_factors
from rankfold.training import TDLRT

try:
    from transformers import Trainer, TrainerCallback
except ImportError as error:
    raise ImportError(
        f"rankfold.integrations: transformers cannot be imported ({error}); pip install 'rankfold[transformers]'."
    ) from None

__all__ = ["attach_tdlrt"]


class _Callback(TrainerCallback):
    """What :func:`attach_tdlrt` adds to a trainer."""

    def __init__(self, trainer: Any) -> None:
        self._trainer, self._max_norm = trainer, 0.0

    @property
    def _optimizer(self) -> TDLRT:
        optimizer = self._trainer.optimizer
        while not isinstance(optimizer, TDLRT):
            optimizer = optimizer.optimizer  # out of accelerate's wrapper
        return optimizer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take over the clipping; without limit the trainer still unscales gradients and logs their norm."""
        require_separate_factors(self._optimizer.model, saved=args.save_strategy != "no")
        if 0 < args.max_grad_norm < inf:
            self._max_norm, args.max_grad_norm = args.max_grad_norm, inf

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Clip the gradients that the inner optimiser uses."""
        if self._max_norm:
            self._optimizer.clip_grad_norm_(self._max_norm)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bring the ranks to what the tolerance allows before the model is evaluated, saved or left."""
        if control.should_evaluate or control.should_save or control.should_training_stop:
            self._optimizer.truncate()
        if control.should_log:
            self._trainer.log(rank_metrics(self._optimizer))

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bring the ranks to what the tolerance allows."""
        self._optimizer.truncate()
        if control.should_log:
            self._trainer.log(rank_metrics(self._optimizer))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the arguments as they were."""
        if self._max_norm:
            args.max_grad_norm, self._max_norm = self._max_norm, 0.0


def attach_tdlrt(trainer: Trainer, **options: Any) -> None:
    """Let a ``transformers.Trainer`` train the factorised layers of its model with :class:`rankfold.TDLRT`.

    Call it before ``train``. The optimiser that the arguments of the trainer ask for, AdamW by custom, with their
    learning rate, betas and groups of weight decay, is the inner one. A trainer that was given a TDLRT keeps it.
    Evaluation, checkpoints and the end of an epoch see exact ranks, ``max_grad_norm`` clips as
    ``TDLRT.clip_grad_norm_`` does, and parameters, compression and ranks are logged with the loss.

    Arguments:
        trainer: its model has factorised layers (see :func:`rankfold.factorize`).
        **options: of TDLRT, such as ``tolerance``.

    Raises:
        OptionError: no trainer, one with another optimiser already, or options beside a TDLRT of its own.
    """
    if not isinstance(trainer, Trainer):
        raise OptionError(f"attach_tdlrt: got a {type(trainer).__name__}; pass a transformers.Trainer.")
    if any(isinstance(callback, _Callback) for callback in trainer.callback_handler.callbacks):
        raise OptionError("attach_tdlrt: the trainer trains with TDLRT already; call it once.")
    if trainer.optimizer is None:
        chosen = trainer.optimizer_cls_and_kwargs

        class LowRank(TDLRT):  # a class, for the trainer calls functions otherwise
            def __init__(self, groups: Any) -> None:
                # Not before: model_init and searches of hyperparameters bring other models and arguments.
                inner, given = chosen or trainer.get_optimizer_cls_and_kwargs(trainer.args)
                model: Any = trainer.model
                super().__init__(model, inner, param_groups=groups, **given, **options)

        trainer.optimizer_cls_and_kwargs = LowRank, {}
    elif not isinstance(trainer.optimizer, TDLRT) or options:
        raise OptionError(
            f"attach_tdlrt: the trainer has a {type(trainer.optimizer).__name__} already; leave optimizers out of its "
            "arguments, or pass a TDLRT there and no options here."
        )
    trainer.add_callback(_Callback(trainer))
