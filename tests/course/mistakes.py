"""What learners typically write instead of the right solutions of the exercises."""

from __future__ import annotations

# Text of the right solution, what stands there instead, and a part of the sentences that follow.
WRONG: dict[int, dict[str, tuple[str, str, str]]] = {
    1: {
        "letters in place of bytes": (
            'list(text.encode("utf-8"))',
            "[ord(letter) for letter in text]",
            "ord() is the number of a letter in Unicode",
        ),
        "bytes as letters": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(chr(byte) for token in tokens for byte in parts[token])',
            "takes every byte for a letter",
        ),
        "each token decoded by itself": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(parts[token].decode("utf-8") for token in tokens)',
            "One token may be a part of a letter",
        ),
        "broken letters replaced": (
            'b"".join(parts[token] for token in tokens).decode("utf-8")',
            '"".join(parts[token].decode("utf-8", "replace") for token in tokens)',
            "what a tokenizer loses, no model can learn",
        ),
        "nothing merged": (
            "for new, (left, right) in enumerate(merges, start=256):",
            "for new, (left, right) in []:",
            "nothing has been merged",
        ),
        "a token merged twice": ("i += 2", "i += 1", "may be merged only once"),
        "merges from the last to the first": (
            "in enumerate(merges, start=256):",
            "in reversed(list(enumerate(merges, start=256))):",
            "tokens that an earlier merge has made",
        ),
        "the longest token first": (
            "def encode(text, merges):",
            """def encode(text, merges):
    parts, rest, tokens = [bytes([byte]) for byte in range(256)], text.encode("utf-8"), []
    for left, right in merges:
        parts.append(parts[left] + parts[right])
    while rest:
        fits = [token for token, part in enumerate(parts) if rest.startswith(part)]
        tokens.append(max(fits, key=lambda token: len(parts[token])))
        rest = rest[len(parts[tokens[-1]]) :]
    return tokens

def encode_in_order(text, merges):""",
            "Merges are applied in the order of the list",
        ),
        "numbers from 255": ("start=256", "start=255", "Every occurrence of the pair"),
    },
    2: {
        "no dot at the end": (
            """for name in test:
        text = "." + name + "."
""",
            """for name in test:
        text = "." + name
""",
            "The end of a name is a prediction, too",
        ),
        "no dots at the beginning": (
            """    for name in test:
        text = "." + name + "."
""",
            """    for name in test:
        text = name + "."
""",
            "The first letter is a prediction, too",
        ),
        "two dots": ("+= count", "+= count * (1 + (first == '.'))", "Nothing follows the dot"),
        "bits": ("-log(p)", "-log2(p)", "This is in bits"),
        "no minus": ("-log(p)", "log(p)", "a loss is its opposite"),
        "a sum": ("sum(losses) / len(losses)", "sum(losses)", "This is the sum"),
        "a mean over names": (
            "sum(losses) / len(losses)",
            "sum(losses) / len(test)",
            "not over names",
        ),
        "one more in all": ("+ 27)", "+ 1)", "their sum grows by 27"),
        "letters only": ("+ 27)", "+ 26)", "There are 27 symbols"),
        "nothing added": (
            "(pairs[first, second] + 1) / (totals[first] + 27)",
            "pairs[first, second] / totals[first]",
            "this has nothing added",
        ),
        "no count for new pairs": (
            "(pairs[first, second] + 1)",
            "(dict(pairs)[first, second] + 1)",
            "A pair that was never counted",
        ),
        "the test names are counted": (
            "for name in train:",
            "for name in train + test:",
            "The test names have been counted",
        ),
    },
    3: {
        "shares of the logits": (
            "return [power / sum(powers) for power in powers]",
            "return [logit / sum(logits) for logit in logits]",
            "shares of the logits",
        ),
        "divided by the largest": (
            "return [power / sum(powers) for power in powers]",
            "return powers",
            "not by the largest one",
        ),
        "an overflow": (
            "powers = [exp(logit - largest)",
            "powers = [exp(logit)",
            "larger than any number that a float can have",
        ),
        "large logits cut off": (
            "powers = [exp(logit - largest)",
            "powers = [exp(min(logit, 700))",
            "their differences are lost",
        ),
        "log of a probability": (
            "return log(total) - (logits[target] - largest)",
            "return -log(softmax(logits)[target])",
            "log(0) has no value",
        ),
        "a smallest probability": (
            "return log(total) - (logits[target] - largest)",
            "return -log(max(softmax(logits)[target], 1e-12))",
            "A smallest probability such as 1e-12 cuts it off",
        ),
        "a small number is added": (
            "return log(total) - (logits[target] - largest)",
            "return -log(softmax(logits)[target] + 1e-9)",
            "A loss that is cut off",
        ),
        "no minus": (
            "return log(total) - (logits[target] - largest)",
            "return logits[target] - largest - log(total)",
            "a loss is its opposite",
        ),
        "bits": (
            "return log(total) - (logits[target] - largest)",
            "return (log(total) - (logits[target] - largest)) / log(2)",
            "This is in bits",
        ),
        "the largest subtracted once": (
            "(logits[target] - largest)",
            "logits[target]",
            "minus the natural logarithm of the target",
        ),
    },
    4: {
        "the slope from x": ("1 - t * t", "1 - x.data**2", "this is 1 − x²"),
        "no square": ("1 - t * t", "1 - t", "the square is missing"),
        "a float": ("Value(t, (x,), (1 - t * t,))", "t", "remembers nothing"),
        "no child": ("(x,)", "(Value(x.data),)", "the walk backward never reaches x"),
        "no tuple of children": ("(x,)", "(x)", "(x,) with a comma is one"),
        "no tuple": ("(1 - t * t,)", "(1 - t * t)", "(x,) with a comma is one"),
        "the tanh of a Value": ("math.tanh(x.data)", "math.tanh(x)", "its number is x.data"),
        "powers that overflow": (
            "math.tanh(x.data)",
            "(math.exp(2 * x.data) - 1) / (math.exp(2 * x.data) + 1)",
            "use math.tanh",
        ),
        "one side": (
            "return (f(x + h) - f(x - h)) / (2 * h)",
            "return (f(x + h) - f(x)) / h",
            "one side alone",
        ),
        "one side, with a smaller step": (
            "h = 1e-5\n    return (f(x + h) - f(x - h)) / (2 * h)",
            "h = 1e-7\n    return (f(x + h) - f(x)) / h",
            "Look to both sides",
        ),
        "half the distance": ("(2 * h)", "h", "it is 2·h, not h"),
        "the other sign": ("f(x + h) - f(x - h)", "f(x - h) - f(x + h)", "the opposite sign"),
        "a step that is too small": ("h = 1e-5", "h = 1e-14", "sees rounding errors"),
        "a step that is lost": ("h = 1e-5", "h = 1e-20", "lost in rounding"),
    },
    5: {
        "columns of the weights": (
            "[dot(x, row) for row in weight]",
            "[dot(x, column) for column in zip(*weight)]",
            "Rows and columns are exchanged",
        ),
        "products without their sum": (
            "[dot(x, row) for row in weight]",
            "[[a * b for a, b in zip(x, row)] for row in weight]",
            "the dot product is one number",
        ),
        "a gradient on its side": (
            "    return found",
            "    return [list(column) for column in zip(*found)]",
            "Rows and columns are exchanged",
        ),
        "the last token only": ("+= error[i]", "= error[i]", "this is the last one's alone"),
        "one row": (" for _ in errors[0]]", "] * len(errors[0])", "one and the same list"),
        "a mean": ("+= error[i] * x[j]", "+= error[i] * x[j] / len(xs)", "Add the pulls up"),
        "the other sign": ("+= error[i]", "-= error[i]", "has the opposite sign"),
        "a pull with its sign": ("abs(error[i] * x[j])", "error[i] * x[j]", "compare magnitudes"),
        "the largest error": ("abs(error[i] * x[j])", "abs(error[i])", "compare these products"),
        "counted from 1": ("pulls.index(max(pulls))", "pulls.index(max(pulls)) + 1", "from 0"),
    },
    6: {
        "the number of tokens": ("sqrt(len(query))", "sqrt(len(queries))", "number of tokens"),
        "a look ahead": ("keys[: t + 1]", "keys", "A token looks ahead"),
        "a score of 0": (
            "keys[: t + 1]]",
            "keys]\n        scores[t + 1 :] = [0.0] * (len(keys) - t - 1)",
            "A score of 0 is a score like others",
        ),
        "a weight of 0": (
            "keys[: t + 1]]\n        weights = softmax(scores)",
            "keys]\n        weights = softmax(scores)[: t + 1]",
            "add up to less than 1",
        ),
        "no square root": (" / sqrt(len(query))", "", "else softmax is too sure"),
        "the length itself": ("sqrt(len(query))", "len(query)", "not by the length"),
        "values as keys": ("in keys[: t + 1]", "in values[: t + 1]", "weighted by the softmax"),
        "keys ask, queries answer": (
            "def attention(queries, keys, values)",
            "def attention(keys, queries, values)",
            "here two are exchanged",
        ),
        "keys and values exchanged": (
            "def attention(queries, keys, values)",
            "def attention(queries, values, keys)",
            "here two are exchanged",
        ),
        "an overflow": ("exp(score - max(scores))", "exp(score)", "subtract the largest score"),
    },
    7: {
        "a sum of squares": (") / len(x) + 1e-5", ") + 1e-5", "divide their sum by the count"),
        "no root": (
            "sqrt(sum([xi * xi for xi in x]) / len(x) + 1e-5)",
            "sum([xi * xi for xi in x]) / len(x) + 1e-5",
            "not by the mean itself",
        ),
        "nothing added": (" + 1e-5", "", "The 1e-5 is missing"),
        "nothing added for the gradient": (" + 0.00001", "", "The 1e-5 is missing"),
        "added after the root": ("+ 1e-5)", "+ 0) + 1e-5", "before the root"),
        "a constant": ("(gi - yi * mean)", "gi", "This takes ρ for a constant"),
        "the other sign": ("(gi - yi * mean)", "(gi + yi * mean)", "the second path is subtracted"),
        "a sum of products": (" / len(g)", "", "has the mean of g · y, not the sum"),
        "a mean of gradients": ("[gi * yi for", "[gi for", "not the mean of g alone"),
        "not divided": ("(gi - yi * mean) / rho", "gi - yi * mean", "Both paths are divided by ρ"),
        "numbers that are not normalized": (
            "- yi * mean",
            "- x[0] / y[0] * yi * mean",
            "not x itself",
        ),
        "no path through the plus": ("[gi + ti for", "[ti for", "path through the plus is missing"),
        "no path through the weights": (
            "[gi + ti for",
            "[gi for",
            "path through the weights is missing",
        ),
        "rows for columns": (
            "for gi, row in zip(g, weight)])",
            "for gi, row in zip(g, zip(*weight))])",
            "The matrix is square",
        ),
        "no norm": ("through = rmsnorm_gradient(x, back)", "through = back", "block without it"),
    },
    8: {
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
    },
    9: {
        "one side": (
            "(loss(forward, right, g) - loss(forward, left, g)) / (2 * h)",
            "(loss(forward, right, g) - loss(forward, x, g)) / h",
            "one side alone sees the curve bend",
        ),
        "half the distance": ("/ (2 * h)", "/ h", "it is 2·h, not h"),
        "one list for both points": (
            "right, left = list(x), list(x)",
            "right, left = x, x",
            "list(x) is a copy",
        ),
        "a step to the left": (
            "right, left = list(x), list(x)",
            "right, left = list(x), x",
            "not moved back",
        ),
        "differences with a sign": (
            "abs(backward(x, g)[i] - slope)",
            "backward(x, g)[i] - slope",
            "compare with abs",
        ),
        "differences with the other sign": (
            "abs(backward(x, g)[i] - slope)",
            "slope - backward(x, g)[i]",
            "compare with abs",
        ),
        "a mean": ("max(found)", "sum(found) / len(found)", "the mean of the differences"),
        "a sum of differences": ("max(found)", "sum(found)", "the sum of the differences"),
        "a sum of outputs": ("[a * b for a, b", "[b for a, b", "not the sum of the outputs"),
        "ones": ("rng.uniform(-1, 1) for", "1.0 for", "With ones in place of random numbers"),
        "the same input": ("        x = y\n", "", "the output of the one before"),
        "equality": ("> 1e-5", "> 0", "by rounding"),
        "a large difference": ("> 1e-5", "> 0.01", "is too large"),
        "the last one": ("return name", "result = name", "This is the last wrong operation"),
    },
    10: {
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
    },
}
