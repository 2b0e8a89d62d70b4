"""The collectives of torch.distributed that the library needs; with one process each does nothing.

All of them are called by every worker of the group, in the same order. Sums come out with the same bits everywhere:
gloo and nccl reduce each piece of a message in one place and hand the result around.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from rankfold._errors import OptionError

__all__ = ["Workers", "digest", "workers_of"]


@dataclass(frozen=True)
class Workers:
    """The processes that work on one problem.

    Arguments:
        group: their process group, or None where there is one process.
    """

    group: "dist.ProcessGroup | None" = None

    @property
    def count(self) -> int:
        """How many there are, at least 1."""
        return 1 if self.group is None else dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """The number of this one, from 0."""
        return 0 if self.group is None else dist.get_rank(self.group)

    def add_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all workers, with one message for each dtype and device."""
        self._reduce(tensors, 1)

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all workers, likewise."""
        self._reduce(tensors, self.count)

    def _reduce(self, tensors: Iterable[Tensor], divisor: int) -> None:
        if self.group is None:
            return
        for together in _alike(tensors):
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in together])
            dist.all_reduce(flat, group=self.group)
            _scatter(flat.div_(divisor) if divisor > 1 else flat, together)

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by that of the first worker, with one message for each dtype and device."""
        if self.group is None:
            return
        for together in _alike(tensors):
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in together])
            dist.broadcast(flat, group=self.group, group_src=0)
            _scatter(flat, together)

    def largest_(self, tensor: Tensor) -> Tensor:
        """Replace each entry by the largest over all workers, and return the tensor."""
        if self.group is not None:
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.group)
        return tensor

    def any(self, here: bool, device: torch.device | str = "cpu") -> bool:
        """Whether it is so on any worker."""
        return bool(self.largest_(torch.tensor(float(here), device=device)))

    def alike(self, text: str, device: torch.device | str = "cpu") -> bool:
        """Whether all workers say the same; the answer is the same everywhere."""
        # As float64, which every backend can reduce: whole numbers of 48 bits are exact in it.
        number = float(digest(text))
        bounds = self.largest_(torch.tensor([number, -number], dtype=torch.float64, device=device))
        return float(bounds[0]) == -float(bounds[1])


def digest(text: str) -> int:
    """A whole number of 48 bits that stands for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def workers_of(group: "dist.ProcessGroup | None" = None) -> Workers:
    """The workers of a group; of the default group where None is given and torch.distributed runs.

    Arguments:
        group: a process group, or None.

    Raises:
        OptionError: it is something else, such as what a process gets that is not in a new group.
    """
    if group is not None and not (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        raise OptionError(
            f"a process group is asked for, got {group!r}; pass one of torch.distributed.new_group that this process "
            "is in, or None."
        )
    if group is None and dist.is_available() and dist.is_initialized():
        group = dist.group.WORLD
    if group is None or dist.get_world_size(group) == 1:
        return Workers()
    return Workers(group)


def _alike(tensors: Iterable[Tensor]) -> list[Sequence[Tensor]]:
    groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return list(groups.values())


def _scatter(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.detach().copy_(part.view(tensor.shape))
