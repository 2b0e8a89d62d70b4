"""Put new blocks between those of a trained model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from rankfold._checks import check_count, check_number
from rankfold._errors import NonFiniteError, OptionError, SelectorError
from rankfold._shown import Printed
from rankfold.growth._methods import GROWTH_METHODS, Settings
from rankfold.growth._predict import Prediction

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["Growth", "insert_blocks"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Growth(Printed):
    """What :func:`insert_blocks` did; ``print`` shows it.

    Arguments:
        method: name of the method.
        new: places of the new blocks now.
        moved: for each old block its place now.
        parameters: numbers in the new blocks.
        predictions: of ``svd_predict``, for each matrix how well predictors do on layers they have not seen.
    """

    method: str
    new: tuple[int, ...]
    moved: tuple[int, ...]
    parameters: int
    predictions: dict[str, Prediction] = field(default_factory=dict)

    @property
    def beats_zero(self) -> bool | None:
        """Whether every matrix is predicted better than by zero; None where nothing was predicted or judged."""
        outcomes = [one.beats_zero for one in self.predictions.values()]
        return None if not outcomes or None in outcomes else all(outcomes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.new)

    def __repr__(self) -> str:
        return f"<Growth: {self._summary()}>"

    def _summary(self) -> str:
        return (
            f"{len(self.new)} blocks inserted by {self.method} at {', '.join(map(str, self.new))}, {self.parameters:,} "
            "parameters"
        )

    def _view(self) -> "View":
        from rankfold._display import NAME, Block, Grid, Note, View, shortened

        blocks: list[Block] = [Note(self._summary())]
        if self.predictions:
            rows = tuple(
                (
                    shortened(name, NAME),
                    "-" if one.error is None else f"{one.error:.3f}",
                    "-" if one.norm_ratio is None else f"{one.norm_ratio:.3f}",
                    {True: "yes", False: "no", None: "not known"}[one.beats_zero],
                )
                for name, one in self.predictions.items()
            )
            columns = ("matrix", "error", "norm", "better than zero")
            blocks.append(Grid(columns, rows, numbers=(1, 2), what="matrices"))
        if self.beats_zero is False:
            words = "Some matrices are predicted no better than by zero"
            blocks.append(Note(f"{words}: method='identity' starts from the same function.", warning=True))
        return View("Growth", tuple(blocks))


@torch.no_grad()
def insert_blocks(
    blocks: nn.ModuleList | nn.Sequential,
    after: Sequence[int],
    *,
    method: str = "identity",
    outputs: Sequence[str] = (),
    optimizer: Optimizer | None = None,
    epochs: int = 5,
    norm_weight: float = 5e-5,
    seed: int = 0,
) -> Growth:
    """Insert a new block after some of the blocks of a model, in place.

    With ``'identity'`` the model computes what it did: the new block is a copy whose named outputs are zero, so that it
    adds nothing to the residual stream and yet learns. Whether the predictions of ``'svd_predict'`` are better than
    predicting zero is in the result.

    Numbers of blocks that the modules carry (``layer_idx`` of transformers) are set anew; how many there are, which
    transformers keeps in ``model.config.num_hidden_layers``, is for the caller to set.

    Arguments:
        blocks: of equal structure, such as ``model.layers``.
        after: places in 0..len(blocks) - 1, each once; a new block comes after each.
        method: name in :data:`GROWTH_METHODS`.
        outputs: with ``'identity'``, names within a block of the layers that write to the residual stream, such as
            ``('attention.wo', 'feed_forward.w2')``; all their parameters become zero.
        optimizer: gets the new parameters as a further group with the settings of its first one; the state of the
            others stays as it is.
        epochs: of the predictors; the paper's is 5.
        norm_weight: of the predictors' loss, in [0, 1]; the paper's is 5e-5.
        seed: of the predictors.

    Returns:
        A :class:`Growth`.

    Raises:
        OptionError: an unknown method, places out of range, blocks of different structure, or no outputs to be zero.
        SelectorError: an output that the blocks do not have.
        NonFiniteError: a parameter holds NaN or infinity.

    Reference:
        Yang et al. 2025, "LESA"; Wu et al. 2024, "LLaMA Pro".

    Example:
        >>> blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        >>> print(insert_blocks(blocks, [1], outputs=[""]))
        1 blocks inserted by identity at 2, 20 parameters
        >>> blocks[2].weight.abs().sum().item(), len(blocks)
        (0.0, 4)
    """
    chosen = GROWTH_METHODS[method]
    if not isinstance(blocks, nn.ModuleList | nn.Sequential):
        raise OptionError(
            f"insert_blocks: blocks is a {type(blocks).__name__}; pass the nn.ModuleList or nn.Sequential of the model."
        )
    check_count("insert_blocks", "epochs", epochs)
    check_number("insert_blocks", "norm_weight", norm_weight, 0, 1, closed=True)
    check_count("insert_blocks", "seed", seed, 0)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise OptionError(
            f"insert_blocks: optimizer is a {type(optimizer).__name__}; pass the one that trains the model, or None."
        )
    old = list(blocks)
    places = _checked_places(after, len(old))
    _check_blocks(old)
    settings = Settings(
        _zeroed(old[0], outputs, needed=method == "identity"),
        epochs,
        norm_weight,
        torch.Generator().manual_seed(seed),
    )
    if method == "svd_predict" and len(old) < 3:
        raise OptionError(
            f"insert_blocks: svd_predict learns from triples of layers and got {len(old)} blocks; use 'identity'."
        )
    made, predictions = chosen.make(old, places, settings)
    order: list[nn.Module] = []
    moved, new = [], []
    fresh = dict(zip(places, made, strict=True))
    for place, block in enumerate(old):
        moved.append(len(order))
        order.append(block)
        if place in fresh:
            new.append(len(order))
            order.append(fresh[place])
    _refill(blocks, order)
    parameters = [parameter for block in made for parameter in block.parameters()]
    if optimizer is not None:
        optimizer.add_param_group(_group(optimizer, parameters))
    return Growth(
        method=method,
        new=tuple(new),
        moved=tuple(moved),
        parameters=sum(parameter.numel() for parameter in parameters),
        predictions=predictions,
    )


def _refill(blocks: nn.ModuleList | nn.Sequential, order: Sequence[nn.Module]) -> None:
    for name in list(blocks._modules):
        del blocks._modules[name]
    for number, block in enumerate(order):
        blocks.add_module(str(number), block)
        for module in block.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = number  # pyright: ignore[reportArgumentType]


def _group(optimizer: Optimizer, parameters: list[nn.Parameter]) -> dict[str, Any]:
    settings = {
        name: value
        for name, value in optimizer.param_groups[0].items()
        if name not in ("params", "param_names")
    }
    return {**settings, "params": parameters}


def _checked_places(after: Sequence[int], count: int) -> list[int]:
    places = list(after) if isinstance(after, Sequence) else [after]
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in places)
    if (
        not places
        or not whole
        or len(set(places)) < len(places)
        or not all(0 <= place < count for place in places)
    ):
        raise OptionError(
            f"insert_blocks: after must name places in 0..{count - 1}, each once, got {places!r}; name such places."
        )
    return sorted(places)


def _check_blocks(blocks: Sequence[nn.Module]) -> None:
    structures = [
        [(name, tuple(p.shape), p.dtype) for name, p in block.named_parameters()] for block in blocks
    ]
    for place, structure in enumerate(structures):
        if structure != structures[0]:
            raise OptionError(
                f"insert_blocks: block {place} has other parameters than block 0; pass blocks of equal structure, not "
                "factorised ones (grow first, then factorise)."
            )
    for place, block in enumerate(blocks):
        for name, parameter in block.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise NonFiniteError(
                    f"insert_blocks: {name!r} of block {place} holds NaN or infinity; mend it first."
                )


def _zeroed(block: nn.Module, outputs: Sequence[str], *, needed: bool) -> tuple[str, ...]:
    if needed and not outputs:
        raise OptionError(
            "insert_blocks: 'identity' was not told what to set to zero; pass outputs, the layers of a block that "
            "write to the residual stream, such as ('attention.wo', 'feed_forward.w2')."
        )
    names = [name for name, _ in block.named_parameters()]
    found: list[str] = []
    # A single name is not a list of letters.
    for output in ([outputs] if isinstance(outputs, str) else outputs) if needed else ():
        own = [name for name in names if not output or name == output or name.startswith(f"{output}.")]
        if not own:
            raise SelectorError(
                f"insert_blocks: the blocks have no {output!r}; they have {', '.join(names[:8])}."
            )
        found += own
    return tuple(dict.fromkeys(found))
