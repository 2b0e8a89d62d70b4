"""Floor 3: penalties, gates and noise on weights in a format."""

from rankfold.regularize._frobenius_decay import FrobeniusDecay, decay_groups
from rankfold.regularize._gated_rank import CollapsedRank, GatedRank
from rankfold.regularize._hadamard import (
    Sparsity,
    collapse_hadamard,
    hadamard,
    hadamard_penalty,
    misalignment,
)
from rankfold.regularize._latent_dropout import LatentDropout, latent_dropout, remove_latent_dropout
from rankfold.regularize._regularizers import REGULARIZERS, Exclusion, Regularizer
from rankfold.regularize._spectral_penalty import SpectralPenalty

__all__ = [
    "REGULARIZERS",
    "CollapsedRank",
    "Exclusion",
    "FrobeniusDecay",
    "GatedRank",
    "LatentDropout",
    "Regularizer",
    "Sparsity",
    "SpectralPenalty",
    "collapse_hadamard",
    "decay_groups",
    "hadamard",
    "hadamard_penalty",
    "latent_dropout",
    "misalignment",
    "remove_latent_dropout",
]
