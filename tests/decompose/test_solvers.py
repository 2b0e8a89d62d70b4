"""Every registered CP method keeps the contract of solvers."""

from rankfold.decompose import METHODS
from rankfold.decompose._algebraic import applicable
from rankfold.testing import SolverContract


class TestAlternatingLeastSquares(SolverContract):
    method = "als"
    # It ends as soon as a sweep gains less than 1e-8, and squares the condition in the precision of the data.
    accuracy = 1e-5
    single_accuracy = 1e-3


class TestGaussNewton(SolverContract):
    method = "gauss_newton"


class TestGreedy(SolverContract):
    method = "greedy"


class TestOverparam(SolverContract):
    method = "overparam"


class TestAlgebraic(SolverContract):
    method = "algebraic"

    def allowed(self, shape: tuple[int, ...], rank: int) -> bool:
        return applicable(shape, rank)


class TestGradientFlow(SolverContract):
    method = "gradient_flow"


class TestAuto(SolverContract):
    method = "auto"
    # Its cheap runs are those of alternating least squares.
    accuracy = 1e-5


def test_no_method_is_left_out() -> None:
    own = [contract for contract in SolverContract.__subclasses__() if contract.__module__ == __name__]
    assert {contract.method for contract in own} == set(METHODS)
