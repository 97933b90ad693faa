"""The operations on nested lists: every sum written out, all T tokens of a sequence at once.

L is the loss, g = dL/dy its derivative in the output y of an operation, dx = dL/dx its derivative
in an input x. A matrix is a list of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import erfc, exp, log, pi, sqrt, tanh
from operator import mul

from anexa.engines.batch import IGNORE_INDEX
from anexa.engines.operations.lists_attention import Attention as Attention  # for `operations_of`
from anexa.engines.operations.lists_attention import Rotary as Rotary
from anexa.engines.operations.matrices import (
    Matrix,
    Nested,
    SequencePositions,
    Vector,
    add,
    dot,
    join,
    matmul,
    matmul_transposed,
    positions_of,
    reshape,
    softmax,
    split,
    transpose,
)
from anexa.engines.tape import Operation


class Embedding(Operation[Nested], name="embedding"):
    """Embedding lookup: y_t = E[token_t].   dE[i] = Σ g_t over the t whose token is i."""

    def forward(self, table_VC: Matrix, /, tokens_T: Sequence[int]) -> Matrix:
        self.tokens_T, self.shape = tokens_T, (len(table_VC), len(table_VC[0]))
        return [list(table_VC[token]) for token in tokens_T]

    def backward(self, g_TC: Matrix) -> tuple[Matrix]:
        n_rows, width = self.shape
        d_table = [[0.0] * width for _ in range(n_rows)]
        for token, g_row in zip(self.tokens_T, g_TC):
            d_table[token] = add(d_table[token], g_row)
        return (d_table,)


class Positions(Operation[Nested], name="positions"):
    """Position embedding: y_t = x_t + P[p_t].   dx = g,  dP[p] = Σ g_t of the tokens at p."""

    def forward(self, x_TC: Matrix, table_SC: Matrix, /, positions: SequencePositions) -> Matrix:
        self.positions_T = positions_of(positions, len(x_TC))
        self.shape = len(table_SC), len(table_SC[0])
        return [add(row, table_SC[position]) for row, position in zip(x_TC, self.positions_T)]

    def backward(self, g_TC: Matrix) -> tuple[Matrix, Matrix]:
        n_rows, width = self.shape
        d_table = [[0.0] * width for _ in range(n_rows)]
        for position, g_row in zip(self.positions_T, g_TC):
            d_table[position] = add(d_table[position], g_row)
        return g_TC, d_table


class Add(Operation[Nested], name="add"):
    """Sum of two tensors of one shape: z = x + y.   dx = g,  dy = g."""

    def forward(self, x: Nested, y: Nested, /) -> Nested:
        return add(x, y)

    def backward(self, g: Nested) -> tuple[Nested, Nested]:
        return g, g


class Transpose(Operation[Nested], name="transpose"):
    """Transpose of a matrix: y = xᵀ.   dx = gᵀ."""

    def forward(self, w: Matrix, /) -> Matrix:
        return transpose(w)

    def backward(self, g: Matrix) -> tuple[Matrix]:
        return (transpose(g),)


class Linear(Operation[Nested], name="linear"):
    """Linear layer: y = x Wᵀ + b.   dx = g W,  dW = gᵀ x,  db = Σ_t g_t."""

    def forward(self, x_TC: Matrix, weight_OC: Matrix, bias_O: Vector | None = None, /) -> Matrix:
        self.x_TC, self.weight_OC, self.has_bias = x_TC, weight_OC, bias_O is not None
        y_TO = matmul_transposed(x_TC, weight_OC)
        return y_TO if bias_O is None else [add(row, bias_O) for row in y_TO]

    def backward(self, g_TO: Matrix) -> tuple[Nested, ...]:
        g_OT = transpose(g_TO)
        dx_TC, d_weight_OC = matmul(g_TO, self.weight_OC), matmul(g_OT, self.x_TC)
        return (dx_TC, d_weight_OC, list(map(sum, g_OT))) if self.has_bias else (dx_TC, d_weight_OC)


class Split(Operation[Nested], name="split"):
    """Split of the columns into equal parts: x = [y⁰, y¹, …].   dx = [g⁰, g¹, …].

    With several groups of columns (heads), each group is split, and yⁱ consists of the i-th part of
    each group.
    """

    def forward(self, x_TC: Matrix, /, parts: int, groups: int = 1) -> tuple[Matrix, ...]:
        self.groups = groups
        return split(x_TC, parts, groups)

    def backward(self, *grads: Matrix) -> tuple[Matrix]:
        return (join(grads, self.groups),)


class LayerNorm(Operation[Nested], name="layer_norm"):
    """Layer normalization of each row (Ba et al., 2016): y = n γ + β with n = (x − mean(x)) / σ.

    σ = √(var(x) + ε), gain γ, bias β.

    With d = g γ:  dx = (d − mean(d) − n mean(d n)) / σ,  dγ = Σ_t g n,  dβ = Σ_t g.
    """

    def forward(self, x_TC: Matrix, gain_C: Vector, bias_C: Vector, /, eps: float) -> Matrix:
        self.gain_C, self.n_TC, self.sigma_T = gain_C, [], []
        y_TC = []
        for row in x_TC:
            mean = sum(row) / len(row)
            centered = [x - mean for x in row]
            sigma = sqrt(dot(centered, centered) / len(row) + eps)
            n = [x / sigma for x in centered]
            self.n_TC.append(n)
            self.sigma_T.append(sigma)
            y_TC.append(add(list(map(mul, n, gain_C)), bias_C))
        return y_TC

    def backward(self, g_TC: Matrix) -> tuple[Matrix, Vector, Vector]:
        dx_TC = []
        for g, n, sigma in zip(g_TC, self.n_TC, self.sigma_T):
            d = list(map(mul, g, self.gain_C))
            mean_d, mean_dn = sum(d) / len(d), dot(d, n) / len(d)
            dx_TC.append([(di - mean_d - ni * mean_dn) / sigma for di, ni in zip(d, n)])
        g_CT = transpose(g_TC)
        d_gain = list(map(dot, g_CT, transpose(self.n_TC)))
        return dx_TC, d_gain, list(map(sum, g_CT))


class RMSNorm(Operation[Nested], name="rms_norm"):
    """RMS normalization of each row (Zhang and Sennrich, 2019): y = n γ with n = x / ρ.

    ρ = √(mean(x²) + ε), gain γ; without a gain, γ = 1.

    With d = g γ:  dx = (d − n mean(d n)) / ρ,  dγ = Σ_t g n.

    If γ is shorter than a row, the row is cut into groups of its length (heads), and each group is
    normalized on its own.
    """

    def forward(self, x_TC: Matrix, gain_C: Vector | None, /, eps: float) -> Matrix:
        self.gain_C, self.width = gain_C, len(x_TC[0])
        if gain_C is not None:
            x_TC = reshape(x_TC, len(gain_C))
        self.rho_T = [sqrt(dot(row, row) / len(row) + eps) for row in x_TC]
        self.n_TC = [[x / rho for x in row] for row, rho in zip(x_TC, self.rho_T)]
        if gain_C is None:
            return self.n_TC
        return reshape([list(map(mul, row, gain_C)) for row in self.n_TC], self.width)

    def backward(self, g_TC: Matrix) -> tuple[Nested, ...]:
        gain_C = self.gain_C
        if gain_C is not None:
            g_TC = reshape(g_TC, len(gain_C))
        d_TC = g_TC if gain_C is None else [list(map(mul, row, gain_C)) for row in g_TC]
        dx_TC = []
        for d_row, n_row, rho in zip(d_TC, self.n_TC, self.rho_T):
            mean = dot(d_row, n_row) / len(n_row)
            dx_TC.append([(d - n * mean) / rho for d, n in zip(d_row, n_row)])
        if gain_C is None:
            return (dx_TC,)
        d_gain = list(map(dot, transpose(g_TC), transpose(self.n_TC)))
        return reshape(dx_TC, self.width), d_gain


class Activation(Operation[Nested]):
    """Activation function, element by element: y = f(x).   dx = g f'(x)."""

    f: Callable[[float], float]
    slope: Callable[[float], float]

    def forward(self, x_TC: Matrix, /) -> Matrix:
        self.x_TC = x_TC
        return [list(map(self.f, row)) for row in x_TC]

    def backward(self, g_TC: Matrix) -> tuple[Matrix]:
        return ([list(map(mul, g, map(self.slope, row))) for g, row in zip(g_TC, self.x_TC)],)


class ReLU(Activation, name="relu"):
    """ReLU activation: f(x) = max(0, x).   f'(x) = 1 where x > 0, else 0."""

    @staticmethod
    def f(x: float) -> float:
        return x if x > 0 else 0.0

    @staticmethod
    def slope(x: float) -> float:
        return 1.0 if x > 0 else 0.0


class GELU(Activation, name="gelu"):
    """GELU activation (Hendrycks and Gimpel, 2016), tanh approximation: f(x) = x (1 + tanh u) / 2.

    u = √(2/π) (x + 0.044715 x³).

    f'(x) = (1 + tanh u) / 2 + x (1 − tanh² u) u' / 2 with u' = √(2/π) (1 + 3 · 0.044715 x²).
    """

    @staticmethod
    def f(x: float) -> float:
        return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))

    @staticmethod
    def slope(x: float) -> float:
        t = tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x)


class GELUErf(Activation, name="gelu_erf"):
    """GELU activation (Hendrycks and Gimpel, 2016), exact: f(x) = x Φ(x).

    Φ(x) = erfc(−x / √2) / 2, the distribution function of the standard normal distribution.

    f'(x) = Φ(x) + x φ(x) with φ(x) = e^(−x² / 2) / √(2π).
    """

    @staticmethod
    def f(x: float) -> float:
        return 0.5 * x * erfc(-x / sqrt(2))

    @staticmethod
    def slope(x: float) -> float:
        return 0.5 * erfc(-x / sqrt(2)) + x * exp(-0.5 * x * x) / sqrt(2 * pi)


class SwiGLU(Operation[Nested], name="swiglu"):
    """SwiGLU activation (Shazeer, 2020) of gate a and up projection b: y = s(a) b.

    s(a) = a σ(a) with σ(a) = 1 / (1 + e^−a).

    da = g b s'(a) with s'(a) = σ(a) (1 + a (1 − σ(a))),  db = g s(a).
    """

    def forward(self, gate_TC: Matrix, up_TC: Matrix, /) -> Matrix:
        self.gate_TC, self.up_TC = gate_TC, up_TC
        self.sigma_TC = [list(map(logistic, row)) for row in gate_TC]
        rows = zip(gate_TC, self.sigma_TC, up_TC)
        return [[a * s * b for a, s, b in zip(*row)] for row in rows]

    def backward(self, g_TC: Matrix) -> tuple[Matrix, Matrix]:
        rows = list(zip(g_TC, self.gate_TC, self.sigma_TC, self.up_TC))
        da_TC = [[g * b * s * (1 + a * (1 - s)) for g, a, s, b in zip(*row)] for row in rows]
        return da_TC, [[g * a * s for g, a, s, _ in zip(*row)] for row in rows]


def logistic(x: float) -> float:
    """Compute the logistic function σ(x) = 1 / (1 + e^−x).

    It is computed from e^−|x|, which cannot overflow.
    """
    return 1 / (1 + exp(-x)) if x > 0 else exp(x) / (1 + exp(x))


class CrossEntropy(Operation[Nested], name="cross_entropy"):
    """Cross-entropy loss of logits z, in nats: L = Σ_t (log Σ_v e^(z_tv) − z_t,target) / N.

    The sum is over the tokens whose target is not `IGNORE_INDEX`. N is the loss denominator of the
    sequence. L is a list of one number.

    dz = (softmax(z) − onehot(target)) g / N; 0 for an ignored target.
    """

    def forward(
        self, logits_TV: Matrix, /, targets_T: Sequence[int], loss_denominator: float
    ) -> Vector:
        self.targets_T, self.loss_denominator = targets_T, loss_denominator
        self.p_TV = list(map(softmax, logits_TV))
        total = 0.0
        for logits, target in zip(logits_TV, targets_T):
            if target != IGNORE_INDEX:
                highest = max(logits)
                total += log(sum(exp(z - highest) for z in logits)) + highest - logits[target]
        return [total / loss_denominator]

    def backward(self, g: Vector) -> tuple[Matrix]:
        scale = g[0] / self.loss_denominator
        d_logits = []
        for p, target in zip(self.p_TV, self.targets_T):
            row = [scale * p_v for p_v in p] if target != IGNORE_INDEX else [0.0] * len(p)
            if target != IGNORE_INDEX:
                row[target] -= scale
            d_logits.append(row)
        return (d_logits,)
