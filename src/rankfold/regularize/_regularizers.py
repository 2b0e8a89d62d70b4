"""The regularisers by name, and what each cannot be combined with."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from rankfold._registry import Registry
from rankfold.regularize._frobenius_decay import FrobeniusDecay
from rankfold.regularize._gated_rank import GatedRank
from rankfold.regularize._hadamard import hadamard, hadamard_penalty
from rankfold.regularize._latent_dropout import latent_dropout
from rankfold.regularize._spectral_penalty import SpectralPenalty

__all__ = ["REGULARIZERS", "Exclusion", "Regularizer"]

LossTerm = Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Something a regulariser cannot be combined with, and why.

    Arguments:
        reason: one sentence without its full stop.
        forms: how weights are stored: ``'dense'``, or the name of a format; all of them if empty.
        optimizers: names of TDLRT's integrators, or of optimisers of torch; all of them if empty.
    """

    reason: str
    forms: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()

    def applies(self, form: str, optimizer: str) -> bool:
        """Whether it is about this combination."""
        return form in (self.forms or (form,)) and optimizer in (self.optimizers or (optimizer,))


@dataclass(frozen=True, slots=True)
class Regularizer:
    """A way to regularise weights.

    Arguments:
        name: for tables.
        attach: puts it on a model before its optimiser is made, with a strength; gives what is added to the loss, or
            None where nothing is.
        summary: one sentence.
        source: the papers.
        excludes: what it cannot be combined with.
    """

    name: str
    attach: Callable[[nn.Module, float], LossTerm | None]
    summary: str
    source: str
    excludes: tuple[Exclusion, ...] = ()

    def reason_against(self, form: str, optimizer: str) -> str | None:
        """Why it cannot be combined with this form of weights and this optimiser, or None."""
        return next((e.reason for e in self.excludes if e.applies(form, optimizer)), None)


def _hadamard(model: nn.Module, strength: float) -> LossTerm:
    hadamard(model)
    return lambda: hadamard_penalty(model, strength)


def _latent_dropout(model: nn.Module, strength: float) -> None:
    latent_dropout(model, strength)


_NO_RANKS = Exclusion("a dense weight has no ranks", forms=("dense",))
_NO_CORE = Exclusion(
    "only a Tucker tensor has a core that holds its singular values", forms=("cp", "tt", "tt_matrix")
)

REGULARIZERS: Registry[Regularizer] = Registry(
    "regularizer",
    Regularizer(
        name="frobenius_decay",
        attach=lambda model, strength: FrobeniusDecay(model, strength).penalty,
        summary="weight decay of the product of the factors instead of each factor",
        source="Khodak et al. 2021, Initialization and regularization of factorized neural layers",
        excludes=(Exclusion("there is no product: ordinary weight decay is the same", forms=("dense",)),),
    ),
    Regularizer(
        name="gated_rank",
        attach=lambda model, strength: GatedRank(model, strength).penalty,
        summary="every rank term a product of D parts that share a penalty, so that small terms vanish",
        source="Kolb et al. 2025, Deep weight factorization, on rank terms",
        excludes=(
            _NO_RANKS,
            Exclusion(
                "TDLRT turns the rank indices that gates belong to and keeps factors orthonormal; take balanced gates",
                forms=("tucker",),
                optimizers=("augmented", "parallel", "fixed"),
            ),
        ),
    ),
    Regularizer(
        name="balanced_gates",
        attach=lambda model, strength: GatedRank(model, strength, balanced=True).penalty,
        summary="what the gates amount to at their best: a quasi-norm of the singular values",
        source="Shang et al. 2016, Unified scalable equivalent formulations for Schatten quasi-norms",
        excludes=(_NO_RANKS, _NO_CORE),
    ),
    Regularizer(
        name="hadamard",
        attach=_hadamard,
        summary="every entry a product of D numbers, so that small entries vanish",
        source="Kolb et al. 2025, Deep weight factorization",
        excludes=(
            Exclusion(
                "the entries of a weight in a format are no parameters: they are sums over its ranks",
                forms=("tucker", "cp", "tt", "tt_matrix"),
            ),
        ),
    ),
    Regularizer(
        name="latent_dropout",
        attach=_latent_dropout,
        summary="rank terms left out at random in training",
        source="Kolbeinsson et al. 2021, Tensor dropout for robust learning; Bulat et al. 2021",
        excludes=(_NO_RANKS,),
    ),
    Regularizer(
        name="spectral_penalty",
        attach=lambda model, strength: SpectralPenalty(model, strength).penalty,
        summary="singular values of the core drawn towards each other",
        source="Schotthöfer et al. 2025, Dynamical low-rank compression of neural networks with robustness",
        excludes=(Exclusion("a dense weight has no core", forms=("dense",)), _NO_CORE),
    ),
)
