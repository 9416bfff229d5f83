"""A headless Chromium driven over the DevTools pipe: no network port, no packages."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SILENCE = 120
PATIENCE = 60
"""seconds until something that is waited for is said to have failed; only a failure takes that long"""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36,
        "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
"""codes of the keys that are no letters"""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]


class Browser:
    """One tab; `messages` collects what the page logs, throws, or asks of the network."""

    def __init__(self, profile: Path) -> None:
        if PROGRAM is None:
            raise RuntimeError("Chromium is not installed")
        to_browser, from_us = os.pipe()
        from_browser, to_us = os.pipe()
        # The protocol is fixed to the descriptors 3 and 4; a shell moves ours there.
        command = f'exec "$0" "$@" 3<&{to_browser} 4>&{to_us}'
        arguments = ["bash", "-c", command, PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(arguments, pass_fds=(to_browser, to_us), stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(to_us)
        self._write, self._read = os.fdopen(from_us, "wb"), os.fdopen(from_browser, "rb")
        self._numbers, self._session, self._buffer = itertools.count(1), None, b""
        self.messages: list[str] = []
        self.requests: list[str] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: Any) -> None:
        self._session = None
        self.call("Browser.close")
        self._write.close()
        self._read.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._next()).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file and wait until it has loaded."""
        # A mark on the page that goes away: the event of a load may be that of the load before.
        self.run("window.leaving = true")
        self.call("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.wait_for("!window.leaving && document.readyState", "complete")

    def run(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, wanted: Any) -> Any:
        """Wait until an expression has a value, or one of which a function is true: a browser takes its own time."""
        fits: Callable[[Any], bool] = wanted if callable(wanted) else lambda value: value == wanted
        ends, got = time.monotonic() + PATIENCE, None
        while True:
            try:
                if fits(got := self.run(expression)):
                    return got
            except RuntimeError as error:  # the page is on its way, or what is asked about is not there yet
                got = error
            if time.monotonic() > ends:
                raise AssertionError(f"{expression} is {got!r}, not {wanted!r}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until the page has drawn itself and handled what was waiting, such as the end of a dialog."""
        self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(() => setTimeout(done))))")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        code = KEYS[key] if key in KEYS else ord(key.upper())
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)
        self.settle()

    def click(self, selector: str) -> None:
        """Move the mouse to the middle of the first element that fits, which must be on top there, and click."""
        x, y = self.run(
            f"""(async () => {{
              const element = document.querySelector({json.dumps(selector)});
              if (!element) throw new Error("nothing fits " + {json.dumps(selector)});
              element.scrollIntoView({{ block: "center", behavior: "instant" }});
              const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
              for (let waited = 0; waited < 3; waited += 1) await frame();
              const box = element.getBoundingClientRect();
              const at = [box.left + box.width / 2, box.top + box.height / 2];
              const top = document.elementFromPoint(...at);
              if (!element.contains(top)) throw new Error("covered by " + (top && top.outerHTML.slice(0, 200)));
              return at;
            }})()"""
        )
        common = {"x": x, "y": y, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", **common)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **common)
        self.settle()

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list by keys, each when the one before has done its work."""
        field = f"document.querySelector({json.dumps(selector)})"
        wanted = self.run(f"[...{field}.options].map(option => option.value)").index(value)
        ends = time.monotonic() + PATIENCE
        while (at := self.run(f"{field}.selectedIndex")) != wanted:
            if time.monotonic() > ends:
                raise AssertionError(f"{selector} stays at {at} on its way to {wanted}")
            # Asked for before each key: a dialog that has just closed may take the focus away again.
            self.run(f"{field}.focus()")
            self.press("ArrowDown" if at < wanted else "ArrowUp")
        self.settle()

    def write(self, selector: str, text: str) -> None:
        """Click into a field and write."""
        self.click(selector)
        self.wait_for(f"document.activeElement === document.querySelector({json.dumps(selector)})", True)
        self.call("Input.insertText", text=text)
        self.settle()

    def show(self, *, width: int = 1280, height: int = 900, scheme: str = "light", reduced: bool = False) -> None:
        """Set the window's size, and whether light or dark, and less motion, is asked for."""
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if reduced else "no-preference"}
        features = [{"name": "prefers-color-scheme", "value": scheme}, motion]
        self.call("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def screenshot(self, path: Path, *, width: int = 1280, height: int | None = None, scheme: str = "light") -> None:
        """Write a PNG of the page; of all of it without `height`."""
        self.show(width=width, height=height or 900, scheme=scheme)
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=height is None)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], SILENCE)[0]:
                raise RuntimeError(f"Chromium said nothing for {SILENCE} s")
            part = os.read(self._read.fileno(), 1 << 16)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        event = json.loads(line)
        values = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(f"{values['type']}: {values['args']}")
            case "Runtime.exceptionThrown":
                self.messages.append(values["exceptionDetails"]["text"])
            case "Log.entryAdded":
                self.messages.append(values["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(values["request"]["url"])
        return event
