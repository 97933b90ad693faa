"""Solutions of chapter 12."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
from math import exp, sqrt

def probabilities(logits, temperature, top_k, top_p):
    if temperature == 0:
        best = logits.index(max(logits))
        return [float(token == best) for token in range(len(logits))]
    powers = [exp((z - max(logits)) / temperature) for z in logits]
    order = sorted(range(len(powers)), key=lambda token: -powers[token])[:top_k]
    whole, total, kept = sum(powers[token] for token in order), 0.0, []
    for token in order:
        kept.append(token)
        total += powers[token]
        if top_p < 1 and total >= top_p * whole:
            break
    result = [0.0] * len(logits)
    for token in kept:
        result[token] = powers[token] / total
    return result

def attend(cache, queries, keys, values):
    all_keys = cache.setdefault("keys", [])
    all_values = cache.setdefault("values", [])
    before = len(all_keys)
    all_keys += keys
    all_values += values
    outputs = []
    for t, query in enumerate(queries):
        seen = before + t + 1
        scores = [sum(a * b for a, b in zip(query, key)) for key in all_keys[:seen]]
        powers = [exp((s - max(scores)) / sqrt(len(query))) for s in scores]
        columns = zip(*all_values[:seen])
        outputs.append([sum(p * v for p, v in zip(powers, c)) / sum(powers) for c in columns])
    return outputs
"""

WRONG: Wrong = {
    "multiplied by the temperature": (
        "exp((z - max(logits)) / temperature)",
        "exp((z - max(logits)) * temperature)",
        "here they are multiplied",
    ),
    "probabilities divided by the temperature": (
        "exp((z - max(logits)) / temperature)",
        "exp(z - max(logits)) / temperature",
        "divide the logits, before softmax",
    ),
    "no division by the new sum": (
        "powers[token] / total",
        "powers[token] / sum(powers)",
        "Divide by the sum of those that are kept",
    ),
    "without the token that reaches top-p": (
        """        kept.append(token)
        total += powers[token]
        if top_p < 1 and total >= top_p * whole:
            break
""",
        """        if top_p < 1 and total + powers[token] >= top_p * whole:
            break
        kept.append(token)
        total += powers[token]
""",
        "The token that reaches top-p is kept, too",
    ),
    "top-p of all": (
        "total >= top_p * whole",
        "total >= top_p * sum(powers)",
        "after their probabilities add up to 1 again",
    ),
    "top-p before the temperature": (
        "        total += powers[token]\n        if top_p < 1 and total >= top_p * whole:",
        """        total += powers[token]
        cold = [exp(logits[other]) for other in order]
        if top_p < 1 and sum(cold[: len(kept)]) >= top_p * sum(cold):""",
        "top-p comes before the temperature",
    ),
    "results by size": (
        """    for token in kept:
        result[token] = powers[token] / total
""",
        """    for place, token in enumerate(kept):
        result[place] = powers[token] / total
""",
        "put the probabilities back",
    ),
    "the least likely": ("token: -powers[token]", "token: powers[token]", "the least likely"),
    "a smallest logit": (
        "    order = sorted(range(len(powers)), key=lambda token: -powers[token])[:top_k]",
        """    order = sorted(range(len(powers)), key=lambda token: -powers[token])
    least = powers[order[top_k - 1]] if top_k else 0.0
    order = [token for token in order if powers[token] >= least]""",
        "top_k is a number of tokens",
    ),
    "the higher number": (
        "key=lambda token: -powers[token])[:top_k]",
        "key=lambda token: powers[token])[::-1][:top_k]",
        "the lower number comes first",
    ),
    "a top_k that is None": ("[:top_k]", "[: top_k + 0]", "top_k may be None"),
    "an empty cache": ('cache.setdefault("keys", [])', 'cache["keys"]', "put empty lists into it"),
    "an overflow": ("(z - max(logits)) / t", "z / t", "Large logits overflow"),
    "all of the likeliest": (
        "float(token == best)",
        "float(logits[token] == max(logits))",
        "the token with the lowest number is taken",
    ),
    "the last of the likeliest": (
        "best = logits.index(max(logits))",
        "best = max(range(len(logits)), key=lambda token: (logits[token], token))",
        "the token with the lowest number is taken",
    ),
    "a division by 0": ("temperature == 0", "temperature < 0", "One cannot divide by 0"),
    "nothing kept": (
        """    all_keys = cache.setdefault("keys", [])
    all_values = cache.setdefault("values", [])
""",
        "    all_keys, all_values = [], []\n",
        "have to be kept in the cache",
    ),
    "the last piece only": (
        "    return outputs",
        "    all_keys[:], all_values[:] = keys, values\n    return outputs",
        "do not replace it",
    ),
    "a mask that begins at 0": ("before + t + 1", "t + 1", "sees too few keys"),
    "a look ahead": ("before + t + 1", "len(all_keys)", "looks ahead in its own piece"),
    "not itself": ("before + t + 1", "before + t", "must see its own key"),
    "one cache for all texts": (
        "def attend(cache, queries, keys, values):",
        "everything = {}\n\ndef attend(_, queries, keys, values, cache=everything):",
        "The second text sees the keys of the first",
    ),
    "no square root": ("/ sqrt(len(query))", "", "Divide the scores by the square root"),
    "keys and values exchanged": (
        "def attend(cache, queries, keys, values):",
        "def attend(cache, queries, values, keys):",
        "here two are exchanged",
    ),
}
