"""The settings of ``rankfold decompose``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from rankfold._errors import OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.decompose import METHODS
from rankfold.decompose._tucker import Method as TuckerMethod

__all__ = ["FORMATS", "LOSSES", "DecomposeConfig", "checked_decompose", "given_ranks"]

# Settings of each format beside those of all; the others belong to another format.
FORMATS = {
    "cp": ("rank", "tolerance", "mask", "nonnegative", "symmetric", "method", "loss", "restarts"),
    "tucker": ("ranks", "tolerance", "energy", "mask", "nonnegative", "method"),
    "tt": ("ranks", "tolerance"),
}
LOSSES = ("squared", "poisson")
_TUCKER_METHODS = get_args(TuckerMethod)


@dataclass(frozen=True, kw_only=True)
class DecomposeConfig:
    """Find the parts that a tensor in a file is made of.

    Arguments:
        file: the tensor: .npy, .npz, .mat, .csv, .tns (sparse), .tns.gz or .safetensors, or a folder of .npy shards.
        format: sum of outer products, core with factors, or train of cores.
        rank: of cp; auto finds it.
        ranks: of tucker (one per mode) or tt (one per joint), such as 3,4,5; none leaves them to tolerance or energy.
        tolerance: relative error allowed (tucker, tt), or change per iteration below which cp stops.
        energy: share of the squared norm to keep in each mode of tucker, in (0, 1].
        mask: nan for NaN entries that are missing, or a file of the same shape with 1 where an entry is observed.
        nonnegative: factors of cp or tucker that are at least 0.
        symmetric: the same factor of cp in all modes.
        method: st_hosvd, hooi and randomized are of tucker, the others of cp; auto chooses.
        loss: of cp: squared, or poisson for counts, which needs --method gradient_flow.
        restarts: largest number of independent starts of cp; None is 10 for auto (1 on large data with gaps), else 1.
        seed: of the random starts.
        out: folder of the results, made anew; None means runs/<file>-<format>-<time>.
        key: which array of a file of several.
        axis: the mode along which the shards of a folder follow one another.
        memory: what may be taken, such as 4GiB; a .npy file that needs more is read in blocks. None is what is free.
        device: cpu, cuda, or auto for cuda where there is one.
        threads: CPU threads; None leaves the choice to PyTorch.
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    format: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(FORMATS) + "}")] = "cp"
    rank: Annotated[Literal["auto"] | int, tyro.conf.arg(metavar="auto|N")] = "auto"
    ranks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="N,N,...")] = ()
    tolerance: float | None = None
    energy: float | None = None
    mask: Annotated[str | None, tyro.conf.arg(metavar="nan|FILE")] = None
    nonnegative: tyro.conf.FlagCreatePairsOff[bool] = False
    symmetric: tyro.conf.FlagCreatePairsOff[bool] = False
    method: Annotated[
        str, tyro.conf.arg(metavar="{" + ",".join(dict.fromkeys((*METHODS, *_TUCKER_METHODS))) + "}")
    ] = "auto"
    loss: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LOSSES) + "}")] = "squared"
    restarts: int | None = None
    seed: int = 0
    out: Path | None = None
    key: str | None = None
    axis: int = 0
    memory: Annotated[str | None, tyro.conf.arg(metavar="SIZE")] = None
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"
    threads: int | None = None


def given_ranks(config: DecomposeConfig) -> tuple[int, ...] | None:
    """The numbers of ``--ranks``, written 3,4,5 or 3 4 5; None where it was not given.

    Raises:
        OptionError: a rank is no whole number of at least 1.
    """
    words = [word for part in config.ranks for word in part.replace(",", " ").split()]
    if not config.ranks:
        return None
    if not words or not all(word.isascii() and word.isdigit() and int(word) >= 1 for word in words):
        given = " ".join(config.ranks)
        raise OptionError(
            f"decompose: --ranks is {given!r}, allowed are whole numbers of at least 1; write them as 3,4,5."
        )
    return tuple(int(word) for word in words)


def checked_decompose(config: DecomposeConfig) -> DecomposeConfig:
    """The settings, found to be in range and of the format before the file is opened.

    Raises:
        OptionError: the first setting that is out of range, unknown, or of another format.
    """
    if config.format not in FORMATS:
        raise OptionError(
            f"decompose: got format {config.format!r}, known are {', '.join(FORMATS)}; choose one."
        )
    plain = DecomposeConfig(file=config.file)
    for name in dict.fromkeys(name for names in FORMATS.values() for name in names):
        if name not in FORMATS[config.format] and getattr(config, name) != getattr(plain, name):
            owners = " and ".join(owner for owner, names in FORMATS.items() if name in names)
            raise OptionError(f"decompose: --{name} is of {owners} only; leave it out for {config.format}.")
    ranks = given_ranks(config)
    if config.format == "cp":
        METHODS[config.method]
    if config.format == "tucker" and config.method not in _TUCKER_METHODS:
        known = ", ".join(_TUCKER_METHODS)
        raise OptionError(
            f"decompose: got tucker method {config.method!r}, known are {known}; choose one of these."
        )
    if config.loss not in LOSSES:
        raise OptionError(f"decompose: got loss {config.loss!r}, known are {', '.join(LOSSES)}; choose one.")
    amounts = [name for name in ("ranks", "tolerance", "energy") if name in FORMATS[config.format]]
    given = [name for name in amounts if getattr(config, name) not in (None, ())]
    if config.format != "cp" and len(given) != 1:
        flags = ", ".join(f"--{name}" for name in amounts)
        raise OptionError(
            f"decompose: {config.format} takes exactly one of {flags}, got {len(given)}; give one."
        )
    for flag, value, fits, allowed in (
        ("rank", config.rank, config.rank == "auto" or config.rank >= 1, "auto or at least 1"),
        (
            "tolerance",
            config.tolerance,
            config.tolerance is None or 0 <= config.tolerance < 1,
            "a number in [0, 1)",
        ),
        ("energy", config.energy, config.energy is None or 0 < config.energy <= 1, "a number in (0, 1]"),
        ("restarts", config.restarts, config.restarts is None or config.restarts >= 1, "at least 1"),
        ("seed", config.seed, 0 <= config.seed < 2**63, "a whole number from 0 to 2^63 - 1"),
        ("axis", config.axis, config.axis >= 0, "at least 0"),
        ("threads", config.threads, config.threads is None or config.threads >= 1, "at least 1"),
    ):
        if not fits:
            raise OptionError(f"decompose: --{flag} is {value}, allowed is {allowed}; choose such a value.")
    chosen_device(config.device)
    return replace(config, ranks=() if ranks is None else (",".join(map(str, ranks)),))
