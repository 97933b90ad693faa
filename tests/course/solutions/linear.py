"""Solutions of chapter 5."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
def dot(x, y):
    return sum([a * b for a, b in zip(x, y)])

def linear(x, weight):
    return [dot(x, row) for row in weight]

def gradient(xs, errors):
    found = [[0.0] * len(xs[0]) for _ in errors[0]]
    for x, error in zip(xs, errors):
        for i in range(len(error)):
            for j in range(len(x)):
                found[i][j] += error[i] * x[j]
    return found

def strongest(xs, errors, i, j):
    pulls = [abs(error[i] * x[j]) for x, error in zip(xs, errors)]
    return pulls.index(max(pulls))
"""

WRONG: Wrong = {
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
}
