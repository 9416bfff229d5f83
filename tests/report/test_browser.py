"""The report in a real browser: clicks, keys, filters, the URL, light and dark, and silence on console and network."""

import json
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from chromium import PROGRAM, Browser
from fake_run import make_audit, make_run

from jaxcam.report import gallery, run_page
from jaxcam.report.run_page import write_report

HOSTILE = ("<script>alert(1)", "'\"onload=alert(2) x='")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")

SHOWN = "[...document.querySelectorAll('.card')].map(card => card.dataset.path)"
TITLE = "document.getElementById('large').open && document.getElementById('large-title').textContent"
COUNT = "document.getElementById('count').textContent"
HEAT = "[...document.querySelectorAll('#large .heat')].map(heat => heat.alt).join()"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("browser") / "my run", unreadable=5)
    make_run(run.folder, split="train", each=3, seed=1)
    make_audit(run)
    write_report(run.folder)
    return run


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(shared_browser, run):
    shared_browser.messages.clear()
    shared_browser.requests.clear()
    shared_browser.show()
    shared_browser.open(run.folder / "report" / "index.html")
    yield shared_browser
    assert shared_browser.messages == []


def opened(browser):
    """Path of the picture in the large view."""
    browser.wait_for("document.getElementById('large').open", True)
    return browser.run(TITLE)


def leave(browser):
    """Close the large view by a key; when it has given the focus back."""
    browser.press("Escape")
    browser.wait_for(TITLE, False)
    browser.wait_for("location.hash.includes('picture=')", False)
    browser.settle()


def test_filters_and_order(browser, run):
    browser.wait_for(COUNT, "17 of 17 shown")
    browser.choose("#split", "valid")
    browser.wait_for(COUNT, "11 of 17 shown")
    browser.choose("#label", "cat")
    browser.wait_for(SHOWN, lambda names: names and all(name.startswith("cat/") for name in names))
    browser.choose("#error", "wrong")
    browser.wait_for(COUNT, "2 of 17 shown")
    browser.choose("#error", "right")
    browser.wait_for(SHOWN, lambda names: set(names) == {run.paths[row] for row in (2, 3, 4)})
    browser.click("#clear")
    browser.wait_for(COUNT, "17 of 17 shown")
    browser.choose("#split", "valid")
    by_loss = [run.paths[row] for row in np.argsort(-run.losses) if row != run.unreadable]
    browser.choose("#sort", "loss")
    browser.wait_for(SHOWN, by_loss)
    browser.choose("#sort", "easy")
    browser.wait_for(SHOWN, by_loss[::-1])
    browser.choose("#sort", "unsure")
    sure = lambda name: run.probabilities[run.paths.index(name)].max()
    browser.wait_for(SHOWN, lambda names: [*map(sure, names)] == sorted(map(sure, names)))
    browser.choose("#finding", "M1")
    browser.wait_for(SHOWN, lambda names: set(names) == {run.paths[row] for row in run.readable[:6]})
    browser.write("#find", "DOG/")
    browser.wait_for(COUNT, "1 of 17 shown")
    browser.write("#find", "none")
    browser.wait_for("document.getElementById('none').hidden", False)


def test_the_large_view_by_keyboard(browser, run):
    browser.choose("#split", "valid")
    browser.choose("#sort", "path")
    names = browser.wait_for(SHOWN, lambda names: len(names) == 11)
    browser.run("document.querySelector('.card .stage').focus()")
    browser.press("ArrowRight")
    browser.wait_for("document.activeElement.closest('.card')?.dataset.path", names[1])
    columns = browser.run(
        "(tops => tops.filter(top => top === tops[0]).length)"
        "([...document.querySelectorAll('.card')].map(card => card.getBoundingClientRect().top))"
    )
    browser.press("End")
    browser.wait_for("document.activeElement.closest('.card')?.dataset.path", names[-1])
    browser.press("Home")
    browser.wait_for("document.activeElement.closest('.card')?.dataset.path", names[0])
    browser.press("ArrowDown")
    browser.wait_for("document.activeElement.closest('.card')?.dataset.path", names[columns])
    assert browser.run("document.querySelectorAll('.card [tabindex=\"0\"]').length") == 1
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    browser.wait_for(TITLE, names[columns])
    browser.press("ArrowRight")
    browser.wait_for(TITLE, names[columns + 1])
    for place in (*range(columns, -1, -1), -1):
        browser.press("ArrowLeft")
        browser.wait_for(TITLE, names[place])
    mapped = lambda words: words.startswith("with the grad_cam map for ")
    browser.wait_for(HEAT, mapped)
    browser.press("m")
    browser.wait_for(HEAT, "")
    browser.press("m")
    browser.wait_for(HEAT, mapped)
    leave(browser)
    browser.wait_for("document.activeElement.closest('.card')?.dataset.path", names[-1])


def test_the_large_view_by_mouse(browser, run):
    browser.choose("#method", "cam")
    browser.click(".card .stage")
    path = opened(browser)
    row = run.paths.index(path)
    expected = f"with the cam map for {run.classes[run.predicted[row]]}, hottest at the "
    browser.wait_for(HEAT, lambda words: words.startswith(expected))
    for name in run.classes:
        browser.click(f"#large .chances [data-target={name}]")
        browser.wait_for(HEAT, lambda words, name=name: words.startswith(f"with the cam map for {name}, "))
        browser.wait_for("document.activeElement.dataset.target", name)
    shares = browser.run("[...document.querySelectorAll('#large .value')].map(value => parseFloat(value.textContent))")
    np.testing.assert_allclose(shares, 100 * run.probabilities[row], atol=0.06)
    browser.click("#large-map")
    browser.wait_for(HEAT, "")
    browser.click("#large-map")
    browser.wait_for(HEAT, lambda words: words != "")
    browser.run("document.getElementById('large-opacity').focus()")
    browser.press("Home")
    browser.wait_for("getComputedStyle(document.querySelector('#large .heat')).opacity", "0")
    browser.press("ArrowRight")
    browser.wait_for("getComputedStyle(document.querySelector('#large .heat')).opacity", "0.05")
    browser.click("#next")
    browser.wait_for(TITLE, lambda title: title != path)
    browser.click("#previous")
    browser.wait_for(TITLE, path)
    browser.click("#close")
    browser.wait_for(TITLE, False)


def test_the_address_holds_what_is_shown(browser, run):
    browser.choose("#label", "dog")
    browser.choose("#sort", "loss")
    browser.click(".card .stage")
    path = opened(browser)
    address = browser.wait_for("location.hash", lambda address: "picture=" in address)
    assert set(address.partition("?")[2].split("&")) == {
        "label=dog", "sort=loss", f"picture=valid%2F{path.replace('/', '%2F').replace(' ', '%20')}"
    }  # fmt: skip
    browser.call("Page.navigate", url="about:blank")
    browser.wait_for("location.href", "about:blank")
    browser.open(run.folder / "report" / "index.html", address)
    browser.wait_for(TITLE, path)
    browser.wait_for("[document.getElementById('label').value, document.getElementById('sort').value]", ["dog", "loss"])
    browser.press("Escape")
    browser.wait_for("location.hash", "#pictures?label=dog&sort=loss")
    for nonsense in (
        "#pictures?label=%E0%A4%A",
        "#pictures?__proto__=x&sort=nothing&picture=valid/none&split=",
        "#x?y",
    ):
        browser.run(f"location.hash = {json.dumps(nonsense)}")
        browser.wait_for(COUNT, "17 of 17 shown") if "x?y" not in nonsense else None
    browser.wait_for("document.getElementById('sort').value", "given")


def test_the_findings_lead_to_their_pictures(browser, run):
    assert browser.run("document.querySelector('h2').textContent").endswith("LIKELY SHORTCUT")
    browser.click('a[href="#pictures?finding=M1"]')
    browser.wait_for(COUNT, "6 of 17 shown")
    browser.click(".shot a.path")
    browser.wait_for(TITLE, run.paths[0])
    browser.click('#large a[href="#finding-M1"]')
    browser.wait_for(TITLE, False)
    browser.wait_for("Math.abs(document.getElementById('finding-M1').getBoundingClientRect().top) < 200", True)
    browser.click("#findings .copy")
    browser.wait_for("document.querySelector('#findings .copy').textContent", "Copied")


def test_light_dark_narrow_and_still(browser, tmp_path):
    colours = []
    for scheme in ("light", "dark"):
        browser.show(scheme=scheme)
        colours.append(
            sum(map(int, re.findall(r"\d+", browser.run("getComputedStyle(document.body).backgroundColor"))))
        )
        assert browser.run(FAINT) == []
        browser.click(".card .stage")
        opened(browser)
        assert browser.run(FAINT) == []
        leave(browser)
    assert colours[0] > 600 > 150 > colours[1]
    for width in (1280, 700, 360):
        browser.show(width=width)
        browser.wait_for("document.documentElement.scrollWidth <= innerWidth", True)
    browser.click(".card .stage")
    opened(browser)
    assert browser.run("document.getElementById('large').scrollWidth <= innerWidth")
    leave(browser)
    browser.show(reduced=True)
    assert browser.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert [url for url in browser.requests if not url.startswith(("data:", "file:///"))] == []
    assert len({url for url in browser.requests if url.startswith("file:")}) == 1


FAINT = """(() => {
  // Texts whose contrast to what is behind them is below WCAG 2.2 AA: 4.5, or 3 for large letters.
  const parts = (colour) => { const n = colour.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one), tint = style.backgroundImage.match(/gradient\\((rgb[^)]*\\))/);
      if (tint) layers.push(parts(tint[1]));
      layers.push(parts(style.backgroundColor));
      if (one.tagName === "DIALOG") break;
    }
    const page = parts(getComputedStyle(document.body).backgroundColor);
    return layers.reverse().reduce((below, top) => over(top, below), page);
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest(".unseen, script, .bar")) continue;
    const paper = behind(element), ink = over(parts(element.closest("svg") ? style.fill : style.color), paper);
    const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) found.push([element.outerHTML.slice(0, 120), ink, paper]);
  }
  return found;
})()"""


def test_names_for_those_who_cannot_see(browser):
    browser.click(".card .stage")
    opened(browser)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "slider", "dialog", "image", "region",
             "navigation", "form", "table"}  # fmt: skip
    nameless = [
        node["role"]["value"] for node in tree
        if not node["ignored"] and node["role"]["value"] in roles and not node.get("name", {}).get("value", "").strip()
    ]  # fmt: skip
    assert [role for role in nameless if role not in ("table", "region", "image")] == []
    assert {"dialog", "slider", "button"} <= {node["role"]["value"] for node in tree if not node["ignored"]}
    leave(browser)
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(title => Number(title.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = browser.run("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(set(ids)) == len(ids)


def test_paper_shows_all_findings(browser):
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("[...document.querySelectorAll('details.expand')].every(one => one.open)")
    assert browser.run("document.querySelectorAll('.card').length") == 17
    hidden = "[...document.querySelectorAll('nav, .tools')].every(one => getComputedStyle(one).display === 'none')"
    assert browser.run(hidden)
    sticky = "e => e.checkVisibility() && getComputedStyle(e).position === 'sticky'"
    assert not browser.run(f"[...document.body.querySelectorAll('*')].some({sticky})")
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.wait_for("[...document.querySelectorAll('details.expand')].some(one => one.open)", False)
    assert browser.call("Page.printToPDF")["data"].startswith("JVBERi0")  # "%PDF-"


def test_hostile_names_do_nothing_in_a_browser(shared_browser, tmp_path):
    browser = shared_browser
    names = '"><img src=x onerror=alert(4)> {row}.png'
    run = make_run(tmp_path / "<b>hostile", classes=HOSTILE, names=names)
    nasty = "</script><script>alert(5)</script>"
    figures = {nasty: {"file": "../../config.json", "kind": "heat"}, "a": {"file": nasty, "kind": nasty}}
    shown = {"id": nasty, "name": "<img src=x onerror=alert(6)>", "status": "red", "layer": nasty, "sentence": nasty}
    shown |= {"value": 1.0, "images": run.paths[:2], "details": {nasty: nasty}, "figures": figures}
    make_audit(run, verdict=nasty, extra=[shown])
    path = write_report(run.folder)
    browser.open(path)
    browser.choose("#label", HOSTILE[1])
    browser.click(".card .stage")
    assert opened(browser).endswith(".png")
    assert browser.run("document.querySelectorAll('script').length") == 3
    assert (
        browser.run(
            "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))"
        )
        is False
    )
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    leave(browser)
    browser.click('a[href^="#pictures?finding="][href*="script"]')
    browser.wait_for(COUNT, "2 of 12 shown")
    assert browser.messages == []


def test_a_folder_with_lazy_pictures(shared_browser, tmp_path, monkeypatch):
    monkeypatch.setattr(run_page, "LIMIT", 20)
    monkeypatch.setattr(gallery, "LIMIT", 20)
    browser = shared_browser
    run = make_run(tmp_path / "many", each=150, methods=("grad_cam",), targets="predicted")
    path = write_report(run.folder, limit=None)
    shutil.rmtree(run.pictures)  # the page needs only what lies beside it
    browser.requests.clear()
    browser.show(height=700)
    browser.open(path)
    browser.wait_for(COUNT, "300 of 300 shown")
    assert not [url for url in browser.requests if url.endswith(".webp")]
    browser.run("document.getElementById('pictures').scrollIntoView({behavior: 'instant'})")
    loaded = (
        "[...document.querySelectorAll('.card .photo')].filter(image => image.complete && image.naturalWidth).length"
    )
    browser.wait_for(f"{loaded} > 4", True)
    cards = browser.run("document.querySelectorAll('.card').length")
    assert 4 < cards < 60
    assert len([url for url in browser.requests if url.endswith(".webp")]) <= 2 * cards + 40
    browser.run("document.querySelector('.card .stage').focus({preventScroll: true})")
    browser.press("End")
    browser.wait_for("Number(document.activeElement.closest('.card')?.dataset.place)", 299)
    assert browser.run("document.querySelectorAll('.card').length") < 60
    browser.press("Enter")
    browser.wait_for("[...document.querySelectorAll('#large img')].filter(i => i.complete && i.naturalWidth).length", 3)
    leave(browser)
    browser.choose("#error", "wrong")
    wrong = int((run.predicted != run.labels).sum())
    browser.wait_for(COUNT, f"{wrong} of 300 shown")
    assert browser.messages == []
    folder = path.parent.resolve().as_uri()
    assert [url for url in browser.requests if not url.startswith((folder, "data:"))] == []
