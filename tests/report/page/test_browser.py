"""Pages in a real browser: Debian's Chromium without a window and without a network."""

import time

import pytest
from tests.report.page.browser import (
    FAINT,
    TROUBLES,
    ActionChains,
    By,
    Keys,
    column,
    hover,
    plot_of,
    point_at,
    ticks,
    unfold,
)
from tests.report.page.pages import HOSTILE, every_block, training_record

from rankfold.report.page import training_page


def every_run():
    low, twin = training_record("low", layers=3), training_record("twin", layers=3, dense=True)
    return training_page([low, twin], ["low", "twin"])


PAGES = {
    "every block": every_block,
    "runs": every_run,
    "long names": lambda: every_block("layer" * 80, "encoder.layers.11.attention.out_projection"),
    "many layers": lambda: training_page([training_record(layers=30, records=50)], ["run"]),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (768, False), (1200, True)])
def test_nothing_overlaps_or_sticks_out(visit, name, width, dark):
    driver = visit(PAGES[name](), width=width, dark=dark)
    unfold(driver)
    assert driver.execute_script(TROUBLES) == []
    assert driver.execute_script(FAINT) == []


def test_dark_is_dark(visit):
    colour = "return getComputedStyle(document.body).backgroundColor"
    assert visit(every_block()).execute_script(colour) == "rgb(255, 255, 255)"
    assert visit(every_block(), dark=True).execute_script(colour) == "rgb(21, 24, 28)"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing(visit, name):
    driver = visit(every_block(name, name))
    driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert driver.title != "owned"
    assert (
        driver.execute_script("return document.images.length + document.querySelectorAll('script').length")
        == 1
    )
    for plot in driver.find_elements(By.CSS_SELECTOR, ".plot"):
        plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)  # the names go through the script, too
    assert driver.execute_script("return document.images.length") == 0
    assert driver.title != "owned"


def test_tables_sort(visit):
    driver = visit(every_block())
    heads = driver.find_elements(By.CSS_SELECTOR, "table.sortable thead th")
    buttons = [head.find_element(By.TAG_NAME, "button") for head in heads]
    assert column(driver, 3) == ["10", "9", "-", "100"]
    buttons[2].click()
    assert column(driver, 3) == ["9", "10", "100", "-"]
    assert [head.get_attribute("aria-sort") for head in heads] == ["none", "none", "ascending", "none"]
    buttons[2].click()
    assert column(driver, 3) == ["100", "10", "9", "-"]  # what is missing stays last
    assert heads[2].get_attribute("aria-sort") == "descending"
    buttons[3].send_keys(Keys.ENTER)
    assert column(driver, 4) == ["5 %", "10 %", "70 %", "-"]
    buttons[0].click()
    assert column(driver, 1) == ["conv1", "fourth", "linear", "third"]
    assert heads[3].get_attribute("aria-sort") == "none"


def test_hover_shows_values(visit):
    driver = visit(every_block("conv1", "linear"))
    lines = plot_of(driver, "lines")
    # Twelve places from 46 to 346, so the sixth is in the middle of these.
    assert hover(driver, lines, 46 + 300 * 5 / 11, 100) == [
        "conv1 5",
        "conv1",
        "0.00673795",
        "linear",
        "0.454545",
    ]
    assert hover(driver, lines, 46 + 300 * 4 / 11, 100) == ["conv1 4", "conv1", "-", "linear", "0.363636"]
    assert hover(driver, plot_of(driver, "bars"), 200, 20) == ["conv1", "dense", "100", "conv1", "10"]
    heat = plot_of(driver, "heat")
    assert hover(driver, heat, 330, 46) == ["linear", "step 20", "0.25"]
    assert hover(driver, heat, 330, 30) == ["conv1", "step 20", "-"]
    assert hover(driver, heat, 20, 5) == []


def test_dragging_zooms_and_the_button_resets(visit):
    driver = visit(every_block())
    plot = plot_of(driver, "lines", 1)
    figure = plot.find_element(By.XPATH, "..")
    line, reset = plot.find_element(By.CSS_SELECTOR, ".line"), figure.find_element(By.CSS_SELECTOR, ".reset")
    before, numbers = line.get_attribute("d"), ticks(plot)
    assert not reset.is_displayed()
    drawing, right, down = point_at(driver, plot, 120, 100)
    scale = drawing.rect["width"] / 360
    chain = (
        ActionChains(driver, duration=50).move_to_element_with_offset(drawing, right, down).click_and_hold()
    )
    chain.move_by_offset(round(80 * scale), 5).release().perform()
    assert reset.is_displayed()
    assert ticks(plot) != numbers
    assert line.get_attribute("d") != before
    # Of 0 to 590 the part from 74/300 to 154/300 is seen, about 146 to 303.
    assert all(146 - 10 <= float(tick) <= 303 + 10 for tick in ticks(plot))
    assert hover(driver, plot, 47, 100)[0] in ("step 140", "step 150", "step 160")
    reset.click()
    assert ticks(plot) == numbers
    assert not reset.is_displayed()
    assert driver.switch_to.active_element == plot


def test_the_script_draws_what_was_drawn(visit):
    """A zoom and back redraws the same lines and numbers as Python did."""
    driver = visit(every_run())
    for plot in driver.find_elements(By.CSS_SELECTOR, "figure[data-kind=lines] .plot"):
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        parts = "return [...arguments[0].querySelectorAll('.line, .mark')].map(one => one.getAttribute('d'))"
        before = driver.execute_script(parts, plot), ticks(plot)
        plot.send_keys("+", Keys.ESCAPE)
        after = driver.execute_script(parts, plot), ticks(plot)
        assert numbers_in(after[0]) == pytest.approx(numbers_in(before[0]), abs=0.15)
        assert after[1] == before[1]


def numbers_in(paths):
    import re

    return [float(word) for path in paths for word in re.findall(r"-?\d*\.?\d+", path)]


def test_keys_walk_the_points_and_are_spoken(visit):
    driver = visit(every_block())
    plot = plot_of(driver, "lines")
    spoken = plot.find_element(By.XPATH, "../output")
    plot.send_keys(Keys.ARROW_RIGHT)
    assert spoken.get_attribute("textContent") == "conv1 0, conv1 1, linear -"
    plot.send_keys(Keys.ARROW_RIGHT)
    assert spoken.get_attribute("textContent") == "conv1 1, conv1 0.367879, linear 0.0909091"
    plot.send_keys(Keys.END)
    assert spoken.get_attribute("textContent").startswith("conv1 11,")
    plot.send_keys(Keys.ESCAPE)
    assert not plot.find_element(By.CSS_SELECTOR, ".tip").is_displayed()
    bars, heat = plot_of(driver, "bars"), plot_of(driver, "heat")
    bars.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert (
        bars.find_element(By.XPATH, "../output").get_attribute("textContent") == "linear, dense 50, conv1 -5"
    )
    heat.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert heat.find_element(By.XPATH, "../output").get_attribute("textContent") == "conv1, step 10 0.5"


def test_everything_can_be_reached_with_the_tab_key(visit):
    driver = visit(every_block())
    count = len(
        driver.find_elements(By.CSS_SELECTOR, "a[href], button:not([hidden]), summary, [tabindex='0']")
    )
    reached = []
    for _ in range(count + 5):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        reached.append(f"{active.tag_name}.{active.get_attribute('class')}")
        if active.tag_name == "body":
            break
    assert reached[0] == "a.skip"
    assert {"div.plot", "div.scroll", "summary.", "button.", "pre."} <= set(reached)


def test_no_request_leaves_the_page(visit):
    driver = visit(every_run())
    entries = driver.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert [name for name in entries if not name.startswith("data:")] == []


@pytest.mark.slow  # a time, which a busy machine need not keep to
def test_large_runs_are_painted_within_a_second(visit):
    run = training_record(layers=100, records=10_000, modes=2, epochs=10_000)
    driver = visit(training_page([run], ["run"]))
    script = "return performance.getEntriesByType('paint').map(entry => entry.startTime)"
    deadline = time.monotonic() + 10
    while not (paints := driver.execute_script(script)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 0 < min(paints) < 1000
