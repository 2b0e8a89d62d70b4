"""Pages for the tests, and a reader of what they became."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from math import exp, nan, sin

from rankfold.report import LayerBench, RankBench
from rankfold.report.page import (
    BarChart,
    BenchRecord,
    Code,
    Fact,
    Group,
    HeatMap,
    Items,
    LayerRecord,
    Line,
    LineChart,
    Mark,
    ModeSpectrum,
    Page,
    Picture,
    Quantity,
    RankChange,
    Section,
    StudyCheck,
    StudyRecord,
    StudyTable,
    Table,
    Text,
    TrainingRecord,
)

VOID = {"meta", "link", "br", "img", "input", "hr"}

HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"'><img src=x onerror=\"document.title='owned'\">",
    "</title></svg></style><b>&amp;&lt;",
    "layer" * 80,
    "סדר.שכבה",
    "conv\u202e1gnihton\u2066",
    "nul\x00 bell\x07 lone\ud800",
    "{{ 7 * 7 }}{% raw %}",
    "模型·層·🙂",
    "",
    "]]></script><!--",
)


@dataclass(eq=False)
class Node:
    tag: str
    attributes: dict[str, str | None]
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    def all(self, *tags):
        for child in self.children:
            if child.tag in tags or not tags:
                yield child
            yield from child.all(*tags)

    def one(self, tag):
        return next(self.all(tag))

    @property
    def text(self):
        return "".join(part if isinstance(part, str) else part.text for part in self.own)

    def get(self, name):
        return self.attributes.get(name)


class _Reader(HTMLParser):
    """A tree; every end tag must fit, and every attribute come once."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.at = Node("", {})

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        node = Node(tag, dict(attrs), self.at)
        self.at.children.append(node)
        self.at.own.append(node)
        if tag not in VOID:
            self.at = node

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.at = self.at.parent

    def handle_endtag(self, tag):
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.own.append(data)


def parsed(text):
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.at is reader.root
    return reader.root


def shape(node):
    """The tags and names of attributes below a node, without any text; a command is text."""
    inside = [] if node.tag == "code" else node.children
    return [(child.tag, sorted(child.attributes), shape(child)) for child in inside]


def every_block(name="conv1", other="linear"):
    """A page with all kinds of blocks, in which outside names stand wherever they can."""
    x = tuple(float(at) for at in range(12))
    lines = LineChart(
        title=name,
        description=f"About {name}.",
        x_label=name,
        y_label=name,
        x=x,
        lines=(
            Line(name, tuple(exp(-at) if at != 4 else nan for at in range(12))),
            Line(other, tuple(at / 11 if at % 3 else None for at in range(12))),
        ),
        y_log=True,
        marks=(Mark(3.0, name), Mark(5.0, other, 1)),
    )
    steps = LineChart(
        title="Ranks",
        description="Held until the next.",
        x_label="step",
        y_label="rank",
        x=tuple(10.0 * at for at in range(60)),
        lines=(Line("mode 0", tuple(float(60 - at) for at in range(60))),),
        steps=True,
    )
    bars = BarChart(
        title="Parameters",
        description=f"Of {name}.",
        label="layer",
        value_label="parameters",
        names=(name, other, "third"),
        bars=(Line("dense", (100.0, 50.0, None)), Line(name, (10.0, -5.0, 0.0))),
    )
    heat = HeatMap(
        title="Ranks over time",
        description="Shares.",
        row_label="layer",
        column_label="step",
        value_label="share",
        rows=(name, other),
        columns=(0.0, 10.0, 20.0),
        values=((0.1, 0.5, None), (1.0, nan, 0.25)),
    )
    table = Table(
        caption=f"Layers of {name}",
        columns=("layer", "kind", "parameters", "share"),
        rows=(
            (name, "Conv2d", 10, Quantity(0.1, "10 %")),
            (other, name, 9, Quantity(0.7, "70 %")),
            ("third", "Linear", None, Quantity(None, "-")),
            ("fourth", "Linear", 100, Quantity(0.05, "5 %")),
        ),
        note=f"Note on {name}.",
    )
    picture = Picture(
        title=name,
        description=other,
        svg=f"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='40'><text y='20'>{name}</text></svg>",
    )
    return Page(
        title=name,
        subtitle=other,
        facts=(Fact(name="accuracy", value="97 %", twin="98 %", note=name), Fact(name=name, value="1")),
        twin=f"the dense run {name}",
        sections=(
            Section("Did it work?", (Text(name), Text(other, warning=True), lines, steps)),
            Section(name, (table, bars, heat, picture, Group(summary=name, blocks=(lines, Text("inside"))))),
            Section("What next?", (Items((name, other)), Code(f"rankfold train {name}", other))),
        ),
        about={name: other},
    )


def training_record(
    name="low",
    *,
    layers=2,
    records=3,
    modes=2,
    dense=False,
    epochs=3,
    accuracy=0.95,
    full=(40, 30, 3, 3),
    prefix="blocks",
    **settings,
):
    """A run as plain data, of any size."""
    shapes = full[:modes]
    changes, found = {}, []
    steps = tuple(
        RankChange(
            step=10 * (at + 1),
            before=tuple(max(1, size - at) for size in shapes),
            ranks=tuple(max(1, size - at % size - 1 + at * mode % 7) for mode, size in enumerate(shapes)),
            error=0.1 + 0.01 * sin(at),
            capped=False,
        )
        for at in range(records)
    )
    for number in range(layers):
        layer = f"{prefix}.{number}.conv"
        whole = 1
        for size in shapes:
            whole *= size
        spectra = tuple(
            ModeSpectrum(mode=mode, size=size, values=tuple(exp(-at / 5) for at in range(size // 2)))
            for mode, size in enumerate(shapes)
        )
        if not dense:
            changes[layer] = steps
        found.append(
            LayerRecord(
                name=layer,
                kind="Conv2d",
                shape=shapes,
                modes=() if dense else tuple(range(modes)),
                ranks=None if dense else tuple(max(1, size // 2) for size in shapes),
                parameters_dense=whole,
                parameters=whole if dense else whole // 4,
                flops_dense=100 * whole,
                flops=100 * whole if dense else 30 * whole,
                spectra=spectra,
            )
        )
    metrics = tuple(
        {
            "epoch": epoch,
            "train_loss": (1 + 0.3 * sin(epoch)) / epoch,
            "train_accuracy": accuracy,
            "test_loss": 1.1 / epoch,
            "test_accuracy": accuracy,
            "learning_rate": 0.1,
            "seconds": 2.0,
            "parameters": sum(layer.parameters for layer in found) + 10,
            "compression": 0.5,
        }
        for epoch in range(1, epochs + 1)
    )
    usual = {"model": "lenet5", "data": "digits", "tolerance": 0.1, "epochs": epochs, "dense": dense}
    usual["learning_rate"] = 0.1
    return TrainingRecord(
        name=name,
        settings={**usual, **settings},
        metrics=metrics,
        changes=changes,
        layers=tuple(found),
        versions={"rankfold": "1.0"},
        command="rankfold train",
    )


def study_record(name="small", *, word="plain", **changes):
    """A run of a study as plain data; a word stands wherever words come from outside."""
    checks = (
        StudyCheck(name="yes", statement=f"{word} holds", allowed="<= 2", value=1.5, holds=True),
        StudyCheck(
            name="later", statement=word, allowed=">= 1", value=None, holds=None, reason=f"not run {word}"
        ),
        StudyCheck(
            name=f"no {word}", statement="the square of 1 is 2", allowed=">= 2", value=1.0, holds=False
        ),
        StudyCheck(
            name="other", statement="s", allowed="<= 1", value=None, holds=None, reason="-", part=False
        ),
        StudyCheck(
            name="nan", statement="is finite", allowed="<= 1", value=None, holds=False, reason="not finite"
        ),
    )
    tables = (
        StudyTable(title=f"Squares {word}", columns=("n", word), rows=((0, 0.0), (2, word), (1, None))),
        StudyTable(
            title="Errors",
            columns=("step", "ours", "theirs"),
            rows=((0.1, 1e-2, 0.5), (0.001, 1e-8, None), (0.01, 1e-5, 0.4)),
            drawn=True,
        ),
    )
    usual = {
        "study": "small",
        "title": f"Squares grow {word}",
        "claim": f"Squares grow {word}.",
        "paper": f"Euclid 300 BC {word}",
        "verdict": "holds in part",
        "held": "1 of 3 checks hold, 1 not decided, 1 not part of this size",
        "size": "quick",
        "parameters": {"seed": 0, "counts": [1, 2], "inner": {"rate": word}},
        "cases": 6,
        "done": 3,
        "missing": ((f"n 7, {word}", f"numbers: {word} is not here; bring it."),),
        "seconds": 6.0,
        "facts": {"rankfold": "1.0", "machine": word},
        "checks": checks,
        "remarks": (f"Nothing {word} to add.",),
        "tables": tables,
        "figure": f"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='40'><text>{word}</text></svg>",
        "command": f"rankfold study small {word}",
    }
    return StudyRecord(name=name, **{**usual, **changes})


def bench_record(
    name="layer.json",
    *,
    speedups=(4.0, 1.1, 0.5),
    ranks=(2, 4, 6),
    training=False,
    title="Linear 8 to 8, input 4x8, forward, 1 thread",
    versions=None,
    **settings,
):
    """A timed layer as plain data."""
    folded = (0.0005, 0.0018, 0.0025)
    rows = tuple(
        RankBench(
            rank=rank,
            factorized=0.001 * (at + 1),
            folded=folded[at],
            flop_ratio=4 / (at + 2),
            speedup=speedups[at],
        )
        for at, rank in enumerate(ranks)
    )
    return BenchRecord(
        name=name,
        bench=LayerBench(title=title, dense=0.002, ranks=rows),
        settings={"kind": "linear", "batch": 4, "threads": 1, "training": training, **settings},
        versions=versions or {"torch": "2"},
        command="rankfold bench-layer linear 8 8 --batch 4" + (" --training" if training else ""),
    )
