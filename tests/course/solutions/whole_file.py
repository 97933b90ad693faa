"""Solutions of chapter 8."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import microgpt

def parameters(letters, width, layers, context):
    attention = 4 * width * width
    neurons = 2 * (4 * width) * width
    tables = 2 * (letters + 1) * width + context * width
    return tables + layers * (attention + neurons)

def loss(model, text):
    tokens = [model.bos] + [model.chars.index(letter) for letter in text] + [model.bos]
    losses = []
    for target, logits in zip(tokens[1:], microgpt.gpt(model, tokens)):
        losses.append(-microgpt.softmax(logits)[target].log())
    return sum(one.data for one in losses) / len(losses)
"""

WRONG: Wrong = {
    "no end": ("in zip(t", "in zip((tokens[i + 1] for i in range(99)) or t", "nothing comes"),
    "no bos among the tokens": ("(letters + 1)", "letters", "There is one token more"),
    "no lm_head": ("2 * (letters + 1)", "(letters + 1)", "lm_head is missing"),
    "no wpe": (" + context * width", "", "wpe is missing"),
    "three matrices of attention": (
        "= 4 * width",
        "= 3 * width",
        "Attention has four matrices",
    ),
    "one matrix of the neurons": ("2 * (4 * width)", "4 * width", "have two matrices"),
    "as many neurons as numbers": ("(4 * width)", "width", "four times as many neurons"),
    "one layer": ("layers * (", "1 * (", "this counts those of one layer"),
    "no bos at the beginning": ("[model.bos] + [", "[", "the text begins with bos"),
    "no bos at the end": ("] + [model.bos]", "]", "the text ends with bos"),
    "targets that are not moved": ("zip(tokens[1:]", "zip(tokens", "which it need not guess"),
    "a sum": (" / len(losses)", "", "This is the sum"),
    "a mean over the whole text": ("/ len(losses)", "/ (len(tokens) - 1)", "has made, not by"),
    "no minus": ("append(-", "append(", "a loss is its opposite"),
    "no logarithm": (
        "(-microgpt.softmax(logits)[target].log())",
        "(microgpt.softmax(logits)[target])",
        "the logarithm is missing",
    ),
    "a Value": (
        "sum(one.data for one in losses)",
        "sum(losses[1:], losses[0])",
        "its number is .data",
    ),
}
