"""Solutions of chapter 14."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from anexa.course.fast_training import fast_loss, fast_train

def switch_off(model, head):
    for row in model.weights["layer0.attn_wo"]:
        for weight in row[4 * head : 4 * head + 4]:
            weight.data = 0.0

def effects(model, text):
    found, whole = [], fast_loss(model, text)
    for head in range(4):
        before = [value.data for value in model.parameters]
        switch_off(model, head)
        found.append(fast_loss(model, text) - whole)
        for value, number in zip(model.parameters, before):
            value.data = number
    return found

def most(model, text):
    found = effects(model, text)
    return found.index(max(found))

def retrain(model, words, steps, head):
    losses = []
    switch_off(model, head)
    for one in fast_train(model, words, steps):
        losses.append(one)
        switch_off(model, head)
    return losses
"""

OFF = """    for row in model.weights["layer0.attn_wo"]:
        for weight in row[4 * head : 4 * head + 4]:
"""
AFTER = """        losses.append(one)
        switch_off(model, head)
"""

WRONG: Wrong = {
    "rows": (
        OFF,
        """    for row in model.weights["layer0.attn_wo"][4 * head : 4 * head + 4]:
        for weight in row:
""",
        "These are rows of attn_wo",
    ),
    "every fourth column": ("row[4 * head : 4 * head + 4]", "row[head::4]", "not every fourth"),
    "one column": ("row[4 * head : 4 * head + 4]", "[row[4 * head]]", "Here only a part"),
    "a query of 0": (
        OFF,
        """    for row in model.weights["layer0.attn_wq"][4 * head : 4 * head + 4]:
        for weight in row:
""",
        "looks at all tokens alike",
    ),
    "a key of 0": (
        OFF,
        """    for row in model.weights["layer0.attn_wk"][4 * head : 4 * head + 4]:
        for weight in row:
""",
        "looks at all tokens alike",
    ),
    "heads that stay off": (
        """        for value, number in zip(model.parameters, before):
            value.data = number
""",
        "",
        "The heads before are still off",
    ),
    "one head alone": (
        "        switch_off(model, head)\n        found",
        "        [switch_off(model, one) for one in range(4) if one != head]\n        found",
        "head h alone is on",
    ),
    "losses": (" - whole", "", "subtract the loss with all heads"),
    "with minus without": (
        "fast_loss(model, text) - whole",
        "whole - fast_loss(model, text)",
        "Without minus with",
    ),
    "a sum": (
        "fast_loss(model, text) - whole",
        "(fast_loss(model, text) - whole) * (len(text) + 1)",
        "minus the loss with all heads",
    ),
    "the largest change": (
        "max(found)",
        "max(found, key=abs)",
        "on this text the head does harm",
    ),
    "the least": ("max(found)", "min(found)", "this head is missed least"),
    "heads from 1": ("found.index(max(found))", "found.index(max(found)) + 1", "counted from 0"),
    "off once": (AFTER, "        losses.append(one)\n", "has switched it on again"),
    "on in the first step": (
        "losses = []\n    switch_off(model, head)",
        "losses = []",
        "on in the first step",
    ),
    "off after the training": (
        """    switch_off(model, head)
    for one in fast_train(model, words, steps):
        losses.append(one)
        switch_off(model, head)
    return""",
        """    for one in fast_train(model, words, steps):
        losses.append(one)
    switch_off(model, head)
    return""",
        "the training with all heads",
    ),
}
