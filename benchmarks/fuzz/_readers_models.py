"""Readers of models, states, decompositions and adapters."""

import copy
import pickle
from functools import cache
from pathlib import Path

import torch
from torch import nn

import rankfold
from benchmarks.fuzz._containers import safetensors_mutator
from benchmarks.fuzz._mutate import json_mutator
from benchmarks.fuzz._reader import Reader
from rankfold import TDLRT, adapters
from rankfold._checkpoint import load_state, read_layouts
from rankfold.cli._file_content import read_content

__all__ = ["MODEL_READERS", "Net", "adapted", "trained"]


class Net(nn.Module):
    """A convolution, a batch norm, and two tied layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2)
        self.norm = nn.BatchNorm2d(3)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 6)
        self.second.weight = self.first.weight


def trained(seed: int, rank: int) -> tuple[Net, TDLRT]:
    """A factorised network after a step, and what trains it."""
    torch.manual_seed(seed)
    model = Net()
    rankfold.factorize(model, rank)
    optimizer = TDLRT(model, torch.optim.SGD, lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return model, optimizer


@cache
def _dense() -> Net:
    torch.manual_seed(0)
    return Net()


@cache
def _trained() -> tuple[Net, TDLRT]:
    return trained(seed=1, rank=2)


def adapted() -> nn.Module:
    """What adapters are attached to."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 4))


@cache
def _frozen() -> nn.Module:
    return adapted()


def _unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    after = model.state_dict()
    assert list(after) == list(before), "a refused file changed the model"
    assert all(torch.equal(after[name], value) for name, value in before.items()), (
        "a refused file changed values"
    )


def _load(folder: Path, *, optimizer: bool) -> None:
    model, trainer = copy.deepcopy(_trained()) if optimizer else (copy.deepcopy(_dense()), None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        rankfold.load(model, folder / "net.safetensors", optimizer=trainer)
    except rankfold.RankfoldError:
        _unchanged(model, before)
        raise


def _adapter(folder: Path) -> None:
    model = copy.deepcopy(_frozen())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        adapters.load_adapter(model, folder / "adapter.safetensors")
    except rankfold.RankfoldError:
        _unchanged(model, before)
        raise


def _peft(folder: Path) -> None:
    model = copy.deepcopy(_frozen())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        adapters.load_peft(model, folder)
    except rankfold.RankfoldError:
        _unchanged(model, before)
        raise


def _framed(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _foreign_files() -> dict[str, bytes]:
    """Files of other programs, and headers that promise much."""
    entry = b'{"a":{"dtype":"F32","shape":[%b],"data_offsets":[0,%b]}}'
    huge = {
        f"promise {number}": _framed(entry % (shape, end), bytes(4), length)
        for number, (shape, end, length) in enumerate(
            (
                (b"1", b"4", 2**63),
                (b"1", b"4", 2**64 - 1),
                (b"1", b"4", 100_000_000),
                (b"4611686018427387904,4611686018427387904", b"4", None),
                (b"1000000000000", b"4000000000000", None),
                (b"9223372036854775808", b"4", None),
                (b"0,9223372036854775807", b"0", None),
                (b"-1,-1", b"4", None),
                (b",".join([b"1"] * 100), b"4", None),
            )
        )
    }
    return {
        "pickle": pickle.dumps({"a": 1}),
        "old pickle": pickle.dumps({"a": 1}, 2),
        "zip": b"PK\x03\x04" + bytes(100),
        "nothing": b"",
        "zeros": bytes(64),
        "deep": _framed(b"[" * 200_000),
        "deep objects": _framed(b'{"a":' * 100_000),
        "many": _framed(
            b"{"
            + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % k for k in range(4_000))
            + b"}"
        ),
        **huge,
    }


def _foreign_configs() -> dict[str, bytes]:
    bomb = b'{"peft_type":"LORA","r":2,"lora_alpha":2,"alpha_pattern":{"%b":1}}'
    return {
        "exponential": bomb % b"([a-z0-9.]+)+#",
        "nested": bomb % b"((((a|0)*)*)*)*b",
        "backwards": bomb % b"(.*)(.*)(.*)(.*)\\\\1#",
        "long": bomb % (b".*" * 500),
        "open": bomb % b"(((",
        "nothing": b"",
    }


MODEL_READERS = (
    Reader(
        name="checkpoint",
        file="net.safetensors",
        read=lambda folder: _load(folder, optimizer=False),
        mutate=safetensors_mutator,
        share=14,
        crafted=_foreign_files,
    ),
    Reader(
        name="checkpoint with optimiser",
        file="net.safetensors",
        read=lambda folder: _load(folder, optimizer=True),
        mutate=safetensors_mutator,
        share=8,
    ),
    Reader(
        name="training state",
        file="state.safetensors",
        read=lambda folder: (
            load_state(folder / "state.safetensors"),
            read_layouts(folder / "state.safetensors"),
        ),
        mutate=safetensors_mutator,
        share=10,
    ),
    Reader(
        name="inspected file",
        file="net.safetensors",
        read=lambda folder: read_content(folder / "net.safetensors"),
        mutate=safetensors_mutator,
        share=6,
        crafted=_foreign_files,
    ),
    Reader(
        name="decomposition",
        file="factors.safetensors",
        read=lambda folder: rankfold.load_decomposition(folder / "factors.safetensors"),
        mutate=safetensors_mutator,
        share=10,
        crafted=_foreign_files,
    ),
    Reader(
        name="adapter",
        file="adapter.safetensors",
        read=_adapter,
        mutate=safetensors_mutator,
        share=8,
        crafted=_foreign_files,
    ),
    Reader(
        name="PEFT configuration",
        file="adapter_config.json",
        read=_peft,
        mutate=json_mutator,
        share=5,
        crafted=_foreign_configs,
    ),
    Reader(
        name="PEFT tensors",
        file="adapter_model.safetensors",
        read=_peft,
        mutate=safetensors_mutator,
        share=6,
        crafted=_foreign_files,
    ),
)
