"""Files of other programs, and what a user is told when names and shapes do not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from tests.convert.models import LanguageModel
from tests.test_checkpoint import equal, network, state
from torch import Tensor, nn

from rankfold import CheckpointError, factorize, fold, load, save
from rankfold._checkpoint import load_state, read_layouts


def test_plain_file(tmp_path: Path) -> None:
    model, other = network(), network()
    save_file(model.state_dict(), tmp_path / "plain.safetensors")
    load(other, tmp_path / "plain.safetensors")  # a dense model as everyone stores it
    assert equal(state(other), state(model))
    assert read_layouts(tmp_path / "plain.safetensors") == {}
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "plain.safetensors")


@pytest.mark.parametrize("built", [None, (0,), (0, 1)])
@pytest.mark.parametrize("stored", [None, (1,), (0, 1)])
def test_plain_file_of_a_factorised_model(tmp_path: Path, stored: object, built: object) -> None:
    model, other = network(), network()
    for each, modes in ((model, stored), (other, built)):
        if modes is not None:
            factorize(each, 2, modes=modes)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, tmp_path / "plain.safetensors")
    load(other, tmp_path / "plain.safetensors")
    assert equal(state(other), state(model))


def test_batch_counters_may_be_missing_and_nothing_else(tmp_path: Path) -> None:
    model, other = network(), network()
    other[1].num_batches_tracked += 5
    tensors = {name: value for name, value in model.state_dict().items() if "tracked" not in name}
    save_file(tensors, tmp_path / "plain.safetensors")
    load(other, tmp_path / "plain.safetensors")
    assert other[1].num_batches_tracked == 5
    assert torch.equal(other[3].weight, model[3].weight)
    before = state(other)
    save_file({name: value for name, value in tensors.items() if "mean" not in name}, tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"1 missing in the file \('1.running_mean'\)"):
        load(other, tmp_path / "plain")
    assert equal(state(other), before)


@pytest.mark.parametrize("factorised", [False, True])
def test_shared_tensors_under_one_name(tmp_path: Path, factorised: bool) -> None:
    model, other = LanguageModel(), LanguageModel()
    save_model(model, str(tmp_path / "plain.safetensors"))
    if factorised:
        factorize(other, 2)
    load(other, tmp_path / "plain.safetensors")
    assert other.output.weight is other.embedding.weight
    assert equal(state(other), state(model))


def test_shared_tensors_under_two_names_must_agree(tmp_path: Path) -> None:
    model = LanguageModel()
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(tensors, tmp_path / "same")
    load(model, tmp_path / "same")
    tensors["output.weight"] += 1
    save_file(tensors, tmp_path / "other")
    before = state(model)
    with pytest.raises(CheckpointError, match=r"'embedding.weight' and 'output.weight' are one tensor"):
        load(model, tmp_path / "other")
    assert equal(state(model), before)


def test_a_layer_shared_in_the_model_and_factorised_in_one_place_in_the_file(tmp_path: Path) -> None:
    model = LanguageModel()
    factorize(model, 3)
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    tied = {name: value for name, value in tensors.items() if not name.startswith("output.")}
    save_file(
        {**tied, "output.weight": torch.zeros(50, 16), "output.bias": torch.zeros(50)},
        tmp_path / "odd",
    )
    with pytest.raises(CheckpointError, match="shares its weight in the model with 'output"):
        load(LanguageModel(), tmp_path / "odd")


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    model = network()
    factorize(model, 2)
    save(model, tmp_path / "net.safetensors")
    other = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(32, 11),
        nn.Linear(2, 2),
        nn.Linear(2, 2),
    )
    before, modules = state(other), list(other.modules())
    with pytest.raises(CheckpointError) as caught:
        load(other, tmp_path / "net.safetensors")
    message = str(caught.value)
    assert "4 missing in the file ('4.weight', '4.bias', '5.weight' and 1 more)" in message
    assert "6 different (the weight of '3' is (10, 32) in the file and (11, 32) in the model" in message
    assert "build the model that was saved." in message
    assert equal(state(other), before)
    assert list(other.modules()) == modules
    save(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), tmp_path / "two")
    with pytest.raises(CheckpointError, match=r"2 unknown to the model \('\d.bias', '\d.bias'\)"):
        load(nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)), tmp_path / "two")


def test_who_saved_a_folded_model_is_told(tmp_path: Path) -> None:
    model = network()
    factorize(model, 2)
    save(fold(model), tmp_path / "folded")
    with pytest.raises(CheckpointError, match="seems to hold folded layers"):
        load(network(), tmp_path / "folded")
    twin = fold(model)
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    load(twin, tmp_path / "folded")
    assert equal(state(twin), state(fold(model)))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32])
def test_numbers_of_another_kind_are_not_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    model = nn.Linear(2, 3)
    save_file({"weight": torch.ones(3, 2, dtype=dtype), "bias": torch.ones(3)}, tmp_path / "file")
    with pytest.raises(
        CheckpointError, match=r"1 different \('weight' is \(3, 2\) of (complex|whole) numbers"
    ):
        load(model, tmp_path / "file")
    factorized = {"core": torch.ones(1, 1), "factor_0": torch.ones(3, 1), "factor_1": torch.ones(2, 1)}
    parts = {f"0.{name}": value.to(dtype) for name, value in factorized.items()}
    save_file(
        {**parts, "0.ranks": torch.ones(2, dtype=torch.int64), "0.bias": torch.ones(3)}, tmp_path / "low"
    )
    with pytest.raises(CheckpointError, match=r"3 different \('0.core' is"):
        load(nn.Sequential(nn.Linear(2, 3)), tmp_path / "low")
    save_file({"weight": torch.ones(3, 2, dtype=torch.float64), "bias": torch.ones(3)}, tmp_path / "file")
    load(model, tmp_path / "file")
    assert torch.equal(model.weight, torch.ones(3, 2))


class Stubborn(nn.Linear):
    """Fails after it has taken its values."""

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)  # pyright: ignore[reportArgumentType]
        raise ValueError("not\ntoday.")


@pytest.mark.parametrize("stored", [None, (0,), (0, 1)])
@pytest.mark.parametrize("built", [None, (1,), (0, 1)])
def test_a_module_that_fails_half_way_leaves_all_as_it_was(
    tmp_path: Path, stored: object, built: object
) -> None:
    def make(modes: object, rank: int) -> nn.Sequential:
        model = network().append(Stubborn(10, 4))
        if modes is not None:
            factorize(model, rank, modes=modes, include=["0", "3"])
        return model

    save(make(stored, 3), tmp_path / "net")
    model = make(built, 2)
    model(torch.randn(2, 3, 5, 5)[:, :, :4, :4]).sum().backward()
    before, modules = state(model), list(model.modules())
    parameters = [(p, p.data_ptr(), p.stride(), p.grad) for p in model.parameters()]
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(not today\)"):
        load(model, tmp_path / "net")
    assert equal(state(model), before)
    assert list(model.modules()) == modules
    for parameter, (old, address, stride, gradient) in zip(model.parameters(), parameters, strict=True):
        assert parameter is old
        assert (parameter.data_ptr(), parameter.stride()) == (address, stride)
        assert parameter.grad is gradient
    model(torch.randn(2, 3, 4, 4)).sum().backward()  # and trains on


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_attention_that_is_split_by_the_way_is_put_back(tmp_path: Path, stored: bool, built: bool) -> None:
    def make(factorised: bool, last: type[nn.Linear]) -> nn.Sequential:
        model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), last(8, 4))
        if factorised:
            factorize(model, 3, include=r"0\..*")
        return model.eval()

    inputs = torch.randn(2, 5, 8)
    model = make(stored, nn.Linear)
    save(model, tmp_path / "net")
    other = make(built, nn.Linear)
    load(other, tmp_path / "net")
    torch.testing.assert_close(other(inputs), model(inputs))
    stubborn = make(built, Stubborn)
    before, modules, outputs = state(stubborn), list(stubborn.modules()), stubborn(inputs)
    with pytest.raises(CheckpointError, match="not today"):
        load(stubborn, tmp_path / "net")
    assert equal(state(stubborn), before)
    assert list(stubborn.modules()) == modules
    assert torch.equal(stubborn(inputs), outputs)
    if stored != built:
        other = make(built, nn.Linear)
        save(model, tmp_path / "net", optimizer=torch.optim.SGD(model.parameters(), lr=1))
        optimizer = torch.optim.SGD(other.parameters(), lr=1)
        with pytest.raises(CheckpointError, match="which the optimiser would not know"):
            load(other, tmp_path / "net", optimizer=optimizer)


def test_interruptions_undo_too(tmp_path: Path) -> None:
    class Interrupted(nn.Linear):
        def _load_from_state_dict(self, *arguments: object) -> None:
            raise KeyboardInterrupt

    model = nn.Sequential(nn.Linear(3, 3), Interrupted(3, 3))
    save(model, tmp_path / "net")
    with torch.no_grad():
        model[0].weight.zero_()
    with pytest.raises(KeyboardInterrupt):
        load(model, tmp_path / "net")
    assert not model[0].weight.any()


def test_names_of_a_hostile_file_do_not_fill_the_screen(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {"a\n" * 10_000 + str(i): torch.ones(1) for i in range(5)}
    save_file(tensors, tmp_path / "file")
    with pytest.raises(CheckpointError) as caught:
        load(nn.Linear(2, 2), tmp_path / "file")
    assert len(str(caught.value)) < 800
    assert "\n" not in str(caught.value)
