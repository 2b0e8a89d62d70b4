"""The noisy tensors on which time to the right CP components is measured."""

from dataclasses import dataclass

from torch import Tensor

from benchmarks._cp_problems import add_noise, congruent, factors_of, gaussian, seeded
from benchmarks._cp_scores import relative_error

__all__ = ["B8", "CASES", "EASY", "Case", "problem"]


@dataclass(frozen=True)
class Case:
    """One problem.

    Arguments:
        shape: dimensions.
        rank: number of components.
        congruence: cosine of any two columns, None for Gaussian factors.
        noise: norm of the noise by that of the signal.
        inits: starts in the short and in the long run; 0 leaves it out.
    """

    shape: tuple[int, ...]
    rank: int
    congruence: float | None
    noise: float
    inits: tuple[int, int]


B8 = "50^3 R5 c=.97 noise 5e-4"
EASY = ("50^3 R5 gaussian noise 1e-2", "15^3 R20 gaussian noise 1e-2")
CASES = {
    B8: Case((50,) * 3, 5, 0.97, 5e-4, (20, 20)),
    EASY[0]: Case((50,) * 3, 5, None, 1e-2, (20, 20)),
    EASY[1]: Case((15,) * 3, 20, None, 1e-2, (20, 20)),
    "50^3 R5 c=.9 noise 1e-3": Case((50,) * 3, 5, 0.9, 1e-3, (5, 20)),
    "30^4 R8 c=.9 noise 1e-3": Case((30,) * 4, 8, 0.9, 1e-3, (3, 20)),
    "100^3 R10 c=.9 noise 1e-3": Case((100,) * 3, 10, 0.9, 1e-3, (2, 20)),
    "200^3 R20 c=.9 noise 1e-3": Case((200,) * 3, 20, 0.9, 1e-3, (0, 2)),
    "200^3 R20 gaussian noise 1e-2": Case((200,) * 3, 20, None, 1e-2, (0, 3)),
}


def problem(case: Case) -> tuple[Tensor, list[Tensor], float]:
    """The noisy tensor, its true components, and the relative error that the truth has."""
    generator = seeded(0)
    if case.congruence is None:
        truth = gaussian(case.shape, case.rank, generator)
    else:
        truth = congruent(case.shape, case.rank, case.congruence, generator)
    x = add_noise(truth.to_dense(), case.noise, generator)
    return x, factors_of(truth), relative_error(x, factors_of(truth))
