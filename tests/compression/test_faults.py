"""What went wrong once, or could: exotic models, odd data, policies that answer nonsense, and interruptions."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.compression.networks import LAYERS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import rankfold as rf
from rankfold import ConversionError, FineTuning, NonFiniteError, OptionError
from rankfold.compression._moments import collect_moments
from rankfold.ranks import Choice


def inputs(*shape: int, count: int = 3, seed: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))


class Function(nn.Module):
    """A model from its layers and a function of it and its input."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def linears(function: Callable[[Any, Tensor], Any]) -> Function:
    torch.manual_seed(0)
    return Function(function, a=nn.Linear(16, 16), b=nn.Linear(16, 16), c=nn.Linear(16, 16))


def change(model: nn.Module, dense: nn.Module, given: Tensor) -> float:
    with torch.no_grad():
        wanted = dense.eval()(given)
        return float((model.eval()(given) - wanted).norm() / wanted.norm())


# -- models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [False, True])
def test_attention_stays_compressed_when_it_is_folded(fold: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 3))
    compression = rf.compress(model, rf.Budget(params=0.6), calibration=inputs(5, 6, 16), fold=fold)
    assert any("self_attn" in row.name for row in compression.compressed)
    folded = model if fold else rf.fold(model)
    assert sum(parameter.numel() for parameter in folded.parameters()) == compression.parameters_after


def test_checkpointed_activations_count_once() -> None:
    plain = linears(lambda self, x: self.c(self.b(torch.relu(self.a(x)))))
    saving = linears(
        lambda self, x: self.c(checkpoint(lambda y: self.b(torch.relu(self.a(y))), x, use_reentrant=False))
    )
    for model in (plain, saving):
        rf.compress(model, 4, calibration=inputs(20, 16))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, saving.state_dict()[name])


def test_models_may_keep_what_they_computed() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = perceptron(), None

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.body(x)
            return self.last * 1

    for refit in (False, True):
        assert rf.compress(Keeping(), 4, calibration=inputs(20, 16), refit=refit).compressed


def test_recurrent_layers_do_not_use_cudnn_where_it_has_no_backward() -> None:
    seen = []

    def run(self: Any, x: Tensor) -> Tensor:
        seen.append(torch.backends.cudnn.enabled)
        return self.head(self.body(x)[0])

    torch.manual_seed(0)
    model, before = Function(run, body=nn.LSTM(16, 16), head=nn.Linear(16, 16)), torch.backends.cudnn.enabled
    assert rf.compress(model, 4, calibration=inputs(6, 5, 16, count=1), refit=False).compressed
    assert seen[0] is False
    assert torch.backends.cudnn.enabled is before


@dataclass
class Answer:
    logits: Tensor
    note: str = ""


def test_dataclasses_are_outputs() -> None:
    model = linears(lambda self, x: Answer(self.b(self.a(x).relu())))
    compression = rf.compress(model, 4, calibration=inputs(20, 16))
    assert compression.output_change is not None
    assert compression.output_change > 0.01


def test_compiled_models_are_seen_through() -> None:
    given = inputs(20, 16)
    model, compiled = perceptron(), torch.compile(perceptron(), backend="eager")
    compiled(given[0])  # compiled before anything watches its layers
    rf.compress(model, 4, calibration=given)
    rf.compress(compiled, 4, calibration=given)
    torch.testing.assert_close(compiled(given[0]), model(given[0]))


def test_experts_that_get_other_samples_are_left_as_truncated() -> None:
    def route(self: Any, x: Tensor) -> Tensor:
        x = self.a(x)
        first = x[:, 0] > 0
        return torch.cat([self.b(x[first]), self.c(x[~first])])

    model = linears(route)
    dense, given = copy.deepcopy(model), inputs(41, 16)
    rf.compress(model, 2, calibration=given)
    before = (dense.a(given[0])[:, 0] > 0).sum()
    after = (model.a(given[0])[:, 0] > 0).sum()
    assert before != after  # otherwise nothing is tested


def test_noise_in_a_model_is_the_same_for_both() -> None:
    model = linears(lambda self, x: self.b((y := self.a(x)) + torch.randn_like(y)))
    dense = copy.deepcopy(model)
    rf.compress(model, 1.0, calibration=inputs(20, 16), fold=False)
    torch.testing.assert_close(model.b.weight, dense.b.weight, rtol=1e-4, atol=1e-5)


def test_parents_that_read_weights_are_found_before_folding() -> None:
    def read(self: Any, tokens: Tensor) -> Tensor:
        return nn.functional.linear(self.layer(self.table(tokens)).relu(), self.table.weight)

    torch.manual_seed(0)
    model = Function(read, table=nn.Embedding(30, 16), layer=nn.Linear(16, 16))
    tokens = [torch.randint(0, 30, (5, 7))]
    with pytest.raises(
        ConversionError, match=r"the folded model fails.*exclude that layer, or pass fold=False"
    ):
        rf.compress(model, 4, calibration=tokens)
    assert type(model.table) is nn.Embedding
    rf.compress(model, 4, calibration=tokens, fold=False)
    assert model(tokens[0]).shape == (5, 7, 30)


@pytest.mark.parametrize("model", [nn.Sequential(nn.ReLU()), nn.Sequential(nn.BatchNorm1d(16))], ids=str)
def test_nothing_to_compress_is_no_error(model: nn.Module) -> None:
    assert len(rf.compress(model, 2, calibration=inputs(20, 16))) == 0


def test_a_second_call_finds_nothing_more() -> None:
    model = perceptron()
    rf.compress(model, 4, calibration=inputs(20, 16), fold=False)
    state = copy.deepcopy(model.state_dict())
    assert len(rf.compress(model, 2, calibration=inputs(20, 16), fold=False)) == 0
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_transposed_convolutions_are_fitted() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(6, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 6, 3, output_padding=1, stride=2)
    )
    dense, given = copy.deepcopy(model.double()), [batch.double() for batch in inputs(8, 6, 7, 7)]
    changes = []
    for refit in (False, True):
        smaller = copy.deepcopy(dense)
        rf.compress(smaller, rf.Budget(params=0.5), calibration=given, refit=refit)
        changes.append(change(smaller, dense, given[0]))
    assert changes[1] < changes[0]


def test_groups_of_transposed_convolutions_part_the_inputs() -> None:
    """Inputs of different groups never meet in one output; outputs of one group do."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 8, 2, groups=2).double()
    # Signs would hide products between outputs, so the loss has gradients that are alike everywhere.
    moments = collect_moments(
        nn.Sequential(layer),
        {0: [layer]},
        {0: (0, 1)},
        [torch.ones(3, 6, 4, 4).double()],
        loss=lambda outputs, batch: outputs.sum(),
    )[0][0]
    block = torch.ones(3, 3).double()
    torch.testing.assert_close(moments.inputs, torch.block_diag(block, block))
    assert moments.joint is not None
    torch.testing.assert_close(moments.joint, moments.inputs)
    # Of 3 samples for 4 outputs: 3 parts the moment, 4 parts the identity.
    expected = 50 * (3 * torch.ones(4, 4) + 4 * torch.eye(4)) / 7
    torch.testing.assert_close(moments.outputs, expected.double())


# -- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-25, 1e22])
def test_the_scale_of_the_data_does_not_matter(scale: float) -> None:
    """Squares of these numbers are beyond float32."""
    found = []
    for factor in (1.0, scale):
        model = perceptron()
        for layer in (model[0], model[2]):
            nn.init.zeros_(layer.bias)
        dense, given = copy.deepcopy(model).double(), [factor * batch for batch in inputs(20, 16)]
        compression = rf.compress(model, rf.Budget(params=0.6), calibration=given)
        moved = change(model.double(), dense, given[0].double())
        found.append(([row.ranks for row in compression], pytest.approx(moved, rel=1e-3)))
    assert found[0] == found[1]


def test_autocast_does_not_reach_the_moments() -> None:
    model, given = perceptron(), inputs(200, 16, count=1)
    key, layer = id(model[0].weight), model[0]
    plain = collect_moments(model, {key: [layer]}, {key: (1, 0)}, given)[0][key]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = collect_moments(model, {key: [layer]}, {key: (1, 0)}, given)[0][key]
        model, dense = perceptron(), perceptron()
        compression = rf.compress(model, 1.0, calibration=given, fold=False)
        assert change(model, dense, given[0]) < 0.05  # no copies from before the refit
    torch.testing.assert_close(cast.inputs, plain.inputs, rtol=1e-5, atol=1e-5)
    assert len(compression.compressed) == 2


@pytest.mark.parametrize(("layer", "data"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS])
def test_on_the_calibration_data_no_truncation_is_worse_than_the_plain_one(
    layer: nn.Module, data: Tensor
) -> None:
    dense = nn.Sequential(layer)
    changes = {}
    for name, options in {
        "plain": {}, "once": {"calibration": [data], "refit": False}, "twice": {"calibration": [data]},
    }.items():  # fmt: skip
        model = copy.deepcopy(dense)
        rf.compress(model, 0.5, **options)
        changes[name] = change(model, dense, data)
    # Few samples leave the moments of outputs inexact, so not to the last digit.
    assert changes["once"] <= 1.02 * changes["plain"]
    assert changes["twice"] <= 1.02 * changes["once"]


def test_ranks_of_a_matrix_are_the_smaller_of_two() -> None:
    class Uneven:
        def choose(self, weights: Any) -> list[Choice]:
            return [Choice((0, 1), (5, 3)) for _ in weights]

    compression = rf.compress(perceptron(), Uneven(), calibration=inputs(20, 16), refit=False)
    assert [row.ranks for row in compression] == [(3, 3), (3, 3)]


def test_weights_that_are_not_finite_are_named() -> None:
    model = perceptron()
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="layer '2': its weight holds NaN"):
        rf.compress(model, 4, calibration=inputs(20, 16))


@pytest.mark.parametrize("samples", [16, 32])
def test_few_samples_do_no_harm(samples: int) -> None:
    """With fewer samples than outputs, directions that no random sign happened to show are kept all the same."""
    torch.manual_seed(0)
    spread = torch.logspace(0, -1, 32)
    dense = nn.Sequential(nn.Linear(32, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96))
    given, held_out = (
        batch[:count] * spread for batch, count in zip(inputs(500, 32), (samples, 500), strict=False)
    )
    changes = []
    for options in ({}, {"calibration": [given]}):
        model = copy.deepcopy(dense)
        rf.compress(model, rf.Budget(params=0.5), **options)
        changes.append(change(model, dense, held_out))
    assert changes[1] < 0.6 * changes[0]


# -- data and arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("calibration", [torch.zeros(20, 16), {"input": torch.zeros(20, 16)}, 5], ids=type)
def test_one_batch_is_not_taken_for_many(calibration: Any) -> None:
    with pytest.raises(OptionError, match=r"compress: calibration is a \w+; pass batches: a list"):
        rf.compress(perceptron(), 4, calibration=calibration)


def test_the_first_batch_may_be_empty() -> None:
    compression = rf.compress(perceptron(), 4, calibration=[torch.zeros(0, 16), *inputs(20, 16)])
    assert compression.output_change is not None
    assert compression.output_change > 0.01


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_contexts_without_gradients(context: Any) -> None:
    batches = [(x, torch.zeros(20, dtype=torch.long)) for x in inputs(20, 16)]
    loader = DataLoader(TensorDataset(batches[0][0]), 5)
    model, other = perceptron(), perceptron()
    with context():
        made_here = [batch * 1 for batch in inputs(20, 16)]
        rf.compress(other, 4, calibration=made_here)
        rf.compress(model, 4, calibration=loader, finetune=FineTuning(batches=batches))
    model(batches[0][0]).sum().backward()  # ordinary parameters


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, batch: outputs.sum(1), r"it gave a tensor of shape \(20,\)"),
        (lambda outputs, batch: 1.0, "it gave a float"),
        (
            lambda outputs, batch: outputs.sum().detach(),
            "it gave a scalar whose gradient is cut off.*carry no grad",
        ),
    ],
    ids=["vector", "float", "detached"],
)
def test_a_loss_must_be_a_scalar(loss: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"compress: loss must give a scalar.*{message}"):
        rf.compress(perceptron(), 4, calibration=inputs(20, 16), loss=loss)


class Answering:
    """A policy that answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def choose(self, weights: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        None, "ab", [3, 3], [Choice((0, 1), (2, 2))], [Choice((1, 0), (2, 3))] * 2, [Choice((0, 7), (1, 1))] * 2,
        [Choice((0, 0), (1, 1))] * 2, [Choice((), ())] * 2, [Choice((0, 1), (1,))] * 2, [Choice((0, 1), (0, 0))] * 2,
        [Choice((0, 1), (1.5, 2))] * 2, [Choice((0, 1), (99, 99))] * 2,
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("calibration", [None, inputs(20, 16)], ids=["plain", "calibrated"])
def test_nonsense_from_a_policy_is_refused(answer: Any, calibration: Any) -> None:
    model = perceptron()
    with pytest.raises(rf.RankfoldError):
        rf.compress(model, Answering(answer), calibration=calibration)
    assert [type(layer) for layer in model] == [nn.Linear, nn.ReLU, nn.Linear]


# -- interruptions ---------------------------------------------------------------------------------------


class Interrupted:
    """Batches of which a given one, counted over all readings, is an interruption."""

    def __init__(self, at: int) -> None:
        self.left, self.batches = at, inputs(20, 16)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.batches:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield batch


# Three batches are read for calibration, one for the order of the layers, and three for each of four or more layers.
@pytest.mark.parametrize("at", [0, 1, 3, 5, 9])
def test_an_interruption_leaves_the_model_as_it_was(at: int) -> None:
    torch.manual_seed(0)
    model = Function(
        lambda self, x: self.body(self.attention(x[None], x[None], x[None], need_weights=False)[0][0]),
        attention=nn.MultiheadAttention(16, 2, batch_first=True),
        body=nn.Sequential(perceptron(), nn.BatchNorm1d(16), nn.Dropout()),
    )
    model.body[1].eval()
    model(inputs(20, 16)[0]).sum().backward()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    flags = [module.training for module in modules]
    gradients = [parameter.grad for parameter in model.parameters()]
    numbers = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        rf.compress(model, 4, calibration=Interrupted(at))
    assert list(model.modules()) == modules
    assert [module.training for module in modules] == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(a is b.grad for a, b in zip(gradients, model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), numbers)


def test_an_interruption_of_finetuning_leaves_the_model_factorised() -> None:
    def stop(step: int, total: int, loss: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    model = Function(
        lambda self, x: self.head(self.attention(x, x, x, need_weights=False)[0]),
        attention=nn.MultiheadAttention(16, 2, batch_first=True),
        head=nn.Linear(16, 16),
    ).eval()
    given = [(batch, batch) for batch in inputs(5, 6, 16)]
    plan = FineTuning(
        batches=given, loss=lambda outputs, batch: (outputs - batch[1]).square().mean(), on_step=stop
    )
    with pytest.raises(KeyboardInterrupt):
        rf.compress(model, 4, calibration=given, finetune=plan)
    kinds = {type(module).__module__ for module in (model.head, model.attention.q_proj)}
    assert kinds == {"rankfold.layers._linear"}
    assert not any(module.training for module in model.modules())
    assert model(given[0][0]).shape == (5, 6, 16)


def test_the_teacher_is_not_in_training() -> None:
    seen = []

    class Noting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self.training)
            return x

    model = nn.Sequential(perceptron(), Noting()).train()
    given = [(x, torch.zeros(20, dtype=torch.long)) for x in inputs(20, 16, count=1)]
    rf.compress(model, 4, finetune=FineTuning(batches=given, distillation=0.5))
    assert seen == [True, False]  # the student, the teacher


def test_finetuning_leaves_no_gradients() -> None:
    model, given = perceptron(), [(x, torch.zeros(20, dtype=torch.long)) for x in inputs(20, 16)]
    rf.compress(model, 4, finetune=FineTuning(batches=given), fold=False)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_batch_to_finetune_on_is_refused() -> None:
    with pytest.raises(OptionError, match="FineTuning: batches is empty"):
        FineTuning(batches=[])


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[Tensor]:
        yield torch.zeros(16)


@pytest.mark.parametrize(
    "batches", [iter([]), DataLoader(Endless(), 2)], ids=["iterator", "iterable dataset"]
)
def test_batches_of_unknown_length_are_refused_at_once(batches: Any) -> None:
    with pytest.raises(OptionError, match="of unknown length"):
        FineTuning(batches=batches)


@pytest.mark.parametrize(
    "batch", [torch.zeros(3, 5), (torch.zeros(3, 16, dtype=torch.int64), None), {"wrong": torch.zeros(3, 16)}]
)
def test_batches_that_the_model_does_not_take(batch: Any) -> None:
    model = perceptron()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        OptionError, match=r"compress: the model fails on a calibration batch of shape \(3, \d+\)"
    ):
        rf.compress(model, rf.Budget(params=0.5), calibration=[batch])
    assert all(bool((model.state_dict()[name] == value).all()) for name, value in before.items())
