"""The allocator setting: what it does where there is glibc, and that it is quiet elsewhere."""

import ctypes
import platform
import subprocess
import sys

import pytest

import rankfold
from rankfold import _allocator

# Page faults of one round of touching 64 MiB of fresh memory, after a first round, without torch for speed.
FAULTS = """
import ctypes, importlib.util, resource, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
spec = importlib.util.spec_from_file_location("allocator", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
before = faults()
back, again = module.tune_cpu_allocator("memory"), faults()
print(before, back, again, module.tune_cpu_allocator(), faults() and faults())
"""


class NotGlibc:
    """A C library with a mallopt and without glibc's version function."""

    @staticmethod
    def mallopt(parameter: int, value: int) -> int:
        raise AssertionError("a mallopt that is not glibc's was called")


class Refusing:
    """An older glibc, which refuses a threshold above its heap size."""

    def __init__(self) -> None:
        self.mallopt = lambda parameter, value: int(parameter == -1)
        self.gnu_get_libc_version = lambda: b"2.31"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_stays_with_the_process_or_goes_back():
    command = [sys.executable, "-c", FAULTS, _allocator.__file__]
    before, back, again, took_effect, after = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    assert took_effect == "True"
    # A block given back is faulted in page by page; one that stayed is not (huge pages would make it 32 faults).
    assert int(before) >= 32
    assert int(after) < 16
    assert back == "True"
    assert int(again) >= 32


def test_an_unknown_preference_is_refused():
    with pytest.raises(rankfold.OptionError, match="'speed' or 'memory', got 'both'"):
        rankfold.tune_cpu_allocator("both")


def test_calling_twice_is_as_calling_once():
    assert rankfold.tune_cpu_allocator() is rankfold.tune_cpu_allocator()


@pytest.mark.parametrize("error", [TypeError, OSError, AttributeError])
def test_no_error_without_a_c_library_to_ask(monkeypatch: pytest.MonkeyPatch, error: type[Exception]):
    def failing(name: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", failing)
    assert rankfold.tune_cpu_allocator() is False


@pytest.mark.parametrize("library", [NotGlibc, Refusing])
def test_false_where_it_took_no_effect(monkeypatch: pytest.MonkeyPatch, library: type):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library())
    assert rankfold.tune_cpu_allocator() is False
