"""CP problems and slow, obvious ways to compute what solvers need."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rankfold.decompose._methods import Settings
from rankfold.decompose._recorder import Recorder

LETTERS = "abcde"


def drawn(shape: Sequence[int], rank: int, seed: int) -> list[Tensor]:
    """Normal factors; the seeds are far from those that the tests give to solvers, which draw in the same way."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    return [torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in shape]


def dense(factors: Sequence[Tensor]) -> Tensor:
    letters = LETTERS[: len(factors)]
    return torch.einsum(",".join(f"{letter}r" for letter in letters) + "->" + letters, *factors)


def exact(shape: Sequence[int], rank: int, seed: int) -> Tensor:
    return dense(drawn(shape, rank, seed))


def noise(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(20_000 + seed)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def noisy(x: Tensor, level: float, seed: int) -> Tensor:
    disturbance = noise(x.shape, seed)
    return x + level * disturbance * torch.linalg.vector_norm(x) / torch.linalg.vector_norm(disturbance)


def observed(shape: Sequence[int], share: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(30_000 + seed)
    return torch.rand(tuple(shape), generator=generator) < share


def settings(seed: int = 0, **options: Any) -> Settings:
    recorder = options.pop("recorder", None) or Recorder()
    return Settings(generator=torch.Generator().manual_seed(seed), recorder=recorder, **options)


def jacobian(factors: Sequence[Tensor]) -> Tensor:
    """Derivative of the model by all factors, row by row one after another, ``(entries, P)``, by autograd."""
    blocks = torch.autograd.functional.jacobian(lambda *given: dense(given), tuple(factors))
    count = blocks[0].shape[: len(factors)].numel()
    return torch.cat([block.reshape(count, -1) for block in blocks], dim=1)


def flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
