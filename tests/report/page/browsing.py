"""How the tests use a real browser: Debian's Chromium without a window and without a network."""

import shutil
from pathlib import Path

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("chromium and chromedriver are not installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

__all__ = [
    "ActionChains",
    "By",
    "Keys",
    "column",
    "column_of",
    "hover",
    "layout_troubles",
    "open_file",
    "plot_of",
    "plot_titled",
    "point_at",
    "started_browser",
    "ticks",
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
const written = 'h1,h2,p,li,a,dt,dd span,th,td,caption,summary,code,svg text,figcaption *';
for (const node of document.querySelectorAll(written)) {
  const style = getComputedStyle(node), drawn = node.closest('svg');
  const ink = parts(drawn ? style.fill : style.color), back = behind(drawn ? node.closest('div,li') : node);
  const [one, two] = [light(ink), light(back)].sort((a, b) => b - a);
  if ((one + 0.05) / (two + 0.05) < 4.5) faint.push(`${node.tagName} ${node.textContent.slice(0, 30)}`);
}
return faint;
"""


def plot_of(driver, kind, number=0):
    return driver.find_elements(By.CSS_SELECTOR, f"figure[data-kind={kind}] .plot")[number]


def plot_titled(driver, title):
    """The drawing of the chart of a title."""
    (found,) = [
        figure
        for figure in driver.find_elements(By.TAG_NAME, "figure")
        if figure.find_element(By.TAG_NAME, "strong").get_attribute("textContent") == title
    ]
    return found.find_element(By.CSS_SELECTOR, ".plot")


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


def column(driver, number):
    cells = driver.find_elements(By.CSS_SELECTOR, f"table.sortable tbody tr > :nth-child({number})")
    return [cell.text for cell in cells]


def column_of(driver, caption, title):
    """The cells of a column of the table of a caption."""
    table = driver.find_element(By.CSS_SELECTOR, f'[aria-label="{caption}"] table')
    heads = [head.text.split("\n")[0] for head in table.find_elements(By.CSS_SELECTOR, "thead button")]
    cells = table.find_elements(By.CSS_SELECTOR, f"tbody tr > :nth-child({heads.index(title) + 1})")
    return [cell.text for cell in cells]


def ticks(plot):
    return [text.get_attribute("textContent") for text in plot.find_elements(By.CSS_SELECTOR, "svg .x text")]


OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


def started_browser(profile: Path):
    """Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    return driver


def open_file(driver, file: Path, width: int, dark: bool):
    """A page from disk at a width, light or dark."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(file.as_uri())


def layout_troubles(driver):
    """What overlaps, sticks out or is faint, with everything unfolded."""
    driver.execute_script(
        "document.querySelectorAll('details.group').forEach(one => one.open = true);"
        "document.querySelectorAll('figure').forEach(one => one.style.contentVisibility = 'visible');"
    )
    return driver.execute_script(TROUBLES) + driver.execute_script(FAINT)
