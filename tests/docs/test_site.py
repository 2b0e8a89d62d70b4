"""The documentation as a site: built without a warning, whole, and usable from disk in a real browser."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.pages import ROOT

pytest.importorskip("mkdocstrings", reason="mkdocs-material and mkdocstrings are not installed")

from tools.site_api_pages import packages


@dataclass
class Read(HTMLParser):
    """What a page of the site holds: places that links may lead to, addresses, and text."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("link", "img", "script", "iframe", "source"):
            self.loaded += [found[name] for name in ("href", "src") if name in found]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass
class Site:
    folder: Path
    pages: dict[str, Read]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        # Not quiet: a warning that is not shown does not count as one.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {}
    for file in folder.rglob("*.html"):
        if file.name != "404.html":  # served for any address, so its own are absolute
            pages[file.relative_to(folder).as_posix()] = read = Read()
            read.feed(file.read_text(encoding="utf-8"))
    return Site(folder, pages)


def target(page: str, address: str) -> tuple[str, str]:
    """Path below the site, and the place in the page, that an address on a page leads to."""
    parts = urlsplit(address)
    path = os.path.normpath(Path(page).parent / unquote(parts.path)) if parts.path else page
    return path, unquote(parts.fragment)


def test_every_link_leads_somewhere(site: Site) -> None:
    lost, links = [], 0
    for page, read in site.pages.items():
        for address in read.links + read.loaded:
            if urlsplit(address).scheme in ("http", "https", "mailto", "data"):
                continue
            links += 1
            path, place = target(page, address)
            there = (site.folder / path).is_file()
            if not there or (place and path in site.pages and place not in site.pages[path].ids):
                lost.append((page, address))
    assert lost == []
    assert links > 1000


def test_nothing_is_loaded_from_the_net(site: Site) -> None:
    outside = [
        (page, one) for page, read in site.pages.items() for one in read.loaded if urlsplit(one).netloc
    ]
    assert outside == []
    styles = "\n".join(path.read_text(encoding="utf-8") for path in site.folder.rglob("*.css"))
    assert not re.findall(r"url\([\"']?https?:", styles)
    assert "@import" not in styles


def test_every_page_is_in_the_navigation(site: Site) -> None:
    named = {target("index.html", address)[0] for address in site.pages["index.html"].links}
    for file in (ROOT / "docs").rglob("*.md"):
        path = file.relative_to(ROOT / "docs")
        path = path.with_name("index.html") if path.stem == "README" else path.with_suffix(".html")
        assert path.as_posix() in named


def words(text: str) -> str:
    """The words of a docstring or a page, without what makes them code or links."""
    return " ".join(re.sub(r":\w+:`~?|[`¶]", "", text).split())


def test_every_public_name_is_described(site: Site) -> None:
    described = 0
    for name, package in packages().items():
        read = site.pages[f"api/{name}.html"]
        text = words("".join(read.text))
        targets = {target(f"api/{name}.html", address) for address in read.links}
        for public in package.__all__:
            if f"{name}.{public}" in read.ids:
                described += 1
                value = getattr(package, public)
                if inspect.isclass(value) or inspect.isroutine(value):
                    first = words((inspect.getdoc(value) or "").partition("\n\n")[0])
                    assert text.count(first) >= 2, (name, public)  # in the table, and below its heading
                continue
            # On another page, or a package with a page of its own.
            pages = [path for path, place in targets if place.rpartition(".")[2] == public]
            assert pages or f"api/{name}.{public}.html" in site.pages, f"{name}.{public}"
    assert described > 200
    assert {"rankfold", "rankfold.training", "rankfold.estimators"} <= packages().keys()


def test_docstrings_have_become_sections(site: Site) -> None:
    texts = {page: "".join(read.text) for page, read in site.pages.items() if page.startswith("api/")}
    for page, text in texts.items():
        for left in (r"\n *Arguments:", r"\n *Example:", r":(class|func|meth|data):", r"\[`"):
            assert not re.search(left, text), (page, left)
    text = texts["api/rankfold.html"]
    for section in ("Parameters:", "Returns:", "Raises:", "Examples:", "Reference"):
        assert section in text
    assert "relative truncation error of each weight, in [0, 1)" in text


def test_pages_name_public_things_only(site: Site) -> None:
    """A name of the library in the text of a page is a link if there is such a name."""
    for file in (ROOT / "docs").rglob("*.md"):
        text = re.sub(
            r"^ *```.*?^ *```$", "", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        for name in re.findall(r"`rankfold\.([A-Za-z_]\w*)[\w.]*(?:\(|`)", text):
            root = importlib.import_module("rankfold")
            assert hasattr(root, name) or f"rankfold.{name}" in packages(), (file.name, name)


# -- in a browser ----------------------------------------------------------------------------------------

PAGES = ("index.html", "start.html", "concepts/integrators.html", "performance.html", "api/rankfold.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for switch in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    started.execute_cdp_cmd("Network.enable", {})
    started.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield started
    started.quit()


def visit(browser: Any, file: Path, *, width: int = 1300, dark: bool = False) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(file.as_uri())


def eventually(browser: Any, script: str) -> Any:
    """What a script returns, as soon as that is something."""
    deadline = time.monotonic() + 20
    while not (found := browser.execute_script(script)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1300, False), (1300, True)])
def test_pages_fit_and_are_silent(site: Site, browser: Any, width: int, dark: bool) -> None:
    back = "return getComputedStyle(document.body).backgroundColor"
    for page in PAGES:
        visit(browser, site.folder / page, width=width, dark=dark)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        red = int(re.findall(r"\d+", browser.execute_script(back))[0])
        assert (red < 60) if dark else (red > 240), page
    assert browser.get_log("browser") == []


def test_the_search_finds_from_disk(site: Site, browser: Any) -> None:
    visit(browser, site.folder / "start.html")
    box = browser.find_element("css selector", ".md-search__input")
    # At once, for the search of this size refuses words of one letter with which too many others begin.
    script = "arguments[0].value = 'set_ranks live model together with its optimiser'"
    browser.execute_script(script, box)
    box.send_keys("\ue010")  # the key End: the search listens to keys
    found = "return [...document.querySelectorAll('.md-search-result__link')].map(one => one.href)"
    assert any("api/rankfold.html" in address for address in eventually(browser, found))
    assert browser.get_log("browser") == []


def test_the_switch_changes_drawings_too(site: Site, browser: Any) -> None:
    visit(browser, site.folder / "concepts" / "integrators.html")
    ink = "return getComputedStyle(document.querySelector('svg.figure text')).fill"
    before = browser.execute_script(ink)
    for _ in range(2):  # from that of the system to light, then to dark
        browser.execute_script(
            "document.querySelector('form[data-md-component=palette] label:not([hidden])').click()"
        )
    assert eventually(browser, "return document.body.dataset.mdColorScheme == 'slate'")
    assert browser.execute_script(ink) != before


def test_commands_are_copied_without_the_prompt(site: Site, browser: Any) -> None:
    visit(browser, site.folder / "start.html")
    copied = (
        "const block = [...document.querySelectorAll('code')].find(one => one.innerText.includes('rankfold train'));"
        "block.setAttribute('data-md-copying', ''); return block.innerText.trim()"
    )
    assert browser.execute_script(copied) == "rankfold train --out demo"
