"""The operations on `Value` scalars: forward only, as autograd derives the gradients.

A matrix is a list of rows, all T tokens of a sequence at once. A sum of products is one node
(`dot`), and so are a plain sum (`total`) and Φ (`normal_cdf`); everything else is composed of the
operators of `Value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, pi, sqrt

from anexa.engines.batch import IGNORE_INDEX
from anexa.engines.nested import NestedLayerKVCache
from anexa.engines.operations import matrices
from anexa.engines.operations.matrices import SequencePositions
from microgpt import Value, dot, softmax

Vector = list[Value]
Matrix = list[Vector]  # its rows


def total(values: Sequence[Value]) -> Value:
    """Sum values in one node of the graph."""
    return Value(sum(value.data for value in values), tuple(values), (1.0,) * len(values))


def tanh(u: Value) -> Value:
    """Compute the hyperbolic tangent, by the sign of u so that nothing overflows.

    tanh u = (1 − e⁻²ᵘ) / (1 + e⁻²ᵘ).
    """
    if u.data < 0:
        return -tanh(-u)
    e = (u * -2).exp()
    return (1 - e) / (1 + e)


def normal_cdf(x: Value) -> Value:
    """Compute the standard normal distribution function in one node of the graph.

    Φ(x) = erfc(−x / √2) / 2, with the slope e^(−x² / 2) / √(2π).
    """
    slope = exp(-0.5 * x.data * x.data) / sqrt(2 * pi)
    return Value(0.5 * erfc(-x.data / sqrt(2)), (x,), (slope,))


class ScalarOperations:
    """The operations of an architecture (`anexa.model.operations.Operations`) on `Value`s.

    Args:
        recording: whether to record the graph for gradients; if False, the graph of an operation is
            dropped when its result is computed, for inference, as `torch.no_grad`.
    """

    def __init__(self, recording: bool = True) -> None:
        self._recording = recording

    def _result(self, y_TC: Matrix) -> Matrix:
        return y_TC if self._recording else detach(y_TC)

    def embedding(self, table_VC: Matrix, tokens_T: Sequence[int]) -> Matrix:
        """Look up the embedding of each token: y_t = E[token_t].

        The rows are the table's own `Value`s, so gradients reach the table.
        """
        return [table_VC[token] for token in tokens_T]

    def positions(self, x_TC: Matrix, table_SC: Matrix, positions: SequencePositions) -> Matrix:
        """Add the position embedding to each token: y_t = x_t + P[p_t]."""
        return self.add(x_TC, [table_SC[p] for p in matrices.positions_of(positions, len(x_TC))])

    def add(self, x_TC: Matrix, y_TC: Matrix) -> Matrix:
        """Add two matrices of one shape: z = x + y."""
        rows = zip(x_TC, y_TC)
        return self._result([[a + b for a, b in zip(x_row, y_row)] for x_row, y_row in rows])

    def transpose(self, w: Matrix) -> Matrix:
        """Transpose a matrix: y = wᵀ, with the same `Value`s."""
        return list(map(list, zip(*w)))

    def linear(self, x_TC: Matrix, weight_OC: Matrix, bias_O: Vector | None = None) -> Matrix:
        """Apply a linear layer: y = x Wᵀ + b."""
        y_TO = [[dot(row, x) for row in weight_OC] for x in x_TC]
        if bias_O is not None:
            y_TO = [[y + bias for y, bias in zip(row, bias_O)] for row in y_TO]
        return self._result(y_TO)

    def split(self, x_TC: Matrix, parts: int, groups: int = 1) -> tuple[Matrix, ...]:
        """Split the columns into equal parts: x = [y⁰, y¹, …].

        With several groups of columns (heads), each group is split, and yⁱ consists of the i-th
        part of each group.
        """
        return matrices.split(x_TC, parts, groups)

    def layer_norm(self, x_TC: Matrix, gain_C: Vector, bias_C: Vector, eps: float) -> Matrix:
        """Normalize each row to mean 0, variance 1: y = (x − mean(x)) / √(var(x) + ε) · γ + β."""
        y_TC = []
        for row in x_TC:
            mean = total(row) / len(row)
            centered = [x - mean for x in row]
            scale = (dot(centered, centered) / len(row) + eps) ** -0.5
            y_TC.append([x * scale * g + b for x, g, b in zip(centered, gain_C, bias_C)])
        return self._result(y_TC)

    def rms_norm(self, x_TC: Matrix, gain_C: Vector | None, eps: float) -> Matrix:
        """Divide each row by its root mean square: y = x / √(mean(x²) + ε) · γ.

        A row that is longer than the gain γ is cut into groups (heads) of its length.
        """
        y_TC = []
        for row in x_TC if gain_C is None else matrices.reshape(x_TC, len(gain_C)):
            scale = (dot(row, row) / len(row) + eps) ** -0.5
            y_TC.append([x * scale for x in row])
        if gain_C is not None:
            y_TC = [[y * gain for y, gain in zip(row, gain_C)] for row in y_TC]
        return self._result(matrices.reshape(y_TC, len(x_TC[0])))

    def rotary(
        self,
        x_TC: Matrix,
        head_dim: int,
        positions: SequencePositions,
        frequencies: tuple[float, ...],
    ) -> Matrix:
        """Rotate the pair of columns (i, i + R) of each head by the R angles p_t f_i."""
        return self._result(matrices.rotate(x_TC, head_dim, positions, frequencies))

    def attention(
        self,
        q_TC: Matrix,
        k_TC: Matrix,
        v_TC: Matrix,
        n_head: int,
        kv_cache: NestedLayerKVCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Matrix:
        """Compute attention in each head: y_t = softmax(c q_t Kᵀ) V, with the keys up to token t.

        c is `scale`, by default 1 / √D. With a `window`, only the last `window` of these keys are
        attended, that of token t included.
        """
        keys, values = kv_cache.append(k_TC, v_TC) if kv_cache else (k_TC, v_TC)
        before = len(keys) - len(q_TC)
        head_dim = len(q_TC[0]) // n_head
        scale = 1 / sqrt(head_dim) if scale is None else scale
        group_size = len(q_TC[0]) // len(k_TC[0])  # query heads per head of keys and values
        y_TC = []
        for t, q in enumerate(q_TC):
            end = before + t + 1
            seen = slice(0 if window is None else max(0, end - window), end)
            row: Vector = []
            for head in range(n_head):
                own = slice(head * head_dim, (head + 1) * head_dim)
                its = slice(head // group_size * head_dim, (head // group_size + 1) * head_dim)
                scores = [dot(q[own], k[its]) * scale for k in keys[seen]]
                probabilities = softmax(scores)
                row += [dot(probabilities, vs) for vs in zip(*(v[its] for v in values[seen]))]
            y_TC.append(row)
        return self._result(y_TC)

    def dropout(self, x_TC: Matrix) -> Matrix:
        """Return x unchanged, as only the torch engine has dropout."""
        return x_TC

    def gelu(self, x_TC: Matrix) -> Matrix:
        """Apply the GELU in its tanh approximation, element by element.

        y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
        """

        def gelu(x: Value) -> Value:
            return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))

        return self._result([list(map(gelu, row)) for row in x_TC])

    def gelu_erf(self, x_TC: Matrix) -> Matrix:
        """Apply the exact GELU: y = x Φ(x), element by element."""
        return self._result([[x * normal_cdf(x) for x in row] for row in x_TC])

    def relu(self, x_TC: Matrix) -> Matrix:
        """Apply the ReLU: y = max(0, x), element by element."""
        return self._result([[x.relu() for x in row] for row in x_TC])

    def swiglu(self, gate_TC: Matrix, up_TC: Matrix) -> Matrix:
        """Apply SwiGLU to gate a and up projection b, element by element.

        y = a σ(a) b with σ(a) = (1 + tanh(a/2)) / 2.
        """

        def swiglu(a: Value, b: Value) -> Value:
            return a * (0.5 * tanh(0.5 * a) + 0.5) * b

        rows = zip(gate_TC, up_TC)
        return self._result([[swiglu(a, b) for a, b in zip(*row)] for row in rows])

    def cross_entropy(
        self, logits_TV: Matrix, targets_T: Sequence[int], loss_denominator: float
    ) -> Value:
        """Compute the cross-entropy loss of one sequence, in nats, as one `Value`.

        L = Σ_t (log Σ_v e^(z_tv) − z_t,target) / N over the tokens with a target, where N is the
        loss denominator of the sequence, as in `Batch.loss_denominators`. `microgpt.py` computes
        −log softmax(z) instead, which is the same up to rounding, but fails if a probability
        underflows to 0.
        """
        losses = []
        for logits, target in zip(logits_TV, targets_T):
            if target != IGNORE_INDEX:
                highest = max(logit.data for logit in logits)
                exps = [(logit - highest).exp() for logit in logits]
                losses.append(total(exps).log() + highest - logits[target])
        return self._result([[total(losses) / loss_denominator]])[0][0]


def detach(x: Matrix) -> Matrix:
    """Copy the numbers of a matrix without their graph, as `x.detach().clone()` in PyTorch."""
    return [[Value(value.data) for value in row] for row in x]
