"""The checkpoints of a loop: the last few, the newest whole one, the same numbers after it."""

import math
import os
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import CheckpointError, Checkpoints, OptionError
from rankfold._checkpoint._file import read_file


class Loop:
    """A loop with dropout that draws its samples from all three generators."""

    def __init__(self, folder, keep=3):
        model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Dropout(0.2), nn.Linear(10, 4))
        rf.factorize(model, 3)
        self.model = model
        self.optimizer = rf.TDLRT(model, torch.optim.AdamW, lr=0.01, core_steps=2, tolerance=0.2)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 40)
        self.checkpoints = Checkpoints(folder, keep=keep)
        self.parts = {"optimizer": self.optimizer, "scheduler": self.schedule}
        self.losses = []

    def step(self):
        x = torch.randn(6, 12) + random.gauss(0, 1) * float(np.random.normal())  # noqa: NPY002
        self.optimizer.zero_grad()
        loss = self.model(x).square().mean()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(float(loss.detach()))

    def save(self, step):
        return self.checkpoints.save(self.model, step, extra={"losses": self.losses}, **self.parts)

    def run(self, first, last, every=2):
        for step in range(first, last):
            self.step()
            if (step + 1) % every == 0:
                self.save(step + 1)

    def restore(self):
        return self.checkpoints.restore(self.model, **self.parts)


def seed(number):
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


@pytest.fixture(autouse=True)
def _keep_random_states():
    torch_state, state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    torch.set_rng_state(torch_state)
    random.setstate(state)
    np.random.set_state(numpy_state)  # noqa: NPY002


def new(folder, number=0, **named):
    seed(number)
    return Loop(folder, **named)


def test_the_loop_goes_on_bit_for_bit_and_keeps_the_last_few(tmp_path):
    whole = new(tmp_path / "a")
    whole.run(0, 17)
    cut = new(tmp_path / "deep" / "b", keep=2)
    assert cut.restore() is None
    cut.run(0, 7)
    assert [file.name for file in cut.checkpoints.paths()] == [
        "step-0000000006.safetensors",
        "step-0000000004.safetensors",
    ]
    again = new(tmp_path / "deep" / "b", number=9, keep=2)
    restored = again.restore()
    assert (restored.step, restored.damaged) == (6, ())
    again.losses = restored.extra["losses"]
    again.run(restored.step, 17)
    assert again.losses == whole.losses
    same = zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in same)


def test_generators_in_use_come_back():
    from rankfold._checkpoint._random_state import random_states_of_all, restore_random_states
    from rankfold._collectives import Workers

    seed(5)
    random.gauss(0, 1)  # keeps one in reserve
    np.random.normal()  # noqa: NPY002
    rows = random_states_of_all(Workers(), torch.device("cpu"))

    def drawn():
        return random.gauss(0, 1), random.random(), float(np.random.normal()), float(torch.randn(()))  # noqa: NPY002

    first = drawn()
    restore_random_states(rows, Workers())
    assert drawn() == first


def regions(size):
    """Bytes of the length, of the header, of its end, and of the numbers."""
    generator = np.random.default_rng(0)
    return [0, 3, 7, 8, 9, *generator.integers(8, size, 40).tolist(), size - 1]


def read_anyway(path, content):
    """Whether a changed file can be read; then all of it must be what was written."""
    damaged = path.read_bytes()
    try:
        tensors, header = read_file(path)
    except CheckpointError:
        return False
    path.write_bytes(content)
    whole, whole_header = read_file(path)
    assert header == whole_header
    assert all(torch.equal(tensor, whole[name]) for name, tensor in tensors.items())
    assert sum(one != two for one, two in zip(damaged, content, strict=True)) == 1
    return True


def test_damage_anywhere_gives_way_to_the_checkpoint_before(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 4)
    newest, _ = loop.checkpoints.paths()
    content = newest.read_bytes()
    changed = [
        (f"bit at {at}", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        for at in regions(len(content))
    ]
    cut = [(f"cut at {at}", content[:at]) for at in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1)]
    zeros = [
        (f"zeros from {at}", content[:at] + bytes(len(content) - at)) for at in (0, 4096, len(content) // 2)
    ]
    names = [
        ("other key", content.replace(b'"rankfold":', b'"rankfole":', 1)),
        ("other digest key", content.replace(b'"rankfold-sha256":', b'"rankfold-sha255":', 1)),
        ("longer", content + b"\0"),
    ]
    for what, damaged in (*changed, *cut, *zeros, *names):
        newest.write_bytes(damaged)
        if read_anyway(newest, content):  # a bit of what is not ours, such as the word that names torch
            continue
        newest.write_bytes(damaged)
        with pytest.warns(
            UserWarning, match=r"step-0000000004.safetensors: the file is damaged.*; goes on from"
        ):
            restored = loop.restore()
        assert restored.step == 2, what
        assert "damaged" in restored.damaged[0], what
        assert not newest.exists()
        assert newest.with_name(f"{newest.name}.damaged").read_bytes() == damaged


def test_what_is_no_damage_is_no_reason_for_an_older_checkpoint(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 4)
    newest, older = loop.checkpoints.paths()
    before = older.read_bytes()
    content = newest.read_bytes()
    newest.write_bytes(content.replace(b"rankfold-2", b"rankfold-9", 1))
    state = {name: value.clone() for name, value in loop.model.state_dict().items()}
    with pytest.raises(CheckpointError, match="has format 'rankfold-9'"):
        loop.restore()
    newest.write_bytes(content)
    other = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(CheckpointError, match="build the model that was saved"):
        loop.checkpoints.restore(other)
    rf.save(loop.model, newest)
    with pytest.raises(CheckpointError, match="the file holds no run"):
        loop.checkpoints.restore(loop.model)
    assert older.read_bytes() == before
    assert all(torch.equal(value, state[name]) for name, value in loop.model.state_dict().items())


def test_all_damaged_is_told(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 4)
    for file in loop.checkpoints.paths():
        file.write_bytes(b"nothing")
    with pytest.raises(
        CheckpointError, match=r"all 2 checkpoints are damaged, the newest: .*step-0000000004"
    ):
        loop.restore()
    assert len(loop.checkpoints.paths()) == 2


def test_a_checkpoint_loads_as_a_model(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 2)
    dense = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Dropout(0.2), nn.Linear(10, 4))
    rf.load(dense, loop.checkpoints.paths()[0])
    assert torch.equal(dense[0].core, loop.model[0].core)


def test_a_folder_with_a_later_step_is_not_overwritten(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 4)
    with pytest.raises(CheckpointError, match="holds a later checkpoint"):
        loop.save(1)
    loop.save(4)
    assert len(loop.checkpoints.paths()) == 2


def test_other_files_stay_and_leftovers_go(tmp_path):
    for name in ("notes.txt", "step-1.safetensors", ".step-0000000002.safetensors.x.part"):
        (tmp_path / name).write_text("mine")
    loop = new(tmp_path, keep=1)
    loop.run(0, 6)
    found = sorted(file.name for file in tmp_path.iterdir())
    assert found == ["notes.txt", "step-0000000006.safetensors", "step-1.safetensors"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda loop: Checkpoints(3), "the path is a int"),
        (lambda loop: Checkpoints("x", keep=0), "keep must be a whole number of 1 or more"),
        (lambda loop: Checkpoints("x", group="all"), "a process group is asked for, got 'all'"),
        (lambda loop: loop.checkpoints.save("net", 1), "model is a str"),
        (lambda loop: loop.checkpoints.save(loop.model, -1), "step must be a whole number of 0 or more"),
        (lambda loop: loop.checkpoints.save(loop.model, math.nan), "step must be a whole number"),
        (lambda loop: loop.checkpoints.restore(None), "model is a NoneType"),
        (lambda loop: rf.save("net.safetensors", loop.model), "save: model is a str"),
        (lambda loop: rf.load("net.safetensors", loop.model), "load: model is a str"),
        (lambda loop: rf.save(loop.model, loop.model), "save: the path is a Sequential"),
    ],
)
def test_wrong_arguments(tmp_path, call, words):
    with pytest.raises(OptionError, match=words):
        call(new(tmp_path))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    loop = new(tmp_path / "file")
    with pytest.raises(CheckpointError, match="cannot be read as a folder"):
        loop.save(1)
    loop = new(tmp_path / "file" / "deep")
    with pytest.raises(CheckpointError, match="Not a directory"):
        loop.save(1)


def test_extra_of_another_kind_writes_nothing(tmp_path):
    loop = new(tmp_path)
    with pytest.raises(CheckpointError, match="holds an object of type object"):
        loop.checkpoints.save(loop.model, 1, extra=object())
    assert loop.checkpoints.paths() == []


def test_nothing_is_said_where_nothing_is_damaged(tmp_path):
    loop = new(tmp_path)
    loop.run(0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loop.restore().step == 2
    assert os.listdir(tmp_path) == ["step-0000000002.safetensors"]  # noqa: PTH208
