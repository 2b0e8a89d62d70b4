"""Deeper models: what stays, what is new, and what predictions are worth."""

import copy

import pytest
import torch
from torch import nn

from rankfold import NonFiniteError, OptionError, RankError, SelectorError, ShapeError
from rankfold.growth import GROWTH_METHODS, insert_blocks, joint_svd

OUTPUTS = ("attention.out", "down")


class Attention(nn.Module):
    def __init__(self, size, number):
        super().__init__()
        self.layer_idx = number
        self.value, self.out = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x):
        return self.out(self.value(x).softmax(-2))


class Block(nn.Module):
    def __init__(self, number, size=6):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.attention = Attention(size, number)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.down(torch.tanh(self.up(x)))


def stack(count=6):
    torch.manual_seed(0)
    return nn.Sequential(*[Block(number) for number in range(count)]).double()


@pytest.fixture
def x():
    return torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", sorted(GROWTH_METHODS))
def test_old_blocks_stay_and_new_ones_stand_after_them(method, x):
    model = stack()
    old = list(model)
    growth = insert_blocks(model, [4, 1], method=method, outputs=OUTPUTS, epochs=1)
    assert growth.new == (2, 6)
    assert growth.moved == (0, 1, 3, 4, 5, 7)
    assert [model[place] for place in growth.moved] == old
    assert [block.attention.layer_idx for block in model] == list(range(8))
    assert growth.parameters == 2 * sum(p.numel() for p in old[0].parameters())
    assert torch.isfinite(model(x)).all()
    own = {id(p) for block in old for p in block.parameters()}
    assert not any(id(p) in own for place in growth for p in model[place].parameters())


def test_the_identity_changes_nothing_and_learns(x):
    model = stack()
    before = model(x)
    insert_blocks(model, [0, 5], outputs=OUTPUTS)
    assert (model(x) - before).abs().max() < 1e-12
    model(x).square().sum().backward()
    assert model[1].down.weight.grad.norm() > 0
    assert model[1].attention.out.weight.grad.norm() > 0


def test_copies_and_means():
    model = stack()
    first, second = (block.up.weight.clone() for block in model[:2])
    insert_blocks(model, [0], method="copy")
    assert torch.equal(model[1].up.weight, first)
    assert model[1].up.weight is not model[0].up.weight
    model = stack()
    insert_blocks(model, [0, 5], method="mean")
    torch.testing.assert_close(model[1].up.weight, (first + second) / 2, rtol=1e-14, atol=1e-14)
    assert torch.equal(model[7].up.weight, model[6].up.weight)


def test_a_mean_in_the_common_basis_is_a_mean_of_the_weights():
    matrices = [block.up.weight for block in stack()]
    basis = joint_svd(matrices)
    middle = basis.matrix((basis.coefficients[2] + basis.coefficients[3]) / 2)
    torch.testing.assert_close(middle, (matrices[2] + matrices[3]) / 2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shape", [(6, 12), (12, 6), (1, 4), (30, 3)])
def test_the_common_basis_gives_every_matrix_back(dtype, bound, shape):
    matrices = [torch.randn(shape, dtype=dtype) for _ in range(3)]
    basis = joint_svd(matrices)
    for number, matrix in enumerate(matrices):
        assert (basis.matrices[number] - matrix).norm() < bound * matrix.norm()
    cut = joint_svd(matrices, 1)
    error = (cut.matrices - torch.stack(matrices).double()).norm()
    torch.testing.assert_close(error, basis.values[1:].norm(), rtol=1e-9, atol=1e-9)


def test_a_prediction_that_can_be_made_beats_zero_and_noise_does_not():
    smooth, noise = stack(10), stack(10)
    with torch.no_grad():
        for place, block in enumerate(smooth):
            for name, parameter in block.named_parameters():
                ends = [smooth[0].get_parameter(name), smooth[9].get_parameter(name)]
                if 0 < place < 9:
                    parameter.copy_(ends[0].lerp(ends[1], place / 9))
    found = insert_blocks(smooth, [4], method="svd_predict", epochs=60)
    assert found.predictions["up.weight"].error < 0.9
    lost = insert_blocks(noise, [4], method="svd_predict", epochs=60, norm_weight=0.0)
    assert max(one.error for one in lost.predictions.values()) > 0.95
    assert lost.beats_zero is False
    assert "no better than by zero" in str(lost)
    assert set(found.predictions) == {
        "attention.value.weight",
        "attention.out.weight",
        "up.weight",
        "down.weight",
    }


def test_predictions_are_the_same_for_the_same_seed():
    one, two = stack(), stack()
    for model in (one, two):
        insert_blocks(model, [2], method="svd_predict", seed=5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert insert_blocks(stack(3), [1], method="svd_predict").beats_zero is None


def test_the_state_of_the_optimiser_stays(x):
    model = stack()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    model(x).square().sum().backward()
    optimizer.step()
    before = copy.deepcopy({id(p): optimizer.state[p]["exp_avg"] for p in model[3].parameters()})
    third = model[3]
    insert_blocks(model, [1], outputs=OUTPUTS, optimizer=optimizer)
    assert len(optimizer.param_groups) == 2
    assert optimizer.param_groups[1]["weight_decay"] == 0.1
    for parameter in third.parameters():
        assert torch.equal(optimizer.state[parameter]["exp_avg"], before[id(parameter)])
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()
    assert model[2].down.weight.abs().sum() > 0


def test_a_model_of_transformers_with_its_cache():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config).eval()
    tokens = torch.tensor([[1, 5, 7, 2]])
    before = model(tokens).logits
    insert_blocks(model.model.layers, [0, 2], outputs=("self_attn.o_proj", "mlp.down_proj"))
    model.config.num_hidden_layers = len(model.model.layers)
    torch.testing.assert_close(model(tokens).logits, before, rtol=1e-6, atol=1e-6)
    assert model(tokens, use_cache=True).past_key_values.get_seq_length(4) == 4


def test_module_lists_and_refusals():
    blocks = nn.ModuleList(stack(3))
    insert_blocks(blocks, [0], method="copy")
    assert list(blocks._modules) == ["0", "1", "2", "3"]
    model = stack(3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for arguments, error in (
        ({"after": []}, OptionError),
        ({"after": [3]}, OptionError),
        ({"after": [0, 0]}, OptionError),
        ({"after": [True]}, OptionError),
        ({"after": [0], "method": "magic"}, OptionError),
        ({"after": [0]}, OptionError),
        ({"after": [0], "outputs": ["nothing"]}, SelectorError),
        ({"after": [0], "outputs": OUTPUTS, "epochs": 0}, OptionError),
        ({"after": [0], "outputs": OUTPUTS, "norm_weight": 2}, OptionError),
    ):
        with pytest.raises(error):
            insert_blocks(model, **arguments)
    with pytest.raises(OptionError, match="triples"):
        insert_blocks(stack(2), [0], method="svd_predict")
    assert state.keys() == model.state_dict().keys()
    odd = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 4))
    with pytest.raises(OptionError, match="other parameters"):
        insert_blocks(odd, [0], method="copy")
    with torch.no_grad():
        model[1].up.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"up\.weight.*block 1"):
        insert_blocks(model, [0], method="copy")
    with pytest.raises(ShapeError):
        joint_svd([])
    with pytest.raises(ShapeError):
        joint_svd([torch.ones(2, 3), torch.ones(3, 2)])
    with pytest.raises(RankError):
        joint_svd([torch.ones(2, 3)], 3)
    with pytest.raises(NonFiniteError):
        joint_svd([torch.full((2, 3), float("inf"))])
