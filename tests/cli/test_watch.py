"""``rankfold train --watch``: the page follows the training, and the training does not notice."""

import json
import signal

import pytest
from tests.cli.test_resume import LENET, assert_same_run
from tests.report.page.pages import parsed

from rankfold._errors import CheckpointError
from rankfold.cli import _run_page, main
from rankfold.cli._run_page import RunPage


@pytest.fixture
def pages(monkeypatch):
    """The state of every page that is written while a run goes on, with a page after each epoch."""
    states, write = [], _run_page.write_page

    def noted(page, path):
        states.append(page.live.state.partition(", updated at ")[0])
        return write(page, path)

    monkeypatch.setattr(_run_page, "write_page", noted)
    monkeypatch.setattr(_run_page, "_LEAST", 0.0)
    monkeypatch.setattr(_run_page, "_SHARE", 0.0)
    return states


def page_of(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    return parsed(text), "location.reload" in text


def warnings_of(tree):
    return [node.text for node in tree.all("p") if node.get("class") == "warning"]


@pytest.mark.parametrize("words", [[*LENET, "--core-steps", "4"], ["--core-steps", "1"]], ids=" ".join)
def test_the_run_is_the_same_bit_for_bit(train, small, tmp_path, pages, words):
    words = [*small, *words]
    assert train(*words, folder="a") == 0
    assert train(*words, "--watch", "--tensorboard", folder="b") == 0
    assert pages == ["training, epoch 1 of 2", "training, epoch 2 of 2"]
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_the_page_follows_and_the_last_one_stays(train, small, tmp_path, pages, capsys):
    assert train(*small, "--watch", folder="run") == 0
    assert capsys.readouterr().out.startswith(
        "run folder: run\npage, which follows the training: run/report.html\nmlp on digits"
    )
    tree, reloads = page_of(tmp_path / "run")
    assert not reloads
    assert "2 of 2 epochs, complete" in tree.text


def test_every_epoch_is_on_the_page_before_the_next(train, small, tmp_path, pages, monkeypatch):
    seen, refresh = [], RunPage.refresh

    def looked_at(self):
        refresh(self)
        tree, reloads = page_of(tmp_path / "run")
        seen.append((reloads, tree.one("header").one("p").text))

    monkeypatch.setattr(RunPage, "refresh", looked_at)
    assert train(*small, "--watch", folder="run") == 0
    assert seen == [
        (True, f"run: Tucker form, tolerance 0.14, {done} of 2 epochs, training") for done in (0, 1)
    ]


def test_an_interrupted_run_ends_its_page_and_goes_on(train, small, tmp_path, pages, capsys):
    assert train(*small, "--watch", folder="run", stop_after=14) == 130
    assert capsys.readouterr().err.endswith("go on with: rankfold train --resume run --watch\n")
    tree, reloads = page_of(tmp_path / "run")
    assert not reloads
    assert warnings_of(tree) == ["run: not complete, 1 of 2 epochs."]
    assert "go on with: rankfold train --resume run" in tree.text
    assert train("--resume", "run", "--watch") == 0
    assert pages == ["training, epoch 1 of 2", "training, epoch 2 of 2", "training, epoch 2 of 2"]
    assert "page, which follows the training: run/report.html" in capsys.readouterr().out


def test_a_run_that_fails_says_so_on_its_page(train, small, tmp_path, capsys):
    assert train(*small, "--learning-rate", "1e30", "--watch", folder="run") == 2
    sentence = capsys.readouterr().err.removeprefix("rankfold: ").strip()
    record = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert record == {"epoch": 1, "kind": "NonFiniteError", "sentence": sentence}
    for _ in range(2):  # as it was left, and as it is made again
        tree, reloads = page_of(tmp_path / "run")
        assert not reloads
        (warning,) = warnings_of(tree)
        assert warning.startswith("run: the training failed in epoch 1: TDLRT: ")
        assert "with --learning-rate 0.1 instead of 1e+30" in tree.text
        assert "--resume" not in tree.text
        assert main(["report", "run"]) == 0


def test_a_failure_that_is_no_divergence_can_be_taken_up(train, small, tmp_path, monkeypatch, capsys):
    from rankfold.cli._training_run import TrainingRun

    end_epoch = TrainingRun.end_epoch

    def full(self, metrics):
        end_epoch(self, metrics)
        raise CheckpointError("No space left on <device>.")

    monkeypatch.setattr(TrainingRun, "end_epoch", full)
    assert train(*small, folder="run") == 2
    tree, _ = page_of(tmp_path / "run")
    assert warnings_of(tree) == ["run: the training failed in epoch 2: No space left on <device>."]
    assert "go on with: rankfold train --resume run" in tree.text
    monkeypatch.setattr(TrainingRun, "end_epoch", end_epoch)
    assert train("--resume", "run") == 0
    assert not (tmp_path / "run" / "failure.json").exists()
    assert "failed" not in page_of(tmp_path / "run")[0].one("main").text


def test_an_abort_ends_the_page(train, small, tmp_path, monkeypatch):
    from rankfold.cli import _train

    def abort(*positional, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "_train", abort)
    assert train(*small, "--watch", folder="run") == 130
    assert page_of(tmp_path / "run")[1] is False


@pytest.mark.parametrize(
    "failure", [CheckpointError("reasons."), ValueError("reasons"), MemoryError("reasons")]
)
def test_a_page_that_cannot_be_made_is_told_once(train, small, tmp_path, pages, failure, monkeypatch, capsys):
    def fail(*positional):
        raise failure

    monkeypatch.setattr(_run_page, "training_page", fail)
    monkeypatch.setattr(_run_page, "leave_page", fail)
    assert train(*small, "--watch", folder="run") == 0
    out = capsys.readouterr().out
    assert out.count("no page: ") == 1
    assert "reasons." in out
    assert "which follows" not in out
    assert not (tmp_path / "run" / "report.html").exists()


def test_pages_take_no_more_than_their_share_of_the_time(monkeypatch):
    now, written = [0.0], []

    def page_of_a_second(self, seconds):
        written.append((now[0], seconds))
        now[0] += 1.0

    monkeypatch.setattr(RunPage, "_write_live", page_of_a_second)
    page = RunPage(None, print, clock=lambda: now[0])
    for _ in range(400):
        page.refresh()
        now[0] += 0.5
    assert [start for start, _ in written] == [21.0 * number for number in range(10)]
    assert [seconds for _, seconds in written] == [2.0, *[21.0] * 9]


def test_pages_that_cost_nothing_are_two_seconds_apart(monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(RunPage, "_write_live", lambda self, seconds: written.append(now[0]))
    page = RunPage(None, print, clock=lambda: now[0])
    for _ in range(40):
        page.refresh()
        now[0] += 0.25
    assert written == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_signal_while_the_last_page_is_made_does_without_it(train, small, tmp_path, monkeypatch, capsys):
    def fail(*positional):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_run_page, "leave_page", fail)
    assert train(*small, folder="run", stop_after=3) == 130
    assert capsys.readouterr().err.endswith("go on with: rankfold train --resume run\n")
