"""Times of the glass box: `anexa explore` in Chromium and over HTTP.

    python benchmarks/explore.py [--rounds 5]

Needs Playwright and Chromium. Trains a names run (`anexa train firstnames --preset microgpt`) into
a temporary folder, opens it and the bundled model, and prints the median of the rounds, and
the largest of them:

- map: from the request of the page until the map of the bundled model's example is drawn, in a new
  browser profile; the first time includes the computation, later ones reuse it;
- number: one explained number of the bundled model over HTTP, at random places of all its tensors;
- step: the map of a random step of the names run, from key frames, over HTTP, with the replay;
- the highest resident memory of the server at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from anexa.generation.language_model import BUNDLED_FOLDER

ANEXA = [sys.executable, "-m", "anexa"]
TRAIN = [*ANEXA, "train", "firstnames", "--preset", "microgpt", "--no-chat", "--out"]
NUM_NUMBERS = 100  # random numbers that are explained
NUM_STEPS = 30  # random steps that are repeated
# Takes the time of the second frame after the map is there: its pictures are drawn in the first.
WATCH = """
const watch = () => {
  if (!document.querySelector("[data-view=map] canvas")) return requestAnimationFrame(watch);
  const end = () => { window.painted = performance.now(); };
  requestAnimationFrame(() => requestAnimationFrame(end));
};
watch();
"""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "names"
        subprocess.run([*TRAIN, str(run)], check=True, stdout=subprocess.DEVNULL)
        command = [*ANEXA, "explore", str(BUNDLED_FOLDER), str(run), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        found = re.search(r"(http://\S+)/#token=(\S+)", process.stdout.readline())
        assert found
        client = Client(found[1], found[2])
        try:
            show(
                "map, seconds",
                [first_paint(f"{found[1]}/#token={found[2]}") for _ in range(rounds)],
            )
            show("number, seconds", number_times(client))
            show("step, seconds", step_times(client))
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
            print(f"memory: {int(peak) / 1e6:.2f} GB")
        finally:
            process.terminate()
            process.wait()


class Client:
    """Asks the server for JSON.

    Args:
        address: address of the server, without a path.
        token: its token.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token

    def get(self, path: str, **query: object) -> Any:
        """Return the answer for a path below /api/."""
        url = f"{self._address}/api/{path}?{urllib.parse.urlencode(query)}"
        return self._open(urllib.request.Request(url))

    def post(self, path: str, **body: object) -> None:
        """Run a job to its end."""
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        url = f"{self._address}/api/{path}"
        self._open(urllib.request.Request(url, data, headers), is_json=False)

    def _open(self, request: urllib.request.Request, is_json: bool = True) -> Any:
        request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request) as response:
            content = response.read()
        return json.loads(content) if is_json else None


def first_paint(address: str) -> float:
    """Return the seconds until the map is drawn, in a new browser profile."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(address, wait_until="commit")
        page.locator("[data-view=map] canvas").first.wait_for(timeout=60_000)
        page.wait_for_timeout(500)
        milliseconds = page.evaluate("window.painted")
        browser.close()
    return float(milliseconds) / 1000


def number_times(client: Client) -> list[float]:
    """Return the seconds for numbers at random places of the bundled model's tensors."""
    scene = {"folder": 0, "chat": "12+34"}
    tensors = client.get("map", **scene)["tensors"]
    source = random.Random(0)

    def ask() -> None:
        tensor = source.choice(tensors)
        index = ",".join(str(source.randrange(size)) for size in tensor["shape"])
        client.get("number", **scene, tensor=tensor["name"], index=index)

    return [measure_seconds(ask) for _ in range(NUM_NUMBERS)]


def step_times(client: Client) -> list[float]:
    """Return the seconds for the maps of random steps of the names run."""
    source = random.Random(0)

    def ask() -> None:
        step = source.randrange(1001)
        client.post("replay", folder=1, step=step)
        client.get("map", folder=1, step=step, text="anna")

    return [measure_seconds(ask) for _ in range(NUM_STEPS)]


def measure_seconds(function: Callable[[], None]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def show(name: str, seconds: Sequence[float]) -> None:
    """Print the median and the largest of some times."""
    print(f"{name}: {statistics.median(seconds):.3f} (at most {max(seconds):.3f})")


if __name__ == "__main__":
    main()
