"""Solutions of chapter 15."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import copy
from anexa.course.fast_training import fast_loss, fast_train

def ledger(model, docs, steps, text):
    losses = [fast_loss(model, text)]
    for loss in fast_train(model, docs, steps):
        losses.append(fast_loss(model, text))
    return [after - before for before, after in zip(losses, losses[1:])]

def rank(names, gradients, slopes):
    shares = dict.fromkeys(names, 0.0)
    pots = {name: [0.0] * len(slopes[0]) for name in names}
    for name, gradient, slope in zip(names, gradients, slopes):
        for other in pots:
            pots[other] = [0.85 * pot for pot in pots[other]]
        pots[name] = [pot + 0.15 * g for pot, g in zip(pots[name], gradient)]
        for other in pots:
            shares[other] += sum([s * pot for s, pot in zip(slope, pots[other])])
    return [[name, shares[name]] for name in sorted(shares, key=shares.get)]

def train(model, docs, steps, text):
    new = copy.deepcopy(model)
    for loss in fast_train(new, docs, steps):
        pass
    return fast_loss(new, text)

def without(model, docs, rounds, text, name):
    rest = [other for other in docs if other != name]
    whole = train(model, docs, rounds * len(docs), text)
    return train(model, rest, rounds * len(rest), text) - whole
"""

ADDED = """        for other in pots:
            shares[other] += sum([s * pot for s, pot in zip(slope, pots[other])])
"""

WRONG: Wrong = {
    "losses of the names": (
        "losses.append(fast_loss(model, text))",
        "losses.append(loss)",
        "The ledger is about the loss of the text",
    ),
    "what train yields": (
        """    losses = [fast_loss(model, text)]
    for loss in""",
        """    return list(fast_train(model, docs, steps))
    for loss in""",
        "the losses that train yields",
    ),
    "losses in place of changes": (
        "[after - before for before, after in zip(losses, losses[1:])]",
        "losses[1:]",
        "A ledger has the changes",
    ),
    "before minus after": ("after - before for", "before - after for", "After minus before"),
    "changes since the beginning": (
        "after - before for",
        "after - losses[0] for",
        "since the beginning",
    ),
    "no loss before the training": (
        "losses = [fast_loss(model, text)]",
        "losses = []",
        "The first step counts, too",
    ),
    "own steps only": (
        ADDED,
        "        shares[name] += sum([s * 0.15 * g for s, g in zip(slope, gradient)])\n",
        "in its own steps only",
    ),
    "all of m": (
        ADDED,
        """        for other in pots:
            shares[name] += sum([s * pot for s, pot in zip(slope, pots[other])])
""",
        "all of m to the name that is read",
    ),
    "all of the gradient": ("0.15 * g for", "g for", "not all of it"),
    "pots that do not fade": ("0.85 * pot for", "pot for", "The pots must fade"),
    "a round that replaces": ("[pot + 0.15 * g for", "[0.15 * g for", "Here its later round"),
    "only the own pot fades": (
        "        for other in pots:\n            pots[other] = [0",
        "        for other in [name]:\n            pots[other] = [0",
        "not only the pot of the name",
    ),
    "the worst first": (
        "key=shares.get)",
        "key=shares.get, reverse=True)",
        "begins with the worst teacher",
    ),
    "by size": (
        "key=shares.get)",
        "key=lambda name: -abs(shares[name]))",
        "sorted by size",
    ),
    "in the order of the names": ("sorted(shares, key=shares.get)", "shares", "in the order of"),
    "a dict": (
        "[[name, shares[name]] for name in sorted(shares, key=shares.get)]",
        "shares",
        "a list of pairs",
    ),
    "names alone": (
        "[[name, shares[name]] for name in sorted(shares, key=shares.get)]",
        "sorted(shares, key=shares.get)",
        "a list of pairs",
    ),
    "a slope for all weights": (
        "sum([s * pot for s, pot in zip(slope, pots[other])])",
        "slope * sum(pots[other])",
        "a number for each weight",
    ),
    "one model for both": (
        "    return train(model, rest, rounds * len(rest), text) - whole",
        "    return whole - train(model, docs, rounds * len(docs), text)",
        "the loss is the same",
    ),
    "a training that goes on": ("copy.deepcopy(model)", "model", "goes on from where"),
    "as many steps as before": (
        "rounds * len(rest)",
        "rounds * len(docs)",
        "the other names are read more often",
    ),
    "with minus without": (
        "return train(model, rest, rounds * len(rest), text) - whole",
        "return whole - train(model, rest, rounds * len(rest), text)",
        "Without minus with",
    ),
    "the loss alone": (" - whole", "", "subtract the loss with it"),
}
