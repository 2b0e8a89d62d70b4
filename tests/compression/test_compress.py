"""compress as users call it: every kind of model, what it reports, and what it refuses."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rankfold as rf
from rankfold import FineTuning, NonFiniteError, OptionError
from rankfold.layers import FactorizedLayer


def classifier() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


def data(count: int = 4, size: int = 50) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(6, 20, generator=generator)  # inputs lie near a space of dimension 6
    found = []
    for _ in range(count):
        x = torch.randn(size, 6, generator=generator) @ mix + 0.01 * torch.randn(
            size, 20, generator=generator
        )
        found.append((x, (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()))
    return found


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("fold", [False, True])
def test_the_report_says_what_the_model_is(calibrated: bool, fold: bool) -> None:
    model = classifier()
    before = size(model)
    compression = rf.compress(
        model, rf.Budget(params=0.5), calibration=data() if calibrated else None, fold=fold
    )
    assert compression.parameters_before == before
    assert compression.parameters_after == size(rf.fold(model)) <= 0.5 * before
    assert compression.share == compression.parameters_after / before
    assert compression.samples == (200 if calibrated else 0)
    assert any(isinstance(module, FactorizedLayer) for module in model.modules()) is not fold
    assert [row.name for row in compression] == ["0", "2", "4"]
    for row in compression.compressed:
        assert 0 < row.error < 1
        assert (row.weighted_error is None) is not calibrated
        assert row.parameters_after < row.parameters_before
    after = sum(row.parameters_after for row in compression) + 64 + 64 + 4
    assert after == compression.parameters_after
    text = str(compression)
    assert f"{before:,}" in text
    assert f"{len(compression.compressed)} of 3 layers compressed" in text


def test_calibration_pays() -> None:
    dense, held_out = classifier(), data(6)[-1][0]
    changes = {}
    for name, options in {"plain": {}, "calibrated": {"calibration": data(5)}}.items():
        model = classifier()
        rf.compress(model, rf.Budget(params=0.3), **options)
        with torch.no_grad():
            changes[name] = float((model(held_out) - dense(held_out)).norm() / dense(held_out).norm())
    assert changes["calibrated"] < 0.5 * changes["plain"]


def test_policies_of_every_kind() -> None:
    for policy in (
        3,
        0.3,
        rf.Energy(0.9),
        rf.Tolerance(0.3),
        rf.Fixed(2),
        lambda shape, modes: (2,) * len(modes),
    ):
        model = classifier()
        compression = rf.compress(model, policy, calibration=data())
        assert compression.compressed
        assert model(data()[0][0]).shape == (50, 4)


@pytest.mark.parametrize("budget", [{"flops": 0.8}, {"latency": 1.0}], ids=str)
def test_budgets_that_measure_take_the_first_batch(budget: dict[str, float]) -> None:
    model = classifier()
    compression = rf.compress(model, rf.Budget(**budget), calibration=data())
    assert compression.parameters_after <= compression.parameters_before


def test_finetuning_brings_accuracy_back() -> None:
    torch.manual_seed(0)
    model, examples = classifier(), data(20)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        for x, y in examples:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    def loss(network: nn.Module) -> float:
        with torch.no_grad():
            return float(torch.stack([F.cross_entropy(network(x), y) for x, y in examples]).mean())

    losses, steps = [], []
    for plan in (
        None,
        FineTuning(batches=examples, epochs=3, lr=0.05, on_step=lambda *values: steps.append(values)),
        FineTuning(batches=lambda epoch: examples, epochs=3, lr=0.05, distillation=1.0),
    ):
        smaller = copy.deepcopy(model)
        compression = rf.compress(smaller, rf.Fixed(2), calibration=examples, refit=False, finetune=plan)
        assert all(row.ranks == (2, 2) for row in compression.compressed)
        assert size(smaller) == compression.parameters_after
        losses.append(loss(smaller))
    assert max(losses[1:]) < losses[0]
    assert [step[:2] for step in steps] == [(number, 60) for number in range(1, 61)]


def test_finetuning_refuses() -> None:
    wrong = {"epochs": 0, "lr": 0.0, "momentum": 1.0, "weight_decay": -1.0, "max_norm": 0.0}
    for name, value in {**wrong, "distillation": 1.5, "temperature": 0.0}.items():
        with pytest.raises(OptionError, match=f"FineTuning: {name} must be"):
            FineTuning(batches=[], **{name: value})
    with pytest.raises(OptionError, match="of unknown length"):
        rf.compress(classifier(), 2, finetune=FineTuning(batches=(batch for batch in data())))


def test_mappings_and_pairs_and_tensors_are_batches() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = classifier()

        def forward(self, features: Tensor, scale: Tensor | None = None) -> dict[str, Tensor]:
            return {"logits": self.body(features)}

    found = []
    for batch in ([x for x, _ in data()], data(), [{"features": x} for x, _ in data()]):
        model = Named()
        compression = rf.compress(model, 3, calibration=batch)
        found.append([row.weighted_error for row in compression])
    assert found[0] == found[1] == found[2]


def test_what_the_data_never_reach_stays_dense() -> None:
    model = nn.ModuleDict({"used": nn.Linear(20, 20), "idle": nn.Linear(20, 20)})
    model.forward = lambda x: model["used"](x)
    compression = rf.compress(model, 2, calibration=data())
    assert [row.reason for row in compression] == [None, "kept dense: the calibration data never reach it"]


def test_what_the_outputs_do_not_depend_on_stays_dense() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = nn.Linear(20, 20), nn.Linear(20, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.features(x).detach())

    compression = rf.compress(Detached(), 2, calibration=data())
    reasons = [row.reason for row in compression]
    assert reasons[1] is None
    assert reasons[0].startswith("kept dense: no gradient of the outputs reaches it")


def test_finetuning_keeps_the_statistics_of_batch_norm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 4)).eval()
    model[1].running_mean.normal_()
    before = copy.deepcopy(model[1].state_dict())
    rf.compress(model, 3, calibration=data(), finetune=FineTuning(batches=data()))
    after = model[1].state_dict()
    assert all(torch.equal(after[key], before[key]) for key in ("running_mean", "running_var"))
    assert not torch.equal(after["weight"], before["weight"])


def test_distillation_alone_needs_no_labels() -> None:
    model, inputs = classifier(), [x for x, _ in data()]
    plan = FineTuning(batches=inputs, distillation=1.0)
    assert rf.compress(model, 2, calibration=inputs, finetune=plan).compressed


def test_arguments_of_another_kind_are_named() -> None:
    for message, call in {
        "model is a str": lambda: rf.compress("net", 2),
        "finetune is a int": lambda: rf.compress(classifier(), 2, finetune=3),
        "got modes": lambda: rf.compress(nn.Sequential(nn.Conv2d(4, 4, 3)), 2, modes=(7,)),
    }.items():
        with pytest.raises(OptionError, match=message):
            call()


def test_frozen_models_are_not_finetuned() -> None:
    model = classifier().requires_grad_(False)
    with pytest.raises(OptionError, match="every parameter of the model is frozen"):
        rf.compress(model, 2, finetune=FineTuning(batches=data()))
    assert isinstance(model[0], nn.Linear)


def test_failures_leave_the_model_as_it_was() -> None:
    model = classifier()
    state = copy.deepcopy(model.state_dict())
    bad = [(torch.full((3, 20), float("nan")), torch.zeros(3))]
    with pytest.raises(NonFiniteError):
        rf.compress(model, 2, calibration=bad)
    with pytest.raises(OptionError, match="cannot be reached"):
        rf.compress(model, rf.Budget(params=0.001), calibration=data())
    with pytest.raises(OptionError, match="got a loss without calibration"):
        rf.compress(model, 2, loss=lambda outputs, batch: outputs.sum())
    with pytest.raises(OptionError, match="without a tensor"):
        rf.compress(model, 2, calibration=[["text"]])
    assert [type(module) for module in model] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_batch_norm_attention_and_tied_weights() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(30, 16)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.norm = nn.BatchNorm1d(16)
            self.conv = nn.Conv1d(16, 16, 3, padding=1, groups=2)
            self.head = nn.Linear(16, 30, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embedding(tokens)
            x = x + self.attention(x, x, x, need_weights=False)[0]
            return self.head(self.conv(self.norm(x.mT)).mT)

    torch.manual_seed(0)
    model = Model().eval()
    norm = model.norm
    tokens = [torch.randint(0, 30, (8, 12)) for _ in range(3)]
    expected = model(tokens[0])
    compression = rf.compress(model, 1.0, calibration=tokens, fold=False)
    torch.testing.assert_close(model(tokens[0]), expected, rtol=1e-3, atol=1e-4)
    assert model.norm is norm
    assert model.embedding.core is model.head.core
    assert len(compression.compressed) == 7  # four projections, the convolution, embedding and head
