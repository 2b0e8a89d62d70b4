"""Pages of what goes on load themselves again, and the reader stays where they are."""

import time
from dataclasses import replace

import pytest
from tests.report.page.browser import FAINT, TROUBLES, By, Keys, hover, plot_of, unfold
from tests.report.page.pages import every_block, training_record

from rankfold.report.page import Group, Live, Section, Text, training_page, write_page

SOON = 0.3  # seconds between two loads
DEADLINE = 30


def live(page, state="training", seconds=SOON):
    return replace(page, live=Live(state, seconds))


@pytest.fixture
def watched(visit, tmp_path):
    """Writes a page over the one that the browser shows, and opens it the first time."""
    file, opened = tmp_path / "report.html", []

    def write(page, **window):
        assert write_page(page, file) is None
        if not opened:
            opened.append(visit(file, **window))
        return opened[0]

    yield write
    write(replace(every_block(), live=None))  # so that nothing is loaded while the browser goes elsewhere
    opened[0].get("about:blank")


def wait_for(driver, script, wanted):
    """Wait until a script gives a value; a page that is just being left gives none."""
    from selenium.common.exceptions import WebDriverException

    found, deadline = None, time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            found = driver.execute_script(f"return {script}")
        except WebDriverException:
            found = None
        if found == wanted:
            return
        time.sleep(0.05)
    raise AssertionError(f"{script} is {found!r}, not {wanted!r}")


def heading(driver, words):
    wait_for(driver, "document.querySelector('h1')?.textContent", words)


def seen(driver, script):
    return driver.execute_script(f"return {script}")


def test_the_browser_follows(watched):
    driver = watched(live(every_block("first")))
    for name in ("second", "third"):
        watched(live(every_block(name)))
        heading(driver, name)
    assert seen(driver, "document.querySelector('.live span').textContent") == "training"


def test_a_pause_by_keyboard_holds_until_it_is_taken_back(watched):
    driver = watched(live(every_block("first"), seconds=3600))
    button = driver.find_element(By.CSS_SELECTOR, ".live button")
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB, Keys.TAB)
    assert driver.switch_to.active_element == button
    button.send_keys(Keys.SPACE)
    assert button.text == "Go on reloading"
    assert driver.find_element(By.CSS_SELECTOR, ".live span").text == "training (reloading is paused)"
    watched(live(every_block("second")))
    driver.refresh()  # the reader may do so by hand, and it is still paused
    heading(driver, "second")
    watched(live(every_block("third")))
    time.sleep(5 * SOON)
    assert seen(driver, "document.querySelector('h1').textContent") == "second"
    driver.find_element(By.CSS_SELECTOR, ".live button").send_keys(Keys.ENTER)
    heading(driver, "third")
    assert seen(driver, "document.querySelector('.live button').textContent") == "Pause reloading"
    assert seen(driver, "document.activeElement.textContent") == "Pause reloading"


def long_page(name, rows=0):
    """A page of several screens; more of it may stand above what the reader looks at."""
    page = every_block("conv1")
    more = Section("What is new", tuple(Text(f"Paragraph {number}.") for number in range(rows)))
    inside = Group(summary="Another group", blocks=(Text("inside"),), opened=True)
    return replace(
        page, title=name, sections=(*([more] if rows else []), *page.sections, Section("Last", (inside,)))
    )


LOOK_AROUND = """
const groups = document.querySelectorAll('details.group');
groups[0].open = true;
groups[1].open = false;
document.querySelectorAll('details.data')[1].open = true;
const heads = document.querySelectorAll('table.sortable thead button');
heads[2].click(); heads[2].click();
document.querySelectorAll('.plot')[1].dispatchEvent(new CustomEvent('show', {detail: [100, 300]}));
document.querySelector('table.sortable').scrollIntoView();
heads[3].focus({preventScroll: true});
"""
PLACE = """(() => {
const table = document.querySelector('table.sortable'), plot = document.querySelectorAll('.plot')[1];
return JSON.stringify({
  groups: [...document.querySelectorAll('details.group')].map(one => one.open),
  data: [...document.querySelectorAll('details.data')].map(one => one.open),
  sorted: [...table.tHead.rows[0].cells].map(one => one.getAttribute('aria-sort')),
  rows: [...table.tBodies[0].rows].map(one => one.cells[0].textContent),
  seen: plot.dataset.seen, drawn: plot.querySelector('.line').getAttribute('d'),
  focus: document.activeElement.textContent,
  top: Math.round(table.getBoundingClientRect().top / 4),
});
})()"""


def test_the_reader_stays_where_they_are(watched):
    driver = watched(live(long_page("first"), seconds=3600))
    driver.execute_script(LOOK_AROUND)
    before = seen(driver, PLACE)
    assert '"groups":[true,false]' in before
    assert '"sorted":["none","none","descending","none"]' in before
    assert '"seen":"100 300"' in before
    for name, rows in (("second", 30), ("third", 0)):
        watched(live(long_page(name, rows), seconds=3600))
        driver.refresh()
        heading(driver, name)
        wait_for(driver, PLACE, before)


def test_the_last_page_stays_and_shows_the_same_place(watched):
    driver = watched(live(long_page("first")))
    driver.execute_script(LOOK_AROUND)
    before = seen(driver, PLACE)
    watched(replace(long_page("complete", 20), live=None))
    heading(driver, "complete")
    wait_for(driver, PLACE, before)
    assert seen(driver, "document.querySelector('.live')") is None
    assert "location.reload" not in seen(driver, "document.querySelector('script').textContent")
    driver.execute_script("window.same = true")
    time.sleep(3 * SOON)
    assert seen(driver, "window.same") is True


def test_a_page_opened_anew_begins_at_its_top(watched, tmp_path):
    driver = watched(replace(long_page("first"), live=None))
    driver.execute_script(LOOK_AROUND)
    driver.get("about:blank")
    driver.get((tmp_path / "report.html").as_uri())
    assert seen(driver, "scrollY") == 0
    assert seen(driver, "document.querySelector('details.group').open") is False


def test_a_value_that_is_read_is_not_taken_away(watched):
    driver = watched(live(every_block("first"), seconds=3))
    plot = plot_of(driver, "lines")
    assert hover(driver, plot, 200, 100)
    driver.execute_script("window.same = true")
    watched(live(every_block("second")))
    wait_for(
        driver,
        "document.querySelector('.live span').textContent",
        "training (waits while you read a value)",
    )
    assert seen(driver, "window.same") is True
    plot.send_keys(Keys.ESCAPE)
    driver.execute_script("document.querySelectorAll('.tip').forEach(one => one.hidden = true)")
    heading(driver, "second")


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1200, True)])
def test_nothing_overlaps_or_is_faint(visit, width, dark):
    state = "training, epoch 12 of 300, updated at 2026-11-30 23:59:59"
    driver = visit(training_page([training_record()], ["run"], Live(state, 3600)), width=width, dark=dark)
    unfold(driver)
    assert driver.execute_script(TROUBLES) == []
    assert driver.execute_script(FAINT) == []
    bar = "document.querySelector('.live').getBoundingClientRect()"
    driver.execute_script("scrollTo(0, 1500)")
    assert seen(driver, f"{bar}.top") == 0  # it stays in sight
    driver.execute_script("document.querySelector('nav a').click()")
    assert seen(driver, f"document.querySelector('h2').getBoundingClientRect().top >= {bar}.bottom")
