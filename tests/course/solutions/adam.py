"""Solutions of chapter 10."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
def step(w, m, v, g, t, steps):
    rate = 0.01 * (1 - (t - 1) / steps)
    m = 0.85 * m + (1 - 0.85) * g
    v = 0.99 * v + (1 - 0.99) * g**2
    m_bias, v_bias = 1 - 0.85**t, 1 - 0.99**t
    w = w - rate * (m / m_bias) / ((v / v_bias) ** 0.5 + 1e-8)
    return w, m, v

def life(w, gradients, steps):
    m, v, values = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        w, m, v = step(w, m, v, g, t, steps)
        values.append(w)
    return values

def resume(w, m, v, done, gradients, steps):
    for t, g in enumerate(gradients, start=done + 1):
        w, m, v = step(w, m, v, g, t, steps)
    return [w, m, v]
"""

WRONG: Wrong = {
    "no correction": (
        "m_bias, v_bias = 1 - 0.85**t, 1 - 0.99**t",
        "m_bias = v_bias = 1",
        "There is no bias correction",
    ),
    "corrected means that are kept": (
        """    w = w - rate * (m / m_bias) / ((v / v_bias) ** 0.5 + 1e-8)
""",
        """    m, v = m / m_bias, v / v_bias
    w = w - rate * m / (v ** 0.5 + 1e-8)
""",
        "The corrected m and v are for this step alone",
    ),
    "a step for each gradient that never came": (
        "for t, g in enumerate(gradients, start=1):",
        "for t, g in ((t, gradients[t - 1]) for t in range(1, steps + 1)):",
        "fewer gradients than steps",
    ),
    "betas exchanged": (
        """    m = 0.85 * m + (1 - 0.85) * g
    v = 0.99 * v + (1 - 0.99) * g**2
    m_bias, v_bias = 1 - 0.85**t, 1 - 0.99**t
""",
        """    m = 0.99 * m + (1 - 0.99) * g
    v = 0.85 * v + (1 - 0.85) * g**2
    m_bias, v_bias = 1 - 0.99**t, 1 - 0.85**t
""",
        "here they are exchanged",
    ),
    "betas of other programs": (
        """    m = 0.85 * m + (1 - 0.85) * g
    v = 0.99 * v + (1 - 0.99) * g**2
    m_bias, v_bias = 1 - 0.85**t, 1 - 0.99**t
""",
        """    m = 0.9 * m + (1 - 0.9) * g
    v = 0.999 * v + (1 - 0.999) * g**2
    m_bias, v_bias = 1 - 0.9**t, 1 - 0.999**t
""",
        "the β of other programs",
    ),
    "the square of m": ("0.99 * v + (1 - 0.99) * g**2", "m**2", "not the square of m"),
    "added under the root": ("** 0.5 + 1e-8)", "+ 1e-8) ** 0.5", "after the root"),
    "no small number": (" + 1e-8", "", "The small number 1e-8 is missing"),
    "no root": (" ** 0.5", "", "not by v itself"),
    "a plus": ("w - rate", "w + rate", "with a minus"),
    "a rate that stays": ("(1 - (t - 1) / steps)", "1", "smaller with each step"),
    "a rate ahead": ("(1 - (t - 1) / steps)", "(1 - t / steps)", "one step ahead"),
    "counted from 0": ("enumerate(gradients, start=1)", "enumerate(gradients)", "divides by 0"),
    "another order": (
        "rate * (m / m_bias) / ((v / v_bias) ** 0.5 + 1e-8)",
        "rate * ((m / m_bias) / ((v / v_bias) ** 0.5 + 1e-8))",
        "rounded in another way",
    ),
    "a decimal fraction": ("(1 - 0.85) * g", "0.15 * g", "is not exactly 0.15"),
    "no m and v": (
        "steps):\n    for t, g",
        "steps):\n    m = v = 0.0\n    for t, g",
        "has lost its memory",
    ),
    "steps that begin again": ("start=done + 1", "start=1", "The steps before the checkpoint"),
}
