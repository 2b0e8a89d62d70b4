"""fully_shard and torch.distributed.checkpoint around factorised layers that stay whole."""

import pytest
import torch
from tests.training.distributed.cases import STORED
from tests.training.distributed.sharded import reference
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata, TensorProperties, TensorStorageMetadata

import rankfold as rf
from rankfold.training import low_rank_parameters, restore_ranks


@pytest.mark.parametrize("inner", STORED)
def test_a_sharded_rest_trains_as_one_process_does_and_resumes_bit_by_bit(pair, inner):
    results = pair[f"stored {inner}"]
    assert not any(isinstance(result, str) for result in results), results
    one, norms = reference(inner)
    for result in results:
        assert result["sharded"] == ["1.bias", "3.weight", "3.bias", "6.weight", "6.bias"]
        assert result["norms"] == pytest.approx(norms, rel=1e-10)
        for name, value in one.items():
            assert torch.equal(result["first"][name], result["second"][name]), name
            assert result["first"][name].shape == value.shape
            torch.testing.assert_close(result["first"][name].abs(), value.abs(), rtol=1e-9, atol=1e-10)


def test_nan_in_the_part_of_one_worker_stops_all(pair):
    first, second = pair["nan in shard"]
    assert "at step 2 the gradient of a sharded parameter on another worker holds NaN" in first["sentence"]
    assert "at step 2 the gradient of 6.weight holds NaN" in second["sentence"]
    assert first["unchanged"]
    assert second["unchanged"]


def test_parts_of_cores_are_refused(pair):
    for result in pair["refused shards"]:
        assert "the core or a factor of layer '1' is a DTensor" in result.pop("fully_shard")
        assert "the core or a factor of layer '1' is a DTensor" in result.pop("tensor parallel")
        assert "FullyShardedDataParallel hides cores and factors" in result.pop("FSDP1")
        assert "is a DTensor, no plain tensor; save a sharded model with" in result.pop("save")
        assert "layer '1' is partitioned by DeepSpeed's ZeRO" in result.pop("ZeRO")
        assert not result


def metadata(**shapes: tuple[int, ...]) -> Metadata:
    return Metadata(
        {
            name: TensorStorageMetadata(TensorProperties(), torch.Size(shape), [])
            for name, shape in shapes.items()
        }
    )


def network() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4))
    rf.factorize(model, 2)
    return model


def test_restored_ranks_are_those_of_the_checkpoint():
    model = network()
    restore_ranks(model, metadata(**{"net.0.core": (3, 4), "net.1.core": (1, 2), "net.0.factor_0": (6, 3)}))
    assert [layer.ranks for layer in model] == [(3, 4), (1, 2)]
    assert all(bool(p.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        ({"0.core": (3, 4)}, "no shapes for the core of layer '1'"),
        ({"a.0.core": (3, 4), "b.0.core": (3, 3), "1.core": (2, 2)}, "2 shapes for the core of layer '0'"),
    ],
)
def test_checkpoints_of_other_models_change_nothing(stored, what):
    model = network()
    with pytest.raises(rf.CheckpointError, match=what):
        restore_ranks(model, metadata(**stored))
    assert [layer.ranks for layer in model] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("wrong", [None, "folder", {}])
def test_what_is_no_metadata_is_refused(wrong):
    with pytest.raises(rf.OptionError, match="read_metadata"):
        restore_ranks(network(), wrong)


def test_low_rank_parameters_are_cores_and_factors():
    model = network()
    names = {name for name, p in model.named_parameters() if p in low_rank_parameters(model)}
    assert names == {f"{layer}.{part}" for layer in "01" for part in ("core", "factor_0", "factor_1")}
