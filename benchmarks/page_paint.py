"""How soon a browser shows the page of a large training run, how large it is, and how long it takes to make."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.report.page.browser import open_page, start

from benchmarks._large_run import LAYERS, RECORDS, write_large_run
from benchmarks._results import write_result
from benchmarks._setup import prepare

REPEATS = 7
# As the command line does it, in a process that knows the network of the run.
REPORT = (
    "import sys; from benchmarks._large_run import LARGE_MODEL; from rankfold.models import MODELS; "
    "MODELS.add(LARGE_MODEL); from rankfold.cli import main; sys.exit(main(sys.argv[1:]))"
)
# The entries of the Paint Timing specification; the last one is waited for.
PAINTS = """
const done = arguments[0];
new PerformanceObserver((list, observer) => {
  const paints = performance.getEntriesByType('paint');
  if (!paints.some(paint => paint.name === 'first-contentful-paint')) return;
  observer.disconnect();
  const found = Object.fromEntries(paints.map(paint => [paint.name, paint.startTime]));
  const wait = () => {
    const complete = performance.getEntriesByType('navigation')[0].loadEventEnd;
    complete ? done({...found, complete}) : setTimeout(wait, 10);
  };
  wait();
}).observe({type: 'paint', buffered: true});
"""
SHOWN = {
    "first-paint": "first paint",
    "first-contentful-paint": "first contentful paint",
    "complete": "complete",
}
NOTE = (
    f"The page of a run with {LAYERS} layers, {RECORDS:,} epochs and {RECORDS:,} changes of rank, opened from disk in "
    f"headless Chromium, {REPEATS} times in a new tab each. Times are wall time from the start of the navigation; "
    "complete is when the page is parsed, styled and its script has run. rankfold report is a fresh process with one "
    "thread, import included; its CPU time."
)


def main() -> None:
    """Print and write the medians."""
    facts = {**prepare(1), "clock": "wall; rankfold report: CPU time"}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_large_run(run)
        seconds = _report_seconds(run)
        page = run / "report.html"
        megabytes = page.stat().st_size / 1e6
        paints = _paints(page, Path(folder) / "profile")
    rows = [
        {"what": f"{words}, ms", "median": round(median(times), 1), "largest": round(max(times), 1)}
        for name, words in SHOWN.items()
        for times in [[paint[name] for paint in paints]]
    ]
    rows += [
        {"what": "size of the page, MB", "median": round(megabytes, 3), "largest": None},
        {
            "what": "rankfold report, s",
            "median": round(median(seconds), 2),
            "largest": round(max(seconds), 2),
        },
    ]
    for row in rows:
        print(f"{row['what']}: {row['median']:.4g}")
    result = {
        "title": "Page of a large run",
        "note": NOTE,
        **facts,
        "definitions": {
            "first paint of a large page": {
                "measured": round(rows[1]["median"] / 1000, 3),
                "target": "≤ 1",
                "unit": "s",
            },
            "size of a large page": {"measured": round(megabytes, 3), "target": "≤ 2", "unit": "MB"},
        },
        "rows": rows,
        "rounds": REPEATS,
    }
    write_result("page_paint", result)


def _report_seconds(run: Path) -> list[float]:
    """CPU time of ``rankfold report``, three times."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", REPORT, "report", str(run)], check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return times


def _paints(page: Path, profile: Path) -> list[dict[str, float]]:
    """Milliseconds to the first paints of each visit."""
    driver = start(profile)
    try:
        found = []
        for _ in range(REPEATS):
            driver.switch_to.new_window("tab")
            open_page(driver, page)
            found.append(driver.execute_async_script(PAINTS))
            time.sleep(0.2)  # what one visit leaves to be done is not counted to the next
        return found
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
