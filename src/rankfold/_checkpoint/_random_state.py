"""The random states of a training loop as tensors: those of torch, NumPy and Python."""

import math
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankfold._collectives import Workers
from rankfold._errors import CheckpointError

__all__ = ["random_states_of_all", "restore_random_states"]

# Words of 32 bits and positions are exact in float64, and so is the normal number that both keep in reserve.
_REAL = torch.float64


def random_states_of_all(workers: Workers, device: torch.device) -> dict[str, Tensor]:
    """The states of every worker, one row each; every worker gets all.

    Arguments:
        workers: those who train.
        device: to send them by.

    Raises:
        CheckpointError: the workers use different generators.
    """
    own = {name: state.to(device) for name, state in _states().items()}
    if not workers.alike(str({name: state.shape for name, state in own.items()}), device):
        raise CheckpointError(
            "Checkpoints: the workers have random generators of different kinds; use as many CUDA devices and the same "
            "generator of NumPy in each."
        )
    rows = {name: state.new_zeros((workers.count, *state.shape)) for name, state in own.items()}
    for name, state in own.items():
        rows[name][workers.rank] = state
    workers.add_(rows.values())  # zeros elsewhere, so that each row is that of its worker
    return {name: row.cpu() for name, row in rows.items()}


def restore_random_states(rows: dict[str, Tensor], workers: Workers) -> None:
    """Set the generators of this worker to its row; where there were fewer workers then, they stay as they are."""
    if workers.rank >= len(rows["torch"]):
        return
    own = {name: row[workers.rank] for name, row in rows.items()}
    torch.set_rng_state(own["torch"].clone())
    for index, state in enumerate(own["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.clone(), index)
    *words, reserve = own["python"].tolist()
    version = random.getstate()[0]
    random.setstate((version, tuple(map(int, words)), None if math.isnan(reserve) else reserve))
    if "numpy" in own:
        *key, position, has_reserve, reserve = own["numpy"].tolist()
        np.random.set_state(  # noqa: NPY002 - the global one is what loops use
            ("MT19937", np.array(key, dtype=np.uint32), int(position), int(has_reserve), reserve)
        )


def _states() -> dict[str, Tensor]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    _, words, reserve = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "cuda": torch.stack(cuda) if cuda else torch.zeros(0, 16, dtype=torch.uint8),
        "python": torch.tensor([*words, math.nan if reserve is None else reserve], dtype=_REAL),
    }
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    if numpy["bit_generator"] == "MT19937":  # what it is unless someone has replaced it
        state = [*numpy["state"]["key"].tolist(), numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]]
        states["numpy"] = torch.tensor(state, dtype=_REAL)
    return states
