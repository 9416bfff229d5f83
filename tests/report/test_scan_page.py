"""The page of a scan: what it shows, that it is quiet and self-contained, and small."""

import numpy as np
import pytest
from chromium import PROGRAM, Browser
from PIL import Image

from jaxcam.data import drawn
from jaxcam.data.scan.run import scan
from jaxcam.report.scan_page import write_scan_page

HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A set with a leak (one class is dark), a copy across splits, broken and odd files, and its page."""
    folder = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("valid", 4)):
        for label in ("dark", HOSTILE):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = drawn.draw(int(rng.integers(60)), rng, size=48) // (4 if label == "dark" else 1)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")
    copied = Image.open(folder / "train" / "dark" / "3.png").resize((90, 90))
    copied.save(folder / "valid" / HOSTILE / f"{HOSTILE[:8]}.jpg")
    Image.new("CMYK", (40, 400), (9, 9, 200, 0)).save(folder / "train" / "dark" / "odd.jpg")
    (folder / "train" / "dark" / "empty.jpg").touch()
    return write_scan_page(scan(folder, workers=1), folder.parent / "page" / "index.html")


def test_what_it_says(page):
    text = page.read_text()
    for words in ("in two splits", "at least one label is wrong", "brightness", "empty file", "CMYK", "long"):
        assert words in text
    assert 'class="level strong"' in text
    assert "<img src=x" not in text
    assert page.stat().st_size < 1_000_000


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
def test_it_is_quiet_and_shows_its_pictures(page, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        browser.wait_for(broken, 0)
        assert browser.run("document.images.length") >= 4
        assert browser.run("document.querySelectorAll('#duplicates .group').length") == 1
        marks = browser.run("[...document.querySelectorAll('#duplicates .mark')].map(mark => mark.textContent)")
        assert len(marks) == 2
        for width in (1280, 420):
            browser.screenshot(tmp_path / "page.png", width=width)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.messages == []
        assert [url for url in browser.requests if not url.startswith("data:")] == [page.resolve().as_uri()]
