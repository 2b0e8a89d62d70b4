"""Damaged, foreign and hostile files: one sentence each, and everything stays as it was."""

import copy
import json
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests import hostile_files as hostile
from torch import Tensor, nn

from rankfold import TDLRT, CheckpointError, factorize, load, save
from rankfold._checkpoint import load_state, read_layouts, save_state
from rankfold._checkpoint._file import write_file

# Reading a hostile file may take as much again as the files of a few megabytes here, and not what they ask for.
MEMORY = 300e6


class Net(nn.Module):
    """A convolution, batch norm, and two tied layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2)
        self.norm = nn.BatchNorm2d(3)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


def build(seed: int, rank: int) -> tuple[Net, TDLRT]:
    torch.manual_seed(seed)
    model = Net()
    factorize(model, rank)
    optimizer = TDLRT(model, torch.optim.Adam, lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.inner.step()
    return model, optimizer


def flat(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from flat(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from flat(item)
    else:
        yield value


def same_values(one: object, two: object) -> bool:
    pairs = zip(flat(one), flat(two), strict=True)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


class Victim:
    """A model with its optimiser that nothing must happen to."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._untouched = build(seed=1, rank=2)
        self._renew()
        self.original = build(seed=0, rank=3)
        self.loaded = 0

    def _renew(self) -> None:
        self.model, self.optimizer = copy.deepcopy(self._untouched)
        self.modules = list(self.model.modules())
        self.state, self.trained = self._now()

    def _now(self) -> tuple[dict[str, Tensor], dict]:
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return state, self.optimizer.state_dict()

    def attack(self, what: str, content: bytes) -> None:
        """Read a file in all ways; what can be loaded must be the original model."""
        self.file.write_bytes(content)
        for with_optimizer in (False, True):
            try:
                load(self.model, self.file, optimizer=self.optimizer if with_optimizer else None)
            except CheckpointError as error:
                self._check_sentence(what, str(error))
                state, trained = self._now()
                assert list(self.model.modules()) == self.modules, what
                assert same_values(state, self.state), what
                assert same_values(trained, self.trained), what
            else:
                self.loaded += 1
                assert same_values(self.model.state_dict(), self.original[0].state_dict()), what
                self._renew()
        for reader in (read_layouts, load_state):
            try:
                reader(self.file)
            except CheckpointError as error:
                self._check_sentence(what, str(error))

    def _check_sentence(self, what: str, message: str) -> None:
        assert message.startswith(f"{self.file}: "), what
        rest = message.removeprefix(str(self.file))
        assert message.endswith("."), (what, message)
        assert "\n" not in message, (what, message)
        assert 20 < len(rest) < 900, (what, message)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    before = _peak()
    yield Victim(tmp_path / "net.safetensors")
    assert _peak() - before < MEMORY


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def whole(victim: Victim) -> bytes:
    model, optimizer = victim.original
    save(model, victim.file, optimizer=optimizer)
    return victim.file.read_bytes()


def run(victim: Victim, cases: Iterable[hostile.Case]) -> int:
    count = 0
    for what, content in cases:
        victim.attack(what, content)
        count += 1
    return count


def test_the_whole_file_loads(victim: Victim) -> None:
    victim.attack("nothing", whole(victim))
    assert victim.loaded == 2


def test_cut_files(victim: Victim) -> None:
    assert run(victim, hostile.cut(whole(victim), 10, seed=0)) > 80
    assert victim.loaded == 0


def test_flipped_bits(victim: Victim) -> None:
    assert run(victim, hostile.flipped(whole(victim), 200, seed=0)) > 190
    assert victim.loaded < 20  # a bit in "format": "pt" does not matter


def test_moved_pieces_and_noise(victim: Victim) -> None:
    assert run(victim, hostile.spliced(whole(victim), 60, seed=0)) == 60
    assert victim.loaded == 0


def test_malformed_files(victim: Victim) -> None:
    assert run(victim, hostile.malformed()) > 90
    assert victim.loaded == 0


def changed(victim: Victim, count: int, seed: int, digest: bool) -> None:
    """Well-formed files whose header says other things; with digest, by someone who can compute it."""
    whole(victim)
    with safe_open(victim.file, framework="pt") as file:
        header = json.loads(file.metadata()["rankfold"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    for what, content in hostile.changed_headers(header, count, seed):
        if digest:
            content = {key: value for key, value in content.items() if key != "version"}
            write_file(victim.file, tensors, content)
        else:
            content["version"] = "rankfold-1"
            save_file(tensors, victim.file, metadata={"rankfold": json.dumps(content)})
        victim.attack(what, victim.file.read_bytes())


@pytest.mark.parametrize("digest", [False, True])
def test_headers_that_say_other_things(victim: Victim, digest: bool) -> None:
    changed(victim, 150, seed=int(digest), digest=digest)


def test_states_that_say_other_things(victim: Victim) -> None:
    save_state(victim.file, {"model": victim.original[0].state_dict(), "epoch": 3, "x": [None, 1.5, "a"]})
    with safe_open(victim.file, framework="pt") as file:
        header = json.loads(file.metadata()["rankfold"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    for what, content in hostile.changed_headers(header, 60, seed=0):
        content["version"] = "rankfold-1"
        save_file(tensors, victim.file, metadata={"rankfold": json.dumps(content)})
        victim.attack(what, victim.file.read_bytes())


def test_one_tensor_cannot_be_asked_for_many_times(victim: Victim) -> None:
    """A thousand copies of a megabyte."""
    node = {"tensor": "0"}
    tensors = {"0": torch.ones(250_000)}
    header = {"tree": {"list": [node] * 1000}}
    write_file(victim.file, tensors, header)
    with pytest.raises(CheckpointError, match="its training state cannot be read"):
        load_state(victim.file)


@pytest.mark.parametrize("case", ["folder", "missing", "null byte", "not allowed", "loop of links"])
def test_paths_that_are_no_files(victim: Victim, tmp_path: Path, case: str) -> None:
    path: str | Path = tmp_path / "x"
    if case == "folder":
        path = tmp_path
    elif case == "null byte":
        path = "a\0b"
    elif case == "loop of links":
        Path(path).symlink_to(path)
    elif case == "not allowed":
        Path(path).write_bytes(whole(victim))
        Path(path).chmod(0)
        try:
            Path(path).open("rb").close()
        except PermissionError:
            pass
        else:
            pytest.skip("this user may read everything")
    with pytest.raises(CheckpointError):
        load(victim.model, path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_many_more(victim: Victim, seed: int) -> None:
    content = whole(victim)
    run(victim, hostile.cut(content, 1000, seed))
    run(victim, hostile.flipped(content, 10_000, seed))
    run(victim, hostile.spliced(content, 3000, seed))
    for digest in (False, True):
        changed(victim, 4000, 10 * seed + digest, digest)
