"""The page of one run: verdict, claim, checks, where it did not hold and what that means, then all numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rankfold.report import markdown_table
from rankfold.studies._checks import Finding, judge, verdict
from rankfold.studies._run import StudyRun
from rankfold.studies._study import Study

__all__ = ["allowed", "card", "held", "summary_of"]

_LISTED = 12  # missing cases that are named; more are counted


def card(study: Study, run: StudyRun, *, figure: bool = True) -> str:
    """A run as a Markdown page; made from its records alone, so that it can be made again.

    Arguments:
        study: the study.
        run: of this study, perhaps partial.
        figure: whether ``figure.svg`` was drawn.

    Returns:
        The page, which shows ``figure.svg`` beside it.
    """
    records = run.records(study)
    findings = judge(study.checks, records)
    parts = [
        f"# {study.title}",
        f"**Verdict: {verdict(findings)}** ({held(findings)}).",
        f"Claim: {study.claim}",
        f"Paper: {study.paper}.",
    ]
    if figure and run.rows:
        parts.append(f"![{study.title}](figure.svg)")
    parts += _what_was_run(run, len(records.cases))
    # The checks of another size have nothing to say here, so they come last.
    rows = [_row(finding) for finding in sorted(findings, key=lambda finding: not finding.part)]
    parts += ["## Checks", markdown_table(rows)]
    parts += ["## Where it did not hold", *_failures(findings)]
    if study.remarks:
        parts += ["## Remarks", "\n".join(f"- {remark}" for remark in study.remarks)]
    tables = [table for table in study.tables(records) if table.rows]
    if tables:
        parts.append("## In numbers")
    for table in tables:
        parts += [f"{table.title}:", markdown_table(table.rows)]
    parts += ["## Parameters", markdown_table(list(_parameters(run.parameters)))]
    return "\n\n".join(parts) + "\n"


def summary_of(study: Study, run: StudyRun) -> dict[str, Any]:
    """A run in one line: name, verdict, checks that held, cases, seconds."""
    findings = judge(study.checks, run.records(study))
    total = len(study.cases(run.parameters))
    return {
        "study": study.name,
        "verdict": verdict(findings),
        "checks": held(findings),
        "cases": f"{len(run.rows)} of {total}",
        "size": run.size,
        "seconds": round(run.seconds, 1),
    }


def held(findings: Sequence[Finding]) -> str:
    """How many checks held, are not decided, and are not part of this size."""
    yes, no = (sum(finding.holds is outcome for finding in findings) for outcome in (True, False))
    other = sum(not finding.part for finding in findings)
    undecided = len(findings) - yes - no - other
    text = f"{yes} of {yes + no} checks hold"
    text += f", {undecided} not decided" if undecided else ""
    return f"{text}, {other} not part of this size" if other else text


def allowed(finding: Finding) -> str:
    """The bounds of a check as they stand in a table."""
    least, most = finding.least, finding.most
    if least is None:
        return f"<= {most:.6g}"
    if most is None:
        return f">= {least:.6g}"
    return f"{least:.6g} to {most:.6g}"


def _row(finding: Finding) -> dict[str, Any]:
    outcomes = {True: "yes", False: "**no**", None: "not decided"}
    return {
        "check": finding.name,
        "what has to hold": finding.statement,
        "measured": finding.value,
        "allowed": allowed(finding),
        "holds": outcomes[finding.holds] if finding.part else "not part of this size",
    }


def _what_was_run(run: StudyRun, total: int) -> Iterator[str]:
    facts = run.facts
    size = f"{run.size} size, {len(run.rows)} of {total} cases, {run.seconds:.0f} s"
    where = ", ".join(f"{name} {value}" for name, value in facts.items())
    yield f"Run: `{run.command}`, {size}." + (f" On {where}." if facts else "")
    if run.missing:
        lines = [f"- {_words(missing.case)}: {missing.reason}" for missing in run.missing[:_LISTED]]
        more = len(run.missing) - _LISTED
        if more > 0:
            lines.append(f"- and {more} more")
        yield "Cases that could not be run here:\n\n" + "\n".join(lines)
    left = total - len(run.rows) - len(run.missing)
    if left:
        yield f"The run was stopped before its end: {left} cases are missing, the same command goes on with them."


def _parameters(values: Mapping[str, Any], above: str = "") -> Iterator[dict[str, str]]:
    """One row per parameter; those inside another have its name before theirs."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _parameters(value, f"{above}{name}: ")
        else:
            yield {"parameter": f"{above}{name}", "value": str(value)}


def _failures(findings: Sequence[Finding]) -> Iterator[str]:
    lines = [
        f"- {finding.name}: {finding.statement}; measured "
        f"{'no finite number' if finding.value is None else f'{finding.value:.4g}'}, allowed {allowed(finding)}."
        for finding in findings
        if finding.holds is False
    ]
    lines += [
        f"- {finding.name}: {finding.statement}; not decided: {finding.reason}."
        for finding in findings
        if finding.holds is None and finding.part
    ]
    yield "\n".join(lines) if lines else "Every check of this size held."


def _words(case: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in case.items())
