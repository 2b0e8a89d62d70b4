"""A study of a few numbers, for tests of the frame."""

from matplotlib.figure import Figure

from rankfold import DataError
from rankfold.studies import Check, Records, Study, Table


def cases(parameters):
    return [{"n": n, "seed": parameters["seed"]} for n in range(parameters["count"])]


def run(case, setting):
    setting.progress(f"n = {case['n']}")
    if case["n"] in (7, 8):
        raise DataError(f"numbers: {case['n']} is not here; bring it.")
    return {"square": case["n"] ** 2 + case["seed"]}


def plot(records: Records, figure: Figure) -> None:
    axes = figure.subplots()
    rows = records.found()
    axes.plot([row["n"] for row in rows], [row["square"] for row in rows], label="squares")
    axes.set(xlabel="n", ylabel="square")
    axes.legend()


SMALL = Study(
    name="small",
    title="Squares grow",
    claim="Squares grow.",
    paper="Euclid 300 BC, Elements",
    quick={"seed": 0, "count": 3},
    full={"seed": 0, "count": 10},
    cases=cases,
    run=run,
    checks=(
        Check(
            name="S1",
            statement="the square of 2 is 4",
            measure=lambda r: r.where(n=2)[0]["square"],
            least=4,
            most=4,
        ),
        Check(
            name="S2", statement="the square of 1 is 2", measure=lambda r: r.where(n=1)[0]["square"], least=2
        ),
        Check(
            name="S3", statement="the square of 7 is 49", measure=lambda r: r.where(n=7)[0]["square"], most=49
        ),
    ),
    tables=lambda records: [
        Table("Squares", [dict(row) for row in records.found()]),
        Table(
            "Their growth", [{"n": row["n"], "square": row["square"]} for row in records.found()], drawn=True
        ),
    ],
    plot=plot,
    remarks=("Nothing to add.",),
)
