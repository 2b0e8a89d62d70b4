"""Nothing in the package runs what is in a file: no pickle, no evaluation, and imports in known places only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rankfold

SOURCE = Path(rankfold.__file__).parent

MODULES = {
    "pickle", "_pickle", "cPickle", "pickletools", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml",
    "subprocess", "runpy", "code", "ctypes", "xml",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "torch.hub.load", "torch.export.load",
    "importlib.import_module", "import_module", "os.system", "os.popen", "io.loadmat", "loadmat", "np.load",
    "numpy.load", "np.fromfile", "np.loadtxt", "np.genfromtxt", "onnx.load", "pd.read_pickle",
}  # fmt: skip

# Where, and why that harms nobody.
ALLOWED = {
    ("__init__.py", "importlib.import_module"): "public names, out of a table of this package",
    ("_allocator.py", "ctypes"): "mallopt of the C library",
    ("cli/_model_source.py", "importlib.import_module"): "--model, to run code of the user",
    ("export/_onnx_runtime.py", "importlib.import_module"): "names of three packages",
    ("integrations/__init__.py", "importlib.import_module"): "public names, out of a table of this package",
    (
        "export/_program.py",
        "torch.export.load",
    ): "the file that was just written, to see whether it computes alike",
    ("data/_numpy_files.py", "np.load"): "with allow_pickle=False, after its header was read here",
    ("data/_cifar.py", "np.load"): "with allow_pickle=False, after its headers were read here",
    ("data/_cifar.py", "np.fromfile"): "bytes",
    ("data/_tns.py", "np.loadtxt"): "lines of numbers",
    ("testing/_format_contract.py", "pickle"): "copies of values of its own",
    ("testing/_layer_contract.py", "pickle"): "copies of layers of its own",
}

# What a file must have in it to be worth the time of a syntax tree.
WORDS = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, MODULES | CALLS))})\b")


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], node) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], node
        elif isinstance(node, ast.Call):
            yield dotted(node.func), node


def test_what_could_run_a_file_is_used_in_known_places_only() -> None:
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if not WORDS.search(text):
            continue
        for name, node in uses(ast.parse(text)):
            if name in MODULES | CALLS:
                found.setdefault((file.relative_to(SOURCE).as_posix(), name), []).append(node)
    assert set(found) == set(ALLOWED)
    for (_, name), nodes in found.items():
        if name == "np.load":
            for node in nodes:
                assert isinstance(node, ast.Call)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given["allow_pickle"] == "False"


def test_no_word_lets_a_pickle_in() -> None:
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "allow_pickle=True" not in text, file
        assert "weights_only=False" not in text, file
        assert "verify=False" not in text, file
        assert "_create_unverified_context" not in text, file


def test_the_test_sees_what_it_looks_for() -> None:
    text = (
        "import pickle as p\nfrom joblib import load\ntorch.load(x)\nnp.load(f, allow_pickle=True)\neval('1')"
    )
    names = {name for name, _ in uses(ast.parse(text))}
    assert {"pickle", "joblib", "torch.load", "np.load", "eval"} <= names
