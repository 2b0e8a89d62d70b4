"""LoRA folders, with PEFT itself at the other end."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapters.networks import disturb, network
from torch import nn

from rankfold import CheckpointError, OptionError, adapters

peft = pytest.importorskip("peft", reason="peft is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=4)
    return transformers.GPT2LMHeadModel(config).eval()


def mixed():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(9, 16), nn.Unflatten(2, (4, 2, 2)), nn.Flatten(0, 1), nn.Conv2d(4, 8, 3, padding=1), nn.Flatten(),
        nn.Linear(32, 5),
    )  # fmt: skip


# Of these libraries themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]

TOKENS = torch.tensor([[1, 5, 7, 2, 8]])
CASES = {
    "llama": (llama, r".*\.(q_proj|v_proj|down_proj)", ["q_proj", "v_proj", "down_proj"]),
    "gpt2": (gpt2, r".*\.(c_attn|c_proj)", ["c_attn", "c_proj"]),
    "mixed": (mixed, ".*", ["0", "3", "5"]),
}


def outputs(model):
    with torch.no_grad():
        result = model(TOKENS)
    return result if isinstance(result, torch.Tensor) else result.logits


@pytest.fixture(params=sorted(CASES))
def case(request):
    return CASES[request.param]


def lora(model, targets, **options):
    fan = any(isinstance(m, transformers.pytorch_utils.Conv1D) for m in model.modules())
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, fan_in_fan_out=fan, **options)
    made = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return made.eval()


@pytest.mark.parametrize("option", ["plain", "use_rslora", "rank_pattern"])
def test_what_peft_wrote_is_read(case, option, tmp_path):
    build, _, targets = case
    options = {
        "plain": {},
        "use_rslora": {"use_rslora": True},
        "rank_pattern": {"rank_pattern": {targets[-1]: 2}},
    }[option]
    made = lora(build(), targets, **options)
    made.save_pretrained(tmp_path)
    model = build()
    adapters.load_peft(model, tmp_path)
    torch.testing.assert_close(outputs(model), outputs(made), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(outputs(model), outputs(build()), atol=1e-3)
    assert all(
        a.change.layer.tucker.orthonormality_defect() < 1e-5 for _, a in adapters.adapted_layers(model)
    )


def test_what_was_written_peft_reads(case, tmp_path):
    build, include, _ = case
    model = build()
    adapters.attach(model, 3, include=include)
    (_, first), *_ = adapters.adapted_layers(model)
    first.change.layer.reserve(
        tuple(min(2, r) if at < 2 else r for at, r in enumerate(first.change.layer.ranks))
    )
    with torch.no_grad():
        for parameter in first.change.parameters():
            parameter.normal_()
    disturb(model)
    adapters.save_peft(model, tmp_path / "lora", base_model="mine")
    there = peft.PeftModel.from_pretrained(build(), tmp_path / "lora").eval()
    torch.testing.assert_close(outputs(there), outputs(model), rtol=1e-4, atol=1e-4)
    again = build()
    adapters.load_peft(again, tmp_path / "lora")
    torch.testing.assert_close(outputs(again), outputs(model), rtol=1e-4, atol=1e-4)


def test_a_transformer_is_trained_by_tdlrt():
    import rankfold as rf

    model = llama()
    adapters.attach(model, 4, include=r".*_proj")
    optimizer = rf.TDLRT(
        model,
        torch.optim.AdamW,
        lr=5e-3,
        integrator="parallel",
        core_steps=1,
        tolerance=0,
        parameter_budget=6000,
    )
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = model(TOKENS, labels=TOKENS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    assert len({layer.ranks for layer in optimizer.layers.values()}) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["6"]},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"modules_to_save": ["6"], "bias": "all"},
    ],
    ids=str,
)
def test_what_was_trained_beside_lora_comes_too(options, tmp_path):
    made = lora(network(), ["0", "2"], init_lora_weights="gaussian", **options)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.requires_grad and "lora_" not in name:
                parameter.add_(torch.randn_like(parameter))
    made.save_pretrained(tmp_path)
    inputs = torch.randn(5, 12)
    model = network().eval()
    adapters.load_peft(model, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), made.eval()(inputs), rtol=1e-5, atol=1e-5)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert ("6.weight" in trained) is ("modules_to_save" in options)
    adapters.detach(model, merge=True)


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_that_changes_the_frozen_weights_is_refused(start, tmp_path):
    """Without the change, the adapter would silently belong to other weights."""
    lora(network(), ["0", "2"], init_lora_weights=start).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="init_lora_weights"):
        adapters.load_peft(network(), tmp_path)


@pytest.fixture
def folder(tmp_path):
    made = lora(network(), ["0", "2"])
    made.save_pretrained(tmp_path / "good")
    return tmp_path / "good"


def spoilt(folder, config=None, tensors=None):
    place = folder.parent / "bad"
    shutil.copytree(folder, place)
    if config is not None:
        content = json.loads((place / "adapter_config.json").read_text())
        config(content)
        (place / "adapter_config.json").write_text(json.dumps(content))
    if tensors is not None:
        content = load_file(place / "adapter_model.safetensors")
        tensors(content)
        save_file(content, place / "adapter_model.safetensors")
    return place


KEY = "base_model.model.0.lora_A.weight"


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        (lambda c: c.update(peft_type="LOHA"), None),
        (lambda c: c.update(use_dora=True), None),
        (lambda c: c.update(target_parameters=["0.weight"]), None),
        (lambda c: c.update(init_lora_weights="pissa_niter_4"), None),
        (lambda c: c.update(bias="all"), lambda t: t.update({"base_model.model.0.bias": torch.zeros(3)})),
        (lambda c: c.update(bias="all"), lambda t: t.update({"base_model.model.9.bias": torch.zeros(12)})),
        (
            lambda c: c.update(bias="all"),
            lambda t: t.update({"base_model.model.0.bias": torch.full((12,), float("inf"))}),
        ),
        (None, lambda t: t.update({"base_model.model.0.bias": torch.zeros(12)})),
        (lambda c: c.update(bias="all"), None),
        (lambda c: c.update(modules_to_save=["6"]), None),
        (lambda c: c.update(lora_alpha="much"), None),
        (lambda c: c.clear(), None),
        (None, lambda t: t.pop(KEY)),
        (None, lambda t: t.clear()),
        (None, lambda t: t.update({KEY: torch.zeros(3, 13)})),
        (None, lambda t: t.update({KEY: torch.zeros(12)})),
        (None, lambda t: t.update({KEY: torch.full((3, 12), float("nan"))})),
        (None, lambda t: t.update({"base_model.model.0.lora_magnitude_vector": torch.zeros(3)})),
        (
            None,
            lambda t: t.update(
                {KEY.replace("0", "9"): t.pop(KEY), KEY.replace("0.lora_A", "9.lora_B"): torch.zeros(12, 3)}
            ),
        ),
    ],
)
def test_what_is_not_plain_lora_is_refused(folder, config, tensors):
    model = network()
    with pytest.raises(CheckpointError) as caught:
        adapters.load_peft(model, spoilt(folder, config, tensors))
    assert "\n" not in str(caught.value)
    assert all(type(module).__module__.startswith("torch.") for module in model)


def test_files_that_are_missing_and_models_that_have_adapters(folder, tmp_path):
    model = network()
    with pytest.raises(CheckpointError, match="not readable"):
        adapters.load_peft(model, tmp_path / "nowhere")
    adapters.attach(model, adapters.Rotations(4))
    with pytest.raises(OptionError, match="has adapters already"):
        adapters.load_peft(model, folder)
    with pytest.raises(OptionError, match="no LowRank"):
        adapters.save_peft(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    adapters.attach(grouped, 2)
    with pytest.raises(OptionError, match="no LoRA for"):
        adapters.save_peft(grouped, tmp_path / "out")
