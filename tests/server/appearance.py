"""Measurements of how a page looks, computed by the browser that shows it."""

from __future__ import annotations

from typing import Any

# Text that can be seen, with its contrast to the ground behind it, by WCAG 2.2: the colors of all
# backgrounds are laid over each other.
_CONTRASTS = """() => {
  const parse = (color) => {
    const numbers = color.match(/^rgba?\\(([^)]+)\\)$/)?.[1].split(/[ ,/]+/).map(Number);
    if (!numbers) throw new Error(`no RGB color: ${color}`);
    const [r, g, b, a = 1] = numbers;
    return { rgb: [r, g, b], a };
  };
  const over = (above, below) =>
    above.rgb.map((value, i) => value * above.a + below[i] * (1 - above.a));
  const ground = (node) => {
    const chain = [];
    for (let one = node; one; one = one.parentElement) chain.unshift(one);
    return chain.reduce(
      (below, one) => over(parse(getComputedStyle(one).backgroundColor), below), [255, 255, 255]);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (node, pseudo) => {
    const color = parse(getComputedStyle(node, pseudo).color);
    let opacity = Number(getComputedStyle(node, pseudo).opacity);
    for (let one = node; one; one = one.parentElement) opacity *= getComputedStyle(one).opacity;
    if (color.a === 0) return null; // laid behind another text, to shade it
    const below = ground(node);
    const [light, dark] = [over({ ...color, a: color.a * opacity }, below), below]
      .map(luminance).sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  for (const node of document.body.querySelectorAll("*")) {
    if (!node.checkVisibility({ visibilityProperty: true })) continue;
    if (node.matches(".visually-hidden, .visually-hidden *, option")) continue;
    const texts = [];
    const own = [...node.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE);
    texts.push([own.map((one) => one.data).join("").trim(), null]);
    const isField = node.matches("input:not([type=checkbox]), textarea, select");
    if (isField) texts.push([node.value, null]);
    if (node.placeholder && !node.value) texts.push([node.placeholder, "::placeholder"]);
    for (const pseudo of ["::before", "::after"]) {
      const { content } = getComputedStyle(node, pseudo);
      if (!["none", "normal", '""'].includes(content)) texts.push([content, pseudo]);
    }
    for (const [text, pseudo] of texts.filter(([text]) => text)) {
      const ratio = contrast(node, pseudo);
      if (ratio !== null) found.push([`${node.tagName} ${text.slice(0, 40)}`, ratio]);
    }
  }
  return found;
}"""

# What can be clicked, with the smaller side of its target; a checkbox is clicked by its label.
_TARGETS = """() => [...document.querySelectorAll("button, input, select, textarea, summary, a")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true }))
  .map((node) => {
    const target = node.type === "checkbox" ? node.labels[0] : node;
    const { width, height } = target.getBoundingClientRect();
    return [`${node.tagName} ${node.id || node.textContent.slice(0, 40)}`, Math.min(width, height)];
  })"""

_OVERHANGS = """() => [...document.body.querySelectorAll("*")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true }))
  .filter((node) => !node.closest(".visually-hidden"))
  .filter((node) => {
    const { left, right } = node.getBoundingClientRect();
    return left < -0.5 || right > document.documentElement.clientWidth + 0.5;
  })
  .map((node) => node.outerHTML.slice(0, 100))"""


def check_appearance(page: Any) -> None:
    """Check contrast, the size of targets, and that nothing reaches beyond the window."""
    contrasts = page.evaluate(_CONTRASTS)
    assert contrasts
    assert [one for one in contrasts if one[1] < 4.5] == []
    targets = page.evaluate(_TARGETS)
    assert [one for one in targets if one[1] < 24] == []
    assert page.evaluate(_OVERHANGS) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


# Where elements are, in each frame: within the text that scrolls, or in the window.
WATCH = """(selectors) => {
  window.shifts = [];
  window.places = Object.fromEntries(selectors.map((one) => [one, new Set()]));
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      window.shifts.push(entry.sources.map(({ node }) => `${node?.nodeName} ${node?.className}`));
    }
  }).observe({ type: "layout-shift" });
  const main = document.querySelector("main");
  const look = () => {
    for (const selector of selectors) {
      const node = document.querySelector(selector);
      if (!node) continue;
      const { x, y } = node.getBoundingClientRect();
      const scrolled = main.contains(node) ? main.scrollTop : 0;
      window.places[selector].add(`${x.toFixed(1)} ${(y + scrolled).toFixed(1)}`);
    }
    requestAnimationFrame(look);
  };
  look();
}"""
