"""Chromium for the tests of pages: what starts it, what it is asked about any page, and how a reader's hand moves.

The fixtures ``browser`` and ``visit`` are in ``tests/conftest.py``. A file that imports from here is skipped as a whole
where there is no browser.
"""

import shutil

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("chromium and chromedriver are not installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

__all__ = [
    "FAINT",
    "TROUBLES",
    "ActionChains",
    "By",
    "Keys",
    "column",
    "column_of",
    "console_of",
    "hover",
    "layout_troubles",
    "open_page",
    "plot_of",
    "plot_titled",
    "point_at",
    "pointed_values",
    "sorted_columns",
    "start",
    "ticks",
    "unfold",
]

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)

# Text that reaches over the edge of its own element or of the page, and text over other text.
TROUBLES = """
const troubles = [];
const wide = document.documentElement.scrollWidth;
if (wide > innerWidth) troubles.push(`the page is ${wide} wide`);
const scrolls = node => node.closest('.scroll, pre, .spoken, .shapes, .skip, details:not([open]) > :not(summary)');
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const parent = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || parent.closest('script, style, title, desc') || scrolls(parent)) continue;
  const range = document.createRange();
  range.selectNodeContents(walker.currentNode);
  for (const box of range.getClientRects()) {
    if (!box.width || !box.height) continue;
    const outside = box.right > innerWidth + 1 || box.left < -1;
    if (outside) troubles.push(`over the edge: ${walker.currentNode.data.slice(0, 40)}`);
    texts.push([box, walker.currentNode]);
  }
}
for (const [one, first] of texts) for (const [two, second] of texts) {
  if (first === second || first.compareDocumentPosition(second) & Node.DOCUMENT_POSITION_PRECEDING) continue;
  const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
  const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
  if (across > 2 && down > 0.35 * Math.min(one.height, two.height))
    troubles.push(`overlap: ${first.data.slice(0, 30)} / ${second.data.slice(0, 30)}`);
}
return troubles;
"""

# Contrast of text to what lies behind it: Web Content Accessibility Guidelines 2.2, success criterion 1.4.3.
FAINT = """
const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const behind = node => {
  for (; node; node = node.parentElement) {
    const colour = parts(getComputedStyle(node).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
const written = 'h1,h2,p,li,a,dt,dd span,th,td,caption,summary,code,svg text,figcaption *,aside *';
for (const node of document.querySelectorAll(written)) {
  const style = getComputedStyle(node), drawn = node.closest('svg');
  const ink = parts(drawn ? style.fill : style.color), back = behind(drawn ? node.closest('div,li') : node);
  const [one, two] = [light(ink), light(back)].sort((a, b) => b - a);
  if ((one + 0.05) / (two + 0.05) < 4.5) faint.push(`${node.tagName} ${node.textContent.slice(0, 30)}`);
}
return faint;
"""

OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


def start(profile):
    """A browser without a window and without a network, whose profile lies in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    return driver


def open_page(driver, file, *, width=1200, dark=False):
    """Open a page from disk in a window of a width, light or dark."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(file.resolve().as_uri())


def console_of(driver):
    """What the console said since it was last asked."""
    return [entry["message"] for entry in driver.get_log("browser")]


def unfold(driver):
    """Open all groups, and lay out what is far below as well."""
    driver.execute_script(
        "document.querySelectorAll('details.group').forEach(one => one.open = true);"
        "document.querySelectorAll('figure').forEach(one => one.style.contentVisibility = 'visible');"
    )


def layout_troubles(driver):
    """What overlaps, sticks out or is faint, with everything unfolded."""
    unfold(driver)
    return driver.execute_script(TROUBLES) + driver.execute_script(FAINT)


def column_of(driver, caption, title):
    """The cells of a column of the table of a caption."""
    table = driver.find_element(By.CSS_SELECTOR, f'[aria-label="{caption}"] table')
    heads = [head.text.split("\n")[0] for head in table.find_elements(By.CSS_SELECTOR, "thead button")]
    cells = table.find_elements(By.CSS_SELECTOR, f"tbody tr > :nth-child({heads.index(title) + 1})")
    return [cell.text for cell in cells]


def plot_titled(driver, title):
    """The drawing of the chart of a title."""
    (found,) = [
        figure
        for figure in driver.find_elements(By.TAG_NAME, "figure")
        if figure.find_element(By.TAG_NAME, "strong").get_attribute("textContent") == title
    ]
    return found.find_element(By.CSS_SELECTOR, ".plot")


def column(driver, number):
    cells = driver.find_elements(By.CSS_SELECTOR, f"table.sortable tbody tr > :nth-child({number})")
    return [cell.text for cell in cells]


def plot_of(driver, kind, number=0):
    return driver.find_elements(By.CSS_SELECTOR, f"figure[data-kind={kind}] .plot")[number]


def point_at(driver, plot, x, y):
    """Move the pointer to a place given in the units of the drawing."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    box = plot.find_element(By.TAG_NAME, "svg").rect
    scale = box["width"] / 360
    right, down = round(x * scale - box["width"] / 2), round(y * scale - box["height"] / 2)
    return plot.find_element(By.TAG_NAME, "svg"), right, down


def hover(driver, plot, x, y):
    drawing, right, down = point_at(driver, plot, x, y)
    ActionChains(driver, duration=0).move_to_element_with_offset(drawing, right, down).perform()
    tip = plot.find_element(By.CSS_SELECTOR, ".tip")
    return tip.text.splitlines() if tip.is_displayed() else []


def ticks(plot):
    return [text.get_attribute("textContent") for text in plot.find_elements(By.CSS_SELECTOR, "svg .x text")]


def sorted_columns(driver):
    """Click every head of every table twice.

    Returns:
        Per click the caption, the number of the column, the value of ``aria-sort``, and the cells of the column: the
        number they are sorted by (None in a column of words, empty for a missing one) and their text.
    """
    return driver.execute_script("""
        return [...document.querySelectorAll('table.sortable')].flatMap(table =>
          [...table.tHead.rows[0].cells].flatMap((head, at) => [1, 2].map(() => {
            head.firstElementChild.click();
            const cells = [...table.tBodies[0].rows].map(row => row.cells[at]);
            const read = cells.map(cell => [cell.dataset.v ?? null, cell.textContent]);
            return [table.caption.textContent, at, head.getAttribute('aria-sort'), read];
          })));
    """)


def pointed_values(driver, figure):
    """Point at a chart where it has something to say.

    Returns:
        The lines of the tip, and those lines as the table of data below the chart has them.
    """
    plot, kind = figure.find_element(By.CSS_SELECTOR, ".plot"), figure.get_attribute("data-kind")
    rows = driver.execute_script(
        "return [...arguments[0].querySelectorAll('.data tr')].map(row => [...row.cells].map(one => one.textContent))",
        figure,
    )
    heads, rows = rows[0], rows[1:]
    if kind == "lines":
        tip = hover(driver, plot, 200, 100)
        row = next(row for row in rows if tip and tip[0] == f"{heads[0]} {row[0]}")
    elif kind == "bars":
        top, high, _ = map(float, plot.find_element(By.TAG_NAME, "svg").get_attribute("data-rows").split())
        tip, row = hover(driver, plot, 200, top + high / 2), rows[0]
    else:
        cells = plot.find_element(By.TAG_NAME, "svg").get_attribute("data-cells")
        left, top, wide, high = map(float, cells.split())
        tip, row = hover(driver, plot, left + wide / 2, top + high / 2), rows[0]
        return tip, [row[0], f"{heads[0].rpartition(chr(92))[2].strip()} {heads[1]}", row[1] or "-"]
    first = f"{heads[0]} {row[0]}" if kind == "lines" else row[0]
    pairs = [word for pair in zip(heads[1:], row[1:], strict=True) for word in (pair[0], pair[1] or "-")]
    return tip, [first, *pairs]
