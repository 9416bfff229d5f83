"""The page of an embedding in a real browser: keys, neighbours, legend, hostile names, silence."""

import numpy as np
import pytest
from chromium import PROGRAM, Browser
from PIL import Image

from jaxcam.data.images import ImageSet
from jaxcam.features.embedding import embed
from jaxcam.features.extraction import SetFeatures
from jaxcam.report.embedding_page import write_embedding_page

HOSTILE = "</script><script>alert(1)</script>"
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")


def test_the_embedding_in_a_browser(tmp_path):
    rng = np.random.default_rng(0)
    paths = tuple(f"<img src=x onerror=alert(1)>{number}.png" for number in range(12))
    (tmp_path / "set").mkdir()
    for path in paths[:-1]:  # one has gone since
        Image.fromarray(rng.integers(90, 255, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "set" / path)
    labels = np.arange(12, dtype=np.int32) % 2
    images = ImageSet("valid", tmp_path / "set", ("cat", HOSTILE), paths, labels, label_names=("cat", HOSTILE) * 6)
    features = (rng.normal(size=(12, 5)) + 4 * labels[:, None]).astype(np.float32)
    logits = np.eye(2, dtype=np.float32)[labels * (np.arange(12) != 1)]
    part = SetFeatures(images, features, logits, {})
    found = embed({"valid": part}, stage="conv", class_names=images.class_names, projections=("pca",), neighbours=3)
    page = write_embedding_page(found, tmp_path / "index.html")
    text = page.read_text()
    assert "alert(1)</script>" not in text
    assert "<img src=x" not in text
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        browser.screenshot(tmp_path / "page.png", height=700)
        count = "document.getElementById('count').textContent"
        browser.wait_for(count, "12 of 12 shown")
        browser.run("document.getElementById('plane').focus()")
        browser.press("ArrowRight")
        browser.wait_for("document.getElementById('path').textContent.startsWith('<img src=x')", True)
        browser.press("Enter")
        browser.wait_for("document.querySelectorAll('#near li').length", 3)
        pixels = "document.getElementById('picture').getContext('2d').getImageData(2, 2, 1, 1).data[3]"
        browser.wait_for(pixels, 255)
        browser.run("document.querySelector('#legend input').click()")
        browser.wait_for(count, "6 of 12 shown")
        browser.run("document.getElementById('only-wrong').click()")
        browser.wait_for(count, "0 of 12 shown")
        browser.run("document.querySelector('#legend input').click()")
        browser.wait_for(count, "1 of 12 shown")
        assert browser.messages == []
        assert [url for url in browser.requests if not url.startswith("data:")] == [page.resolve().as_uri()]
