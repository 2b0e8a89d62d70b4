"""Arguments of a wrong kind end in a sentence of our own, never in an error from inside, in every package of parts."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import (
    adapters,
    decompose,
    diagnostics,
    growth,
    init,
    integrations,
    layers,
    regularize,
    training,
)
from rankfold._collectives import Workers
from rankfold._errors import RankfoldError
from rankfold.formats import CP, TT, TTMatrix

WRONG = {
    "None": None,
    "text": "x",
    "bytes": b"a",
    "minus one": -1,
    "nan": math.nan,
    "infinity": math.inf,
    "complex": 1 + 2j,
    "list": [],
    "dictionary": {},
    "object": object(),
    "tensor": torch.ones(2),
    "class": nn.Linear,
}


def _plain():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))


def _factorized():
    model = _plain()
    rf.factorize(model, 2)
    return model


def _attached():
    model = _plain()
    adapters.attach(model, 2)
    return model


def _products():
    model = _plain()
    regularize.hadamard(model)
    return model


def _cp():
    return CP(torch.ones(2), (torch.ones(3, 2), torch.ones(4, 2)))


def _blocks():
    return nn.ModuleList(nn.Linear(4, 4) for _ in range(4))


def _loss():
    model = nn.Linear(3, 1)
    return model, lambda: model(torch.ones(2, 3)).square().sum()


CALLS = {
    "initialize model": init.initialize,
    "initialize": lambda value: init.initialize(_factorized(), value),
    "initialize std": lambda value: init.initialize(_factorized(), std=value),
    "initialize generator": lambda value: init.initialize(_factorized(), generator=value),
    "spectral model": lambda value: init.spectral(value, "matrix", 2),
    "spectral form": lambda value: init.spectral(_plain(), value, 2),
    "spectral rank": lambda value: init.spectral(_plain(), "matrix", value),
    "balanced": init.balanced,
    "calibrate": lambda value: init.calibrate(value, _loss()[1]),
    "rescale_layers": lambda value: init.rescale_layers(value, 2.0),
    "rescale_layers alpha": lambda value: init.rescale_layers(_plain()[::2], value),
    "initialize_products": init.initialize_products,
    "initialize_two_layers": lambda value: init.initialize_two_layers(nn.Linear(2, 3), value),
    "product_factors depth": lambda value: init.product_factors((3, 4), value, 0.1),
    "product_factors std": lambda value: init.product_factors((3, 4), 2, value),
    "FrobeniusDecay model": lambda value: regularize.FrobeniusDecay(value, 1e-3),
    "FrobeniusDecay": lambda value: regularize.FrobeniusDecay(_factorized(), value),
    "FrobeniusDecay.attach": lambda value: regularize.FrobeniusDecay(_factorized(), 1e-3).attach(value),
    "GatedRank model": lambda value: regularize.GatedRank(value, 1e-3),
    "GatedRank": lambda value: regularize.GatedRank(_factorized(), value),
    "GatedRank depth": lambda value: regularize.GatedRank(_factorized(), 1e-3, depth=value),
    "GatedRank.collapse": lambda value: regularize.GatedRank(_factorized(), 1e-3).collapse(value),
    "SpectralPenalty model": lambda value: regularize.SpectralPenalty(value, 1e-3),
    "SpectralPenalty": lambda value: regularize.SpectralPenalty(_factorized(), value),
    "hadamard": regularize.hadamard,
    "hadamard depth": lambda value: regularize.hadamard(_plain(), value),
    "hadamard_penalty": lambda value: regularize.hadamard_penalty(_products(), value),
    "misalignment": regularize.misalignment,
    "latent_dropout model": regularize.latent_dropout,
    "latent_dropout": lambda value: regularize.latent_dropout(_factorized(), value),
    "decay_groups": lambda value: regularize.decay_groups(value, 1e-3),
    "decay_groups decay": lambda value: regularize.decay_groups(_factorized(), value),
    "from_tensorly": integrations.from_tensorly,
    "from_tensorly weights": lambda value: integrations.from_tensorly((value, [[[1.0]], [[2.0]]])),
    "from_tensorly factors": lambda value: integrations.from_tensorly((torch.ones(1), value)),
    "from_tensorly modes": lambda value: integrations.from_tensorly(
        (torch.ones(2, 3), [torch.ones(4, 2)]), modes=value
    ),
    "to_tensorly": integrations.to_tensorly,
    "to_tensorly backend": lambda value: integrations.to_tensorly(_cp(), backend=value),
    "TT": TT,
    "TTMatrix": TTMatrix,
    "TTMatrix.from_dense": lambda value: TTMatrix.from_dense(value, (2, 2), (2, 2), ranks=2),
    "write_weight": lambda value: layers.write_weight(nn.Linear(3, 4), value),
    "attach model": lambda value: adapters.attach(value, 2),
    "attach": lambda value: adapters.attach(_plain(), value),
    "attach generator": lambda value: adapters.attach(_plain(), 2, generator=value),
    "detach": adapters.detach,
    "LowRank": lambda value: adapters.attach(_plain(), adapters.LowRank(value)),
    "StackedCUR": adapters.StackedCUR,
    "save_adapter": lambda value: adapters.save_adapter(value, "unused"),
    "load_peft": lambda value: adapters.load_peft(value, "unused"),
    "insert_blocks": lambda value: growth.insert_blocks(value, [0], method="copy"),
    "insert_blocks after": lambda value: growth.insert_blocks(_blocks(), value, method="copy"),
    "insert_blocks seed": lambda value: growth.insert_blocks(
        _blocks(), [1], method="svd_predict", seed=value
    ),
    "joint_svd": growth.joint_svd,
    "spectrum": diagnostics.spectrum,
    "rank_at": lambda value: diagnostics.spectrum(torch.ones(2, 2)).rank_at(value),
    "weight_spectra": diagnostics.weight_spectra,
    "hessian_norms loss": lambda value: diagnostics.hessian_norms(value, _loss()[0]),
    "hessian_norms value": lambda value: diagnostics.hessian_norms(lambda: value, _loss()[0]),
    "laziness": lambda value: diagnostics.laziness(_plain(), value),
    "UpdateRank": lambda value: diagnostics.UpdateRank(_plain(), value),
    "pl_constant": diagnostics.pl_constant,
    "tangent_kernel": lambda value: diagnostics.tangent_kernel(_plain(), value),
    "component_balance": diagnostics.component_balance,
    "haar_coarsened": layers.haar_coarsened,
    "MPSClassifier.from_value": lambda value: layers.MPSClassifier.from_value(value, 1),
    "MPSClassifier.assign": lambda value: layers.MPSClassifier(4, 2, rank=2).assign(value),
    "fit_two_site": lambda value: training.fit_two_site(value, torch.rand(6, 4), torch.zeros(6).long()),
    "fit_two_site inputs": lambda value: training.fit_two_site(
        layers.MPSClassifier(4, 2, rank=2), value, torch.zeros(6).long()
    ),
    "fit_two_site targets": lambda value: training.fit_two_site(
        layers.MPSClassifier(4, 2, rank=2), torch.rand(6, 4), value
    ),
    "low_rank_parameters": training.low_rank_parameters,
    "restore_ranks": lambda value: training.restore_ranks(value, SimpleNamespace(state_dict_metadata={})),
    "restore_ranks metadata": lambda value: training.restore_ranks(_factorized(), value),
    "TDLRT process_group": lambda value: rf.TDLRT(
        _factorized(), torch.optim.SGD, lr=0.1, process_group=value
    ),
    "TrainingMonitor": diagnostics.TrainingMonitor,
    "TrainingMonitor step": lambda value: diagnostics.TrainingMonitor(_plain())(value),
    "t_svd": lambda value: decompose.t_svd(value, 1),
    "t_svd tolerance": lambda value: decompose.t_svd(torch.ones(2, 3, 4), tolerance=value),
    "Sharded": lambda value: decompose.Sharded(value, 0, Workers(), 100),
    "Sharded.from_npy": decompose.Sharded.from_npy,
    "Sharded.from_folder": decompose.Sharded.from_folder,
    "Sharded process_group": lambda value: decompose.Sharded.from_npy("none.npy", 0, value),
}

# None stands for a default, an empty dictionary for no rank index; what a function or model of the caller raises is
# the caller's.
ALLOWED = {
    ("TDLRT process_group", "None"),
    ("initialize std", "None"),
    ("from_tensorly weights", "None"),
    ("initialize generator", "None"),
    ("attach generator", "None"),
    ("UpdateRank", "None"),
    ("t_svd tolerance", "None"),
    ("latent_dropout", "dictionary"),
    ("haar_coarsened", "tensor"),
}
THEIRS = {("hessian_norms loss", "class"): TypeError, ("tangent_kernel", "tensor"): RuntimeError}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("call", CALLS)
def test_refused_in_a_sentence(call, wrong):
    torch.manual_seed(0)
    if (call, wrong) in ALLOWED:
        CALLS[call](WRONG[wrong])
        return
    with pytest.raises(THEIRS.get((call, wrong), RankfoldError)):
        CALLS[call](WRONG[wrong])


@pytest.mark.parametrize("path", [None, 3, object(), nn.Linear(1, 1)])
@pytest.mark.parametrize("name", ["save", "load"])
def test_models_and_paths_of_files(name, path):
    with pytest.raises(RankfoldError, match="path"):
        getattr(rf, name)(_plain(), path)
    if not isinstance(path, nn.Module):
        with pytest.raises(RankfoldError, match="model is a"):
            getattr(rf, name)(path, _plain())


@pytest.mark.parametrize("path", [None, 3, object()])
@pytest.mark.parametrize("name", ["save_adapter", "load_adapter", "save_peft", "load_peft"])
def test_paths_that_are_none(name, path):
    with pytest.raises(RankfoldError, match="path"):
        getattr(adapters, name)(_attached(), path)


def test_tensors_of_other_kinds():
    whole = torch.ones(2, 2, dtype=torch.int64)
    for call in (
        lambda: diagnostics.spectrum(whole),
        lambda: growth.joint_svd([whole]),
        lambda: diagnostics.spectrum(torch.ones(2, 2), "a"),
        lambda: diagnostics.pair_balance([1], [2]),
        lambda: decompose.t_product(torch.ones(2, 3, 4), torch.ones(3, 2, 4).double()),
        lambda: diagnostics.tangent_kernel(_plain().requires_grad_(False), torch.ones(2, 8)),
    ):
        with pytest.raises(RankfoldError):
            call()
