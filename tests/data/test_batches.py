import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold._errors import OptionError
from rankfold.data import batches

_INPUTS = torch.arange(20.0).reshape(10, 2)
_TARGETS = torch.arange(10)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_order_is_kept_without_a_generator() -> None:
    found = list(batches(_INPUTS, _TARGETS, 4))
    assert [len(targets) for _, targets in found] == [4, 4, 2]
    assert torch.equal(torch.cat([inputs for inputs, _ in found]), _INPUTS)


def test_same_generator_same_batches() -> None:
    first, second, other = (
        torch.cat([targets for _, targets in batches(_INPUTS, _TARGETS, 3, generator=_generator(seed))])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(first, torch.randperm(10, generator=_generator()))


def test_epochs_differ() -> None:
    generator = _generator()
    first, second = (
        torch.cat([targets for _, targets in batches(_INPUTS, _TARGETS, 3, generator=generator)])
        for _ in range(2)
    )
    assert not torch.equal(first, second)


@given(
    count=st.integers(0, 12),
    batch_size=st.integers(1, 13),
    skip=st.integers(0, 14),
    shuffled=st.booleans(),
)
def test_skip_leaves_out_the_first(count: int, batch_size: int, skip: int, shuffled: bool) -> None:
    targets = torch.arange(count)
    inputs = targets[:, None] * 2.0
    complete, resumed = (
        list(batches(inputs, targets, batch_size, generator=_generator() if shuffled else None, skip=start))
        for start in (0, skip)
    )
    assert sorted(int(label) for _, part in complete for label in part) == list(range(count))
    assert len(resumed) == max(0, len(complete) - skip)
    for (found_inputs, found_targets), (inputs_, targets_) in zip(resumed, complete[skip:], strict=True):
        assert torch.equal(found_inputs, inputs_)
        assert torch.equal(found_targets, targets_)
        assert torch.equal(found_inputs[:, 0], found_targets * 2.0)


def test_generator_is_used_at_the_call() -> None:
    generator = _generator()
    batches(_INPUTS, _TARGETS, 3, generator=generator)
    reference = _generator()
    torch.randperm(10, generator=reference)
    assert torch.equal(generator.get_state(), reference.get_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2, "skip": -1}, "skip=-1"),
        ({"batch_size": 2, "targets": torch.arange(9)}, "10 inputs and 9 targets"),
    ],
)
def test_errors_come_at_the_call(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        batches(**{"inputs": _INPUTS, "targets": _TARGETS} | arguments)
