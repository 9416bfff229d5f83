"""The report in a real browser: filters, keyboard, light and dark, and silence on the console and the network."""

import re

import pytest
from chromium import PROGRAM, Browser
from fake_run import make_run

from jaxcam.report import pages

HOSTILE = ("<script>alert(1)", "'\"onload=alert(2) x='")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")


def test_the_page_works_in_a_browser(tmp_path):
    run = make_run(tmp_path / "my run", unreadable=5)
    make_run(run.folder, split="train", each=3, seed=1)
    path = pages.write_report(run.folder)
    with Browser(tmp_path / "profile") as browser:
        browser.open(path)
        shown = "[...document.querySelectorAll('.card')].filter(card => !card.hidden).map(card => card.dataset.path)"
        assert len(browser.run(shown)) == 11

        def choose(name, value):
            browser.run(
                f"(() => {{ const one = document.getElementById('{name}'); one.value = '{value}';"
                "one.dispatchEvent(new Event('change')); })()"
            )

        choose("by-split", "")
        assert len(browser.run(shown)) == 17
        choose("by-split", "valid")
        choose("by-label", "cat")
        assert all(name.startswith("cat/") for name in browser.run(shown))
        browser.run("document.getElementById('only-wrong').click()")
        assert len(browser.run(shown)) == 2
        assert browser.run("document.getElementById('count').textContent") == "2 of 17 shown"
        choose("by-label", "")
        browser.run("document.getElementById('only-wrong').click()")
        choose("sort", "unsure")
        order = [run.paths.index(name) for name in browser.run(shown)]
        assert order == sorted(order, key=lambda row: run.probabilities[row].max())

        heat = "document.querySelector('.card:not([hidden]) .heat:not([hidden])').dataset"
        choose("by-method", "cam")
        assert browser.run(f"{heat}.method") == "cam"
        for name in ("cat", "dog"):
            browser.run(f"document.querySelector('.card:not([hidden]) .chances button[data-target={name}]').click()")
            assert browser.run(f"{heat}.target") == name

        # By keyboard: Enter on a picture enlarges it, arrows go on, Escape closes and gives the focus back.
        browser.run("document.querySelector('.card:not([hidden]) .stage').focus()")
        browser.press("Enter")
        title = "document.getElementById('large').open && document.getElementById('large-title').textContent"
        browser.wait_for(title, run.paths[order[0]])
        assert browser.run("document.querySelectorAll('#large .stage img').length") == 5  # picture, and two with a map
        browser.press("ArrowRight")
        browser.wait_for(title, run.paths[order[1]])
        browser.press("ArrowLeft")
        browser.press("ArrowLeft")
        browser.wait_for(title, run.paths[order[-1]])
        browser.press("Escape")
        browser.wait_for(title, False)
        browser.wait_for("document.activeElement.closest('.card')?.dataset.path", run.paths[order[-1]])

        paper = "getComputedStyle(document.body).backgroundColor"
        colours = []
        for scheme in ("light", "dark"):
            browser.screenshot(tmp_path / "page.png", height=600, scheme=scheme)
            colours.append(sum(map(int, re.findall(r"\d+", browser.run(paper)))))
        assert colours[0] > 600 > 150 > colours[1]
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.messages == []
        assert [url for url in browser.requests if not url.startswith("data:")] == [path.resolve().as_uri()]


def test_hostile_names_do_nothing_in_a_browser(tmp_path):
    run = make_run(tmp_path / "hostile", classes=HOSTILE, names='"><img src=x onerror=alert(4)> {row}.png')
    path = pages.write_report(run.folder)
    with Browser(tmp_path / "profile") as browser:
        browser.open(path)
        browser.run("document.querySelector('.card .stage').click()")
        assert browser.run("document.getElementById('large-title').textContent").endswith(".png")
        assert browser.run("document.querySelectorAll('script').length") == 1
        assert browser.messages == []
