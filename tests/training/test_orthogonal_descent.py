"""Descent on orthogonal matrices: check E4, the formulas, and the protocol of torch's optimisers."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfold import NonFiniteError, OptionError, ShapeError
from rankfold.linalg import loewdin, orthonormality_defect
from rankfold.training import OrthogonalDescent


def orthogonal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linalg.qr(torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))).Q


def rotation(size: int, seed: int = 0) -> Tensor:
    matrix = orthogonal(size, size, seed=seed)
    return torch.cat([torch.linalg.det(matrix) * matrix[:1], matrix[1:]])


def parameter(size: int = 6) -> nn.Parameter:
    return nn.Parameter(torch.eye(size, dtype=torch.float64))


def pull(matrix: nn.Parameter, target: Tensor) -> Tensor:
    """Loss of the orthogonal Procrustes problem."""
    matrix.grad = None
    loss = (matrix - target).square().sum()
    loss.backward()
    return loss.detach()


def drift(iterations: int | None, lr: float = 0.01) -> float:
    """Largest entry of ``|RᵀR - I|`` after 300 steps towards another rotation."""
    matrix, target = parameter(27), rotation(27)
    optimizer = OrthogonalDescent([matrix], lr, momentum=0.9, iterations=iterations)
    for _ in range(300):
        pull(matrix, target)
        optimizer.step()
    return float(orthonormality_defect(matrix.detach()))


def test_drift_falls_with_the_iterations() -> None:  # E4
    two, five, fifty, exact = (drift(k) for k in (2, 5, 50, None))
    assert two > 1e3 * five > 1e3 * 1e3 * fifty
    assert two <= 1e-3
    assert five <= 2e-8
    assert fifty <= 1e-14
    assert exact <= 300 * 27 * torch.finfo(torch.float64).eps  # 300 solutions by LU, rounding of d terms each


def test_drift_of_one_step_is_that_of_the_series() -> None:
    for theta in (0.01, 0.1, 0.3):
        for iterations, share in ((1, 4.0), (2, -4.0)):
            matrix = parameter(2)
            matrix.grad = torch.tensor([[0.0, -3.0], [3.0, 0.0]], dtype=torch.float64)
            # |Ω| = 3 sqrt(2) and a = 2 θ / 3.
            OrthogonalDescent([matrix], lr=2 * theta / 3, iterations=iterations).step()
            stretch = float((matrix @ matrix.mT).detach()[0, 0]) - 1
            sixth = 0.0 if iterations == 1 else 4 * theta**6
            assert stretch == pytest.approx(share * theta**4 + sixth, rel=1e-9, abs=1e-14)


def test_drift_does_not_run_away() -> None:
    # Long steps with one iteration: the momentum of the short form of Ω grows without bound here.
    assert drift(1, lr=0.1) < 1


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("iterations", [2, 5, None])
def test_descends_to_the_nearest_rotation(momentum: float, iterations: int | None) -> None:
    matrix, target = parameter(), rotation(6)
    optimizer = OrthogonalDescent([matrix], lr=0.05, momentum=momentum, iterations=iterations)
    for _ in range(600):
        pull(matrix, target)
        optimizer.step()
    # Where the gradient has no tangent part, X is a symmetric matrix times the target, whatever it has drifted.
    assert (loewdin(matrix.detach()) - target).abs().max() <= 1e-4
    assert iterations == 2 or (matrix - target).abs().max() <= 1e-4


def step_by_definition(
    matrix: Tensor, gradient: Tensor, momentum: Tensor, lr: float, mu: float
) -> tuple[Tensor, Tensor]:
    """One step from the formulas, with inverse matrices."""
    moved = mu * momentum + gradient
    omega = (moved @ matrix.T - matrix @ moved.T) / 2
    a = min(lr, 1 / float(omega.norm()))
    eye = torch.eye(len(matrix), dtype=matrix.dtype)
    return torch.linalg.inv(eye + a / 2 * omega) @ (eye - a / 2 * omega) @ matrix, omega @ matrix


@given(st.integers(2, 8), st.integers(0, 10**6), st.floats(1e-4, 10.0), st.sampled_from([0.0, 0.5, 0.9]))
def test_a_step_is_that_of_the_formulas(size: int, seed: int, lr: float, mu: float) -> None:
    start = orthogonal(size, size, seed=seed)
    exact, close = (nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        OrthogonalDescent([exact], lr, mu, iterations=None),
        OrthogonalDescent([close], lr, mu, iterations=60),
    ]
    expected, momentum = start, torch.zeros_like(start)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        gradient = torch.randn(size, size, generator=generator, dtype=torch.float64)
        exact.grad, close.grad = gradient, gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
        expected, momentum = step_by_definition(expected, gradient, momentum, lr, mu)
        torch.testing.assert_close(exact.detach(), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(close.detach(), expected, rtol=0, atol=1e-12)  # at least halved 60 times
        tangent = (
            momentum @ expected.T if mu == 0 else optimizers[0].state[exact]["momentum_buffer"] @ exact.mT
        )
        assert orthonormality_defect(exact.detach()) <= 1e-13
        assert tangent.isfinite().all()


def test_momentum_is_a_tangent() -> None:
    matrix = nn.Parameter(orthogonal(5, 5))
    optimizer = OrthogonalDescent([matrix], lr=0.1)
    before = matrix.detach().clone()
    matrix.grad = torch.randn(5, 5, dtype=torch.float64)
    optimizer.step()
    turned = optimizer.state[matrix]["momentum_buffer"] @ before.T
    assert (turned + turned.T).abs().max() <= 1e-14
    # The projection is orthogonal: what it leaves out is no tangent.
    left = (matrix.grad - optimizer.state[matrix]["momentum_buffer"]) @ before.T
    assert (left - left.T).abs().max() <= 1e-13


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_each_iteration_at_least_halves_the_error(iterations: int) -> None:
    start = orthogonal(6, 6)
    gradient = 100 * torch.randn(6, 6, dtype=torch.float64)
    ends = []
    for count in (iterations, iterations + 1, None):
        matrix = nn.Parameter(start.clone())
        matrix.grad = gradient
        OrthogonalDescent([matrix], lr=5.0, iterations=count).step()
        ends.append(matrix.detach())
    errors = [float((end - ends[2]).norm()) for end in ends[:2]]
    assert errors[1] <= 0.5 * errors[0]


def test_batches_of_matrices_are_single_ones() -> None:
    start, gradient = orthogonal(3, 4, 4), torch.randn(3, 4, 4, dtype=torch.float64)
    together = nn.Parameter(start.clone())
    alone = [nn.Parameter(matrix.clone()) for matrix in start]
    optimizers = [OrthogonalDescent([together]), OrthogonalDescent(alone)]
    for _ in range(3):
        together.grad = gradient
        for matrix, g in zip(alone, gradient, strict=True):
            matrix.grad = g
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(together.detach(), torch.stack([m.detach() for m in alone]))


def test_maximize_climbs_as_the_other_sign_descends() -> None:
    up, down = (nn.Parameter(orthogonal(4, 4)) for _ in range(2))
    one, two = OrthogonalDescent([up], maximize=True), OrthogonalDescent([down])
    for _ in range(3):
        gradient = torch.randn(4, 4, dtype=torch.float64)
        up.grad, down.grad = gradient, -gradient
        one.step()
        two.step()
    assert torch.equal(up, down)


def test_closure_and_zero_gradients() -> None:
    matrix, target = parameter(), rotation(6)
    optimizer = OrthogonalDescent([matrix], lr=0.05)
    assert optimizer.step() is None  # no gradient yet
    assert torch.equal(matrix, torch.eye(6, dtype=torch.float64))
    before = pull(matrix, target)

    def closure() -> float:
        assert torch.is_grad_enabled()
        return float(pull(matrix, target))

    assert optimizer.step(closure) == float(before)
    assert pull(matrix, target) < before
    still = parameter()
    still.grad = torch.zeros_like(still)
    OrthogonalDescent([still]).step()
    assert torch.equal(still, torch.eye(6, dtype=torch.float64))


def run(optimizer: OrthogonalDescent, matrix: nn.Parameter, steps: int) -> None:
    for _ in range(steps):
        pull(matrix, rotation(6, seed=5))
        optimizer.step()


def test_state_goes_through_a_file_and_a_copy() -> None:
    matrix = parameter()
    optimizer = OrthogonalDescent([matrix], lr=0.03, momentum=0.8, iterations=3)
    run(optimizer, matrix, 4)
    again = nn.Parameter(matrix.detach().clone())
    other = OrthogonalDescent([again])
    other.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert other.param_groups[0]["lr"] == 0.03
    twin, copied = copy.deepcopy((matrix, optimizer))
    run(optimizer, matrix, 4)
    run(other, again, 4)
    run(copied, twin, 4)
    assert torch.equal(matrix, again)
    assert torch.equal(matrix, twin)


def test_groups_schedules_and_a_learning_rate_as_tensor() -> None:
    one, two, three = parameter(), parameter(4), parameter(3)
    optimizer = OrthogonalDescent([{"params": [one], "lr": 0.5}, {"params": [two]}], lr=torch.tensor(0.1))
    optimizer.add_param_group({"params": three, "iterations": None, "momentum": 0.0})
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for p in (one, two, three):
        p.grad = torch.randn_like(p)
    optimizer.step()
    schedule.step()
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.25, 0.05, 0.05])
    assert "momentum_buffer" not in optimizer.state[three]
    assert orthonormality_defect(three.detach()) <= 1e-14
    named = OrthogonalDescent([("matrix", parameter())])
    assert named.param_groups[0]["param_names"] == ["matrix"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_changes_nothing(value: float) -> None:
    one, two = parameter(), parameter(3)
    optimizer = OrthogonalDescent([one, two], lr=0.1)
    one.grad, two.grad = torch.randn_like(one), torch.full_like(two, value)
    before = one.detach().clone()
    with pytest.raises(NonFiniteError, match="nothing was changed"):
        optimizer.step()
    assert torch.equal(one, before)
    assert not optimizer.state


@pytest.mark.parametrize(
    "options",
    [{"lr": -1.0}, {"lr": float("nan")}, {"lr": float("inf")}, {"momentum": 1.0}, {"momentum": -0.1}]
    + [{"lr": "fast"}, {"lr": None}, {"lr": torch.ones(2)}, {"momentum": "much"}, {"momentum": None}]
    + [{"iterations": k} for k in (0, 1.5, True)],
)
def test_bad_options(options: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        OrthogonalDescent([parameter()], **options)
    optimizer = OrthogonalDescent([parameter()])
    with pytest.raises(OptionError, match=next(iter(options))):
        optimizer.add_param_group({"params": [parameter()], **options})


@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        (torch.zeros(3), ShapeError),
        (torch.zeros(2, 3), ShapeError),
        (torch.eye(3).bfloat16(), ShapeError),
        (torch.eye(3).cfloat(), ShapeError),
        (torch.ones(3, 3), OptionError),
        (torch.full((3, 3), float("nan")), OptionError),
    ],
)
def test_only_orthogonal_matrices(matrix: Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match="OrthogonalDescent"):
        OrthogonalDescent([nn.Parameter(matrix)])


def test_what_torch_refuses_is_refused_by_torch() -> None:
    for params, error in (([{"params": {parameter()}}], TypeError), ([], ValueError), ([3], TypeError)):
        with pytest.raises(error):
            OrthogonalDescent(params)
