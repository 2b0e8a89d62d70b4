"""Write the good files that the damage begins with: ``python -m benchmarks.fuzz.seeds``."""

import gzip
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import io as matlab
from scipy import sparse

import rankfold
from benchmarks.fuzz._reader import CORPUS, folder_of
from benchmarks.fuzz._readers_models import Net, adapted, trained
from rankfold import CP, TT, TTMatrix, Tucker, adapters
from rankfold._checkpoint import save_state
from rankfold.cli import main as rankfold_command
from rankfold.data._cifar import TEST_FILES, TRAIN_FILES
from rankfold.models import build_model

__all__ = ["main"]

_SEEDS, _BESIDE = CORPUS / "seeds", CORPUS / "beside"
_PACKAGE = Path(__file__).parents[2]


def _place(reader: str, name: str, *, beside: bool = False) -> Path:
    folder = (_BESIDE if beside else _SEEDS) / folder_of(reader)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def models() -> None:
    """Checkpoints, states, decompositions, adapters."""
    model, optimizer = trained(seed=0, rank=3)
    rankfold.save(model, _place("checkpoint", "tucker"))
    rankfold.save(model, _place("checkpoint with optimiser", "tucker"), optimizer=optimizer)
    rankfold.save(model, _place("inspected file", "tucker"), optimizer=optimizer)
    matrices = Net()
    rankfold.factorize(matrices, 2, format="tt_matrix", include=["first", "second"])
    rankfold.save(matrices, _place("checkpoint", "tt_matrix"))
    save_file(
        {name: value.clone() for name, value in Net().state_dict().items()}, _place("checkpoint", "plain")
    )
    state = {
        "model": model.state_dict(),
        "epoch": 3,
        "x": [None, 1.5, "a", True],
        "layouts": {"conv": {"ranks": [2, 3]}},
    }
    save_state(_place("training state", "state"), state)
    shutil.copy(_place("checkpoint", "tucker"), _place("training state", "model"))
    shutil.copy(_place("training state", "state"), _place("inspected file", "state"))
    a, b, c = (torch.randn(size, 2) for size in (3, 4, 2))
    parts = {
        "cp": CP(torch.ones(2), (a, b, c)),
        "tucker": Tucker(torch.randn(2, 2, 2), (a, b, None)),
        "tt": TT((torch.randn(1, 3, 2), torch.randn(2, 4, 2), torch.randn(2, 2, 1))),
        "tt_matrix": TTMatrix((torch.randn(1, 2, 3, 2), torch.randn(2, 3, 2, 1))),
    }
    for name, tensor in parts.items():
        rankfold.save_decomposition(tensor, _place("decomposition", name))
    sizes = (adapters.LowRank(2), adapters.Rotations(2), adapters.Reflections(2), adapters.StackedCUR(2))
    for adapter in sizes:
        network, name = adapted(), adapter.name
        adapters.attach(network, adapter)
        adapters.save_adapter(network, _place("adapter", name))
    network = adapted()
    adapters.attach(network, 2)
    with tempfile.TemporaryDirectory() as folder:
        adapters.save_peft(network, folder)
        config, tensors = Path(folder, "adapter_config.json"), Path(folder, "adapter_model.safetensors")
        content = json.loads(config.read_text())
        content |= {
            "alpha_pattern": {"^0": 2, "layers\\.\\d+\\.q": 4},
            "use_rslora": False,
            "use_dora": False,
        }
        _place("PEFT configuration", "lora").write_text(json.dumps(content))
        _place("PEFT configuration", tensors.name, beside=True).write_bytes(tensors.read_bytes())
        _place("PEFT tensors", "lora").write_bytes(tensors.read_bytes())
        _place("PEFT tensors", config.name, beside=True).write_bytes(config.read_bytes())


def data() -> None:
    """Data sets and tensors in files."""
    rng = np.random.default_rng(0)
    images = b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (3, 4, 5)) + rng.bytes(60)
    _place("IDX", "images").write_bytes(images)
    _place("IDX, gzipped", "images").write_bytes(gzip.compress(images, mtime=0))
    cube = rng.normal(size=(2, 3, 4))
    for name, array in {
        "float64": cube,
        "int8": cube.astype("i1"),
        "fortran": np.asfortranarray(cube),
    }.items():
        np.save(_place(".npy", name).with_suffix(".npy"), array)
        _place(".npy", name + ".npy").rename(_place(".npy", name))
    _place(".npz", "x").write_bytes(_archive(x=cube))
    _place(".npz", "one of two").write_bytes(_archive(x=cube.astype("f4")))
    for name, values in {
        "dense": cube,
        "sparse": sparse.coo_matrix(([2.0, 3.0], ([0, 3], [1, 0])), shape=(4, 2)),
    }.items():
        for packed in (False, True):
            matlab.savemat(
                _place(".mat", f"{name} {packed}"), {"x": values}, appendmat=False, do_compression=packed
            )
    matlab.savemat(_place(".mat", "version 4"), {"x": cube[0]}, appendmat=False, format="4")
    _still(_SEEDS / folder_of(".mat"))
    _place(".csv", "table").write_text('height,"width, cm",depth\n1,,3\n 4 ,5e1,nan\n\n7,8,9\n')
    _place(".csv", "numbers").write_text("1,2\n3,4\n")
    text = "# five entries\n\n1 1 1 5\n2\t3 4 -1.5 # the last\n1 1 1 2\n  2 1 1 0.25\n1 2 1 1e2"
    _place(".tns", "entries").write_text(text)
    _place(".tns.gz", "entries").write_bytes(gzip.compress(text.encode(), mtime=0))
    save_file({"x": torch.from_numpy(cube)}, _place(".safetensors", "float64"))
    save_file({"x": torch.from_numpy(cube).bfloat16()}, _place(".safetensors", "bfloat16"))
    _place("CIFAR-10 binary", "two").write_bytes(rng.bytes(2 * 3073))
    pixels, labels = rng.integers(0, 256, (1, 3, 32, 32), "u1"), np.array([3])
    pixels[:, :, 4:] = 0
    _place("CIFAR-10 .npz", "one").write_bytes(
        _archive(x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in (*TRAIN_FILES, *TEST_FILES, "readme.html"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 10
            archive.addfile(member, io.BytesIO(b"0123456789"))
    _place("CIFAR-10 archive", "small").write_bytes(gzip.compress(out.getvalue(), mtime=0))


def _archive(**arrays: np.ndarray) -> bytes:
    """An archive of arrays without the time of its making."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _still(folder: Path) -> None:
    """Take the time of writing out of the texts of MATLAB 5 files."""
    for file in folder.iterdir():
        content = file.read_bytes()
        if content.startswith(b"MATLAB"):
            file.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + content[116:])


def records() -> None:
    """What commands leave."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        words = [
            "--model",
            "mlp",
            "--rank",
            "1",
            "--epochs",
            "2",
            "--batch-size",
            "700",
            "--threads",
            "1",
            "--device",
            "cpu",
        ]
        _run("train", *words, "--core-steps", "2", "--diagnose", "--out", f"{place}/run")
        (folder / "run" / "failure.json").write_text(
            '{"epoch": 1, "kind": "NonFiniteError", "sentence": "It stopped."}'
        )
        files = (
            "config.json",
            "metrics.jsonl",
            "ranks.jsonl",
            "diagnostics.jsonl",
            "times.json",
            "failure.json",
        )
        for name in files:
            content = (folder / "run" / name).read_text().replace(place, "runs")
            content = "".join(content.splitlines(keepends=True)[:6]) if name.endswith("jsonl") else content
            _place(f"run: {name}", "seed").write_text(content)
            for other in (*files, "model.safetensors"):
                if other != name:
                    _place(f"run: {other}", name, beside=True).write_text(content)
        shutil.rmtree(_BESIDE / folder_of("run: config.json"))
        _place("run: model.safetensors", "seed").write_bytes(
            (folder / "run" / "model.safetensors").read_bytes()
        )
        _place("diagnostics.jsonl", "seed").write_bytes(_place("run: diagnostics.jsonl", "seed").read_bytes())
        a, b, c = np.random.default_rng(0).normal(size=(3, 5, 2))
        np.save(folder / "cube.npy", np.einsum("ir,jr,kr->ijk", a, b, c))
        cube = [f"{place}/cube.npy", "--threads", "1", "--device", "cpu"]
        _run("decompose", *cube, "--rank", "2", "--out", f"{place}/cp")
        summary = (folder / "cp" / "summary.json").read_text().replace(place, "data")
        _place("decomposition: summary.json", "cp").write_text(summary)
        factors = (folder / "cp" / "factors.safetensors").read_bytes()
        _place("decomposition: summary.json", "factors.safetensors", beside=True).write_bytes(factors)
        bench = [
            "linear",
            "32",
            "24",
            "--batch",
            "2",
            "--ranks",
            "4",
            "8",
            "--threads",
            "1",
            "--device",
            "cpu",
        ]
        _run("bench-layer", *bench, "--json", f"{place}/layer.json")
        _place("figures of bench-layer", "linear").write_text((folder / "layer.json").read_text())
        weights = [
            "--model",
            "mlp",
            "--threads",
            "1",
            "--device",
            "cpu",
            "--policy",
            "fraction share=0.02",
            "--latency-batch",
            "2",
        ]
        rankfold.save(build_model("mlp"), f"{place}/net.safetensors")
        _run("compress", f"{place}/net.safetensors", *weights, "--output", f"{place}/small.safetensors")
        record = next(folder.glob("*.compression.json")).read_text().replace(place, "nets")
        _place("compression record", "mlp").write_text(record)
    study = _PACKAGE / "docs" / "studies" / "bad-minimum"
    for reader in ("study.json", "study to go on with"):
        _place(reader, "bad-minimum").write_bytes((study / "study.json").read_bytes())
    _place("figure of a study", "plain").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>"
    )
    _place("figure of a study", "study.json", beside=True).write_bytes((study / "study.json").read_bytes())
    machine = {"cpu": {"flops": 2e11, "bandwidth": 1e10, "overhead": 1e-5}}
    _place("speeds of the machine", "cpu").write_text(json.dumps(machine))
    for name, words in {
        "budget": "policy\nbudget params=0.2",
        "tolerance": "policy\ntolerance relative=0.1",
        "shape": "shape\n3x32x32 int64:16",
    }.items():
        _place("words of policies and shapes", name).write_text(words)


def _run(*words: str) -> None:
    code = rankfold_command(list(words))
    if code:
        raise SystemExit(f"rankfold {words[0]} ended with {code}")


def main() -> None:
    """Write all seeds anew; findings are kept."""
    torch.manual_seed(0)
    for folder in (_SEEDS, _BESIDE):
        shutil.rmtree(folder, ignore_errors=True)
    models()
    data()
    records()
    size = sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file())
    print(f"{size:,} bytes")


if __name__ == "__main__":
    main()
