"""The colors of numbers and the glyphs of what is not finite, as Chromium paints them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.explore.explorer import Explorer
from tests.explore.test_page import go

pytestmark = pytest.mark.slow

# Red, green and blue of each of these numbers, one pixel a number, and their strengths.
PAINT = """
async (numbers) => {
  const { makeScale, paint, strength } = await import("/explore/colors.js");
  const scale = makeScale(numbers, numbers);
  const pixels = new Uint32Array(numbers.length);
  paint(pixels, numbers, numbers.length, scale, true);
  const split = (pixel) => [0, 8, 16].map((bits) => (pixel >> bits) & 255);
  const strengths = numbers.map((x) => strength(scale, x));
  return { scale, colors: [...pixels].map(split), strengths };
}
"""

# Whether each diagonal of the glyph of a number is drawn: the falling and the rising one.
GLYPH = """
async (name) => {
  const { css, drawGlyph, palette } = await import("/explore/colors.js");
  const context = new OffscreenCanvas(24, 24).getContext("2d", { willReadFrequently: true });
  drawGlyph(context, Number(name), 0, 0, 24);
  const color = (x, y) => css(new Uint32Array(context.getImageData(x, y, 1, 1).data.buffer)[0]);
  return [color(7, 7), color(7, 16)].map((one) => one !== css(palette().ground));
}
"""


def test_signs_have_colors_on_an_arcsinh_scale(explore_page: Any) -> None:
    numbers = [-4.0, -1.0, -0.1, 0.0, 0.1, 1.0, 4.0]
    found = explore_page.evaluate(PAINT, numbers)
    rms = float(np.sqrt(np.mean(np.square(numbers))))
    assert found["scale"] == {"max": 4, "rms": pytest.approx(rms), "special": False}
    wanted = [math.asinh(x / rms) / math.asinh(4 / rms) for x in numbers]
    assert found["strengths"] == pytest.approx(wanted)
    ground = [0xFB, 0xFB, 0xF9]
    assert found["colors"][3] == ground
    for x, (red, _green, blue) in zip(numbers, found["colors"]):
        if x:
            assert (red > blue) == (x > 0)  # orange, or blue
    away = [sum(abs(a - b) for a, b in zip(color, ground)) for color in found["colors"]]
    assert away[0] > away[1] > away[2] > away[3] == 0 < away[4] < away[5] < away[6]


def test_what_is_not_finite_has_glyphs_of_its_own(explore_page: Any) -> None:
    glyphs = {name: explore_page.evaluate(GLYPH, name) for name in ("NaN", "-Infinity", "Infinity")}
    assert glyphs == {"NaN": [True, True], "-Infinity": [True, False], "Infinity": [False, True]}


def test_masked_scores_are_shown_and_said(explore_page: Any, explorer: Explorer) -> None:
    tensors = explorer.get("map", text="anna")["tensors"]
    [scores] = [one["name"] for one in tensors if one["name"].endswith(".scores")]
    go(explore_page, f"#/tensor?text=anna&tensor={scores}&index=0,0,0,0")
    explore_page.locator(".grid-view").focus()
    explore_page.keyboard.press("ArrowRight")  # a later token
    explore_page.locator(".grid-status", has_text="−∞").wait_for()
    explore_page.get_by_role("button", name="As a table").click()
    assert explore_page.locator("table tbody tr").first.locator("td").nth(1).inner_text() == "−∞"
    assert explore_page.locator("canvas.grid-key").get_attribute("aria-label").count("−") == 2
