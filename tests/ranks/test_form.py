"""Costs of a form are those of the layers that fold gives; losses are those of the truncated weight."""

import copy
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.convert.models import Conv1D
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import rankfold as rf
from rankfold.convert import core_energies
from rankfold.ranks import Choice, Form, WeightView


class Chosen:
    """Gives the weights a choice drawn by a test, and keeps what it was shown."""

    training = False

    def __init__(self, data: st.DataObject, example_inputs: Tensor | None) -> None:
        self.data, self.example_inputs = data, example_inputs
        self.weight: WeightView
        self.choice: Choice

    def choose(self, weights: list[WeightView]) -> list[Choice | str]:
        (self.weight,) = weights
        form = self.weight.form(self.data.draw(st.sampled_from(self.weight.modes)))
        row = self.data.draw(st.integers(0, len(form.losses) - 1))
        self.choice = Choice(form.modes, tuple(int(column[row]) for column in form.grid))
        return [self.choice]


LAYERS = {
    "linear": (lambda: nn.Linear(20, 30), (3, 5, 20)),
    "wide linear": (lambda: nn.Linear(60, 4, bias=False), (60,)),
    "gpt-2": (lambda: Conv1D(30, 20), (3, 20)),
    "embedding": (lambda: nn.Embedding(40, 12), None),
    "clipped embedding": (lambda: nn.Embedding(40, 12, max_norm=1.0), None),
    "conv1d": (lambda: nn.Conv1d(8, 12, 3, padding="same", padding_mode="circular"), (2, 8, 10)),
    "conv2d": (lambda: nn.Conv2d(8, 12, 3, stride=2, padding=1), (2, 8, 9, 11)),
    "one image": (lambda: nn.Conv2d(3, 20, 5, dilation=2), (3, 20, 12)),
    "groups": (lambda: nn.Conv2d(12, 20, 3, groups=4), (2, 12, 6, 6)),
    "two wide groups": (lambda: nn.Conv2d(40, 4, 1, groups=2), (2, 40, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(6, 5, (1, 2, 3)), (1, 6, 4, 5, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(8, 12, 4, stride=2, padding=1), (2, 8, 5, 4)),
    "transposed groups": (
        lambda: nn.ConvTranspose2d(12, 8, 3, groups=2, output_padding=1, stride=2),
        (12, 4, 4),
    ),
}


def multiplications(model: nn.Module, given: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(given)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=15)
@given(data=st.data())
def test_costs_are_those_of_the_folded_layer(name: str, data: st.DataObject) -> None:
    build, shape = LAYERS[name]
    model = nn.Sequential(build())
    inputs = torch.arange(6).view(2, 3) if shape is None else torch.zeros(shape)
    dense = multiplications(model, inputs)
    biases = sum(value.numel() for key, value in model.named_parameters() if key.endswith("bias"))
    policy = Chosen(data, inputs)
    rf.factorize(model, policy)
    plain = rf.fold(model)
    form = policy.weight.form(policy.choice.modes)
    ranks, positions, lookups = policy.choice.ranks, policy.weight.positions, policy.weight.lookups
    assert form.parameters(ranks) == sum(value.numel() for value in plain.parameters()) - biases
    assert form.multiplications(ranks, positions, lookups) == multiplications(plain, inputs)
    assert policy.weight.dense_multiplications() == dense


@given(st.data())
def test_columns_and_scalars_agree(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)))
    modes = data.draw(st.sampled_from([(0, 1), (0,), (1,), (0, 1, 2)]))
    groups, incoming = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 1))
    form = Form(shape, modes, core_energies(torch.randn(shape), modes), incoming, 1 - incoming, groups)
    rows = list(zip(*(column.tolist() for column in form.grid), strict=True))
    assert form.parameters_at(form.grid).tolist() == [form.parameters(row) for row in rows]
    assert form.losses.tolist() == [form.lost(row) for row in rows]
    assert form.multiplications_at(form.grid, (7, 5), 3).tolist() == [
        form.multiplications(row, (7, 5), 3) for row in rows
    ]


@pytest.mark.parametrize(
    ("shape", "modes"), [((6, 5), (0, 1)), ((5, 4, 3), (0, 1)), ((4, 3, 2), (0, 1, 2)), ((4, 9), (1,))]
)
def test_the_grid_holds_what_is_feasible(shape: tuple[int, ...], modes: tuple[int, ...]) -> None:
    weight = torch.randn(shape, dtype=torch.float64)
    form = Form(shape, modes, core_energies(weight, modes))
    every = product(*(range(1, size + 1) for size in form.energies.shape))
    feasible = [ranks for ranks in every if rf.ranks.lowered(ranks, shape, modes) == ranks]
    assert sorted(zip(*(column.tolist() for column in form.grid), strict=True)) == feasible


@given(st.data())
def test_losses_bound_the_squared_error_of_the_truncated_weight(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(6, 5), (5, 4, 3), (3, 8, 2), (4, 3, 2, 2)]))
    modes = data.draw(st.sampled_from([(0, 1), (0,), (1,)]))
    weight = torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9)))
    )
    form = Form(shape, modes, core_energies(weight, modes))
    row = data.draw(st.integers(0, len(form.losses) - 1))
    ranks = tuple(int(column[row]) for column in form.grid)
    error = weight - rf.Tucker.from_dense(weight, ranks=list(ranks), modes=modes).to_dense()
    total = float(weight.square().sum())
    lost, squares, rounding = form.lost(ranks), float(error.square().sum()), 1e-13 * total
    if len(modes) == 1 or len(shape) == 2:
        assert lost == pytest.approx(squares, abs=rounding)
    else:  # the second factor is fitted to what the first left, so it can only be better
        tails = [float(spectrum[rank:].sum()) for spectrum, rank in zip(form.spectra, ranks, strict=True)]
        assert max(tails) - rounding <= squares <= lost + rounding
    assert form.total == pytest.approx(total, rel=1e-13)
    assert form.lost(ranks) + float(form.kept[tuple(rank - 1 for rank in ranks)]) == pytest.approx(
        total, rel=1e-13
    )


@pytest.mark.parametrize("modes", [(0, 1), (0,), (1,)])
def test_full_rank_loses_nothing_and_small_losses_are_exact(modes: tuple[int, ...]) -> None:
    energies = torch.tensor([1.0, 1e-20, 1e-40], dtype=torch.float64)
    form = Form((3, 3), modes, torch.diag(energies) if len(modes) == 2 else energies)
    assert form.losses.tolist() == [1e-20 + 1e-40, 1e-40, 0.0]


class Tied(nn.Module):
    """A table that is looked up in and multiplied by; ``first`` says which of the layers is found first."""

    def __init__(self, first: str) -> None:
        super().__init__()
        head, table = nn.Linear(8, 30, bias=False), nn.Embedding(30, 8)
        head.weight = table.weight
        self.layers = nn.ModuleDict(
            {"head": head, "table": table} if first == "head" else {"table": table, "head": head}
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers["head"](self.layers["table"](tokens))


@pytest.mark.parametrize("first", ["table", "head"])
@settings(max_examples=8)
@given(data=st.data())
def test_a_shared_table_keeps_the_maps_that_follow_it_twice(first: str, data: st.DataObject) -> None:
    model, tokens = Tied(first), torch.zeros(2, 5, dtype=torch.long)
    policy = Chosen(data, tokens)
    rf.factorize(model, policy)
    plain, weight, choice = rf.fold(model), policy.weight, policy.choice
    form = weight.form(choice.modes)
    assert (weight.lookups, weight.positions) == (10, (10, 10))
    assert weight.dense_multiplications() == 10 * 30 * 8
    assert form.parameters(choice.ranks) == sum(value.numel() for value in plain.parameters())
    assert form.multiplications(choice.ranks, weight.positions, weight.lookups) == multiplications(
        plain, tokens
    )


def test_rounding_is_that_of_the_dtype() -> None:
    def rounding(dtype: torch.dtype) -> float:
        seen = []

        class Look:
            def choose(self, weights: list[WeightView]) -> list[str]:
                seen.extend(weights)
                return ["seen"]

        rf.factorize(copy.deepcopy(nn.Sequential(nn.Linear(8, 8))).to(dtype), Look())
        return seen[0].rounding

    assert rounding(torch.float64) < 1e-29 < rounding(torch.float32) < 1e-14
    assert rounding(torch.bfloat16) == rounding(torch.float32)
