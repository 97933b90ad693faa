"""The operations on NumPy arrays, for whole batches: an equation and a gradient for each class.

The arguments of `forward` are those of the method of `anexa.model.operations.Operations` that the
class names. `backward` gets g = dL/dy, in the shape of the output y, and returns dx = dL/dx for
each input tensor x; L is the loss.

Suffixes are the axes of an array, as in `Operations`: T time (tokens), C width, O output width, V
vocabulary, H heads, D head width, S keys. Any leading axes (here: B, the batch) come before them.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from anexa.engines.batch import IGNORE_INDEX, TokenPositions
from anexa.engines.operations.arrays import Array, Tokens, flatten_batch, mean, positions_of
from anexa.engines.operations.normal_distribution import normal_cdf
from anexa.engines.operations.numpy_attention import Attention as Attention  # for `operations_of`
from anexa.engines.operations.numpy_attention import Rotary as Rotary
from anexa.engines.tape import Operation


class Embedding(Operation[Array], name="embedding"):
    """Embedding lookup: y_t = E[token_t].   dE[i] = Σ g_t over the t whose token is i."""

    def forward(self, table_VC: Array, /, tokens_T: Tokens) -> Array:
        self.tokens_T, self.n_vocab = tokens_T, len(table_VC)
        return np.take(table_VC, tokens_T, axis=0)

    def backward(self, g_TC: Array) -> tuple[Array]:
        d_table = np.zeros((self.n_vocab, g_TC.shape[-1]), g_TC.dtype)
        np.add.at(d_table, self.tokens_T.ravel(), flatten_batch(g_TC))
        return (d_table,)


class Positions(Operation[Array], name="positions"):
    """Position embedding: y_t = x_t + P[p_t].   dx = g,  dP[p] = Σ g_t of the tokens at p."""

    def forward(self, x_TC: Array, table_SC: Array, /, positions: TokenPositions) -> Array:
        self.positions_T = positions_of(positions, x_TC.shape[-2])
        self.table_shape = table_SC.shape
        return x_TC + table_SC[self.positions_T]

    def backward(self, g_TC: Array) -> tuple[Array, Array]:
        d_table = np.zeros(self.table_shape, g_TC.dtype)
        if self.positions_T.ndim == 1:  # the same ones in every sequence
            d_table[self.positions_T] = g_TC.reshape(-1, *g_TC.shape[-2:]).sum(axis=0)
        else:
            np.add.at(d_table, self.positions_T.ravel(), flatten_batch(g_TC))
        return g_TC, d_table


class Add(Operation[Array], name="add"):
    """Sum of two tensors of one shape: z = x + y.   dx = g,  dy = g."""

    def forward(self, x: Array, y: Array, /) -> Array:
        z: Array = x + y
        return z

    def backward(self, g: Array) -> tuple[Array, Array]:
        return g, g


class Transpose(Operation[Array], name="transpose"):
    """Transpose of a matrix: y = xᵀ.   dx = gᵀ."""

    def forward(self, w: Array, /) -> Array:
        return w.T

    def backward(self, g: Array) -> tuple[Array]:
        return (g.T,)


class Linear(Operation[Array], name="linear"):
    """Linear layer: y = x Wᵀ + b.   dx = g W,  dW = gᵀ x,  db = Σ_t g_t."""

    def forward(self, x_TC: Array, weight_OC: Array, bias_O: Array | None = None, /) -> Array:
        self.x_TC, self.weight_OC, self.has_bias = x_TC, weight_OC, bias_O is not None
        y_TO: Array = (flatten_batch(x_TC) @ weight_OC.T).reshape(*x_TC.shape[:-1], len(weight_OC))
        if bias_O is not None:
            y_TO += bias_O
        return y_TO

    def backward(self, g_TO: Array) -> tuple[Array, ...]:
        d_weight_OC = flatten_batch(g_TO).T @ flatten_batch(self.x_TC)
        dx_TC = (flatten_batch(g_TO) @ self.weight_OC).reshape(self.x_TC.shape)
        return (
            (dx_TC, d_weight_OC, flatten_batch(g_TO).sum(axis=0))
            if self.has_bias
            else (dx_TC, d_weight_OC)
        )


class Split(Operation[Array], name="split"):
    """Split of the columns into equal parts: x = [y⁰, y¹, …].   dx = [g⁰, g¹, …].

    With several groups of columns (heads), each group is split, and yⁱ consists of the i-th part of
    each group.
    """

    def forward(self, x_TC: Array, /, parts: int, groups: int = 1) -> tuple[Array, ...]:
        self.groups, rows = groups, x_TC.shape[:-1]
        x_TGPD = x_TC.reshape(*rows, groups, parts, -1)
        return tuple(x_TGPD[..., part, :].reshape(*rows, -1) for part in range(parts))

    def backward(self, *grads: Array) -> tuple[Array]:
        rows = grads[0].shape[:-1]
        d_TGPD = np.stack([g.reshape(*rows, self.groups, -1) for g in grads], axis=-2)
        return (d_TGPD.reshape(*rows, -1),)


class LayerNorm(Operation[Array], name="layer_norm"):
    """Layer normalization of each row (Ba et al., 2016): y = n γ + β with n = (x − mean(x)) / σ.

    σ = √(var(x) + ε), gain γ, bias β.

    With d = g γ:  dx = (d − mean(d) − n mean(d n)) / σ,  dγ = Σ_t g n,  dβ = Σ_t g.
    """

    def forward(self, x_TC: Array, gain_C: Array, bias_C: Array, /, eps: float) -> Array:
        self.gain_C, self.eps = gain_C, eps
        centered = x_TC - mean(x_TC)
        self.sigma_T1 = np.sqrt(mean(centered * centered) + eps)
        self.n_TC: Array = np.divide(centered, self.sigma_T1, out=centered)
        y_TC: Array = self.n_TC * gain_C
        return y_TC + bias_C

    def backward(self, g_TC: Array) -> tuple[Array, Array, Array]:
        gn_TC = g_TC * self.n_TC
        d_TC = g_TC * self.gain_C
        dx_TC = d_TC - mean(d_TC)
        dx_TC -= self.n_TC * mean(gn_TC * self.gain_C)
        dx_TC /= self.sigma_T1
        return dx_TC, flatten_batch(gn_TC).sum(axis=0), flatten_batch(g_TC).sum(axis=0)


class RMSNorm(Operation[Array], name="rms_norm"):
    """RMS normalization of each row (Zhang and Sennrich, 2019): y = n γ with n = x / ρ.

    ρ = √(mean(x²) + ε), gain γ; without a gain, γ = 1.

    With d = g γ:  dx = (d − n mean(d n)) / ρ,  dγ = Σ_t g n.

    If the gain is shorter than a row, the row is cut into groups of its length (heads), and each
    group is normalized on its own.
    """

    def forward(self, x_TC: Array, gain_C: Array | None, /, eps: float) -> Array:
        self.gain_C, self.eps, shape = gain_C, eps, x_TC.shape
        x_TC = self.groups(x_TC)
        self.rho_T1: Array = np.sqrt(mean(x_TC * x_TC) + eps)
        n_TC: Array = x_TC / self.rho_T1
        self.n_TC = n_TC
        return (n_TC if gain_C is None else n_TC * gain_C).reshape(shape)

    def backward(self, g_TC: Array) -> tuple[Array, ...]:
        shape, g_TC = g_TC.shape, self.groups(g_TC)
        d_TC = g_TC if self.gain_C is None else g_TC * self.gain_C
        dx_TC = d_TC - self.n_TC * mean(d_TC * self.n_TC)
        dx_TC /= self.rho_T1
        dx_TC = dx_TC.reshape(shape)
        return (
            (dx_TC,)
            if self.gain_C is None
            else (dx_TC, flatten_batch(g_TC * self.n_TC).sum(axis=0))
        )

    def groups(self, x_TC: Array) -> Array:
        """Cut rows that are longer than the gain into groups (heads) of its length.

        Args:
            x_TC: rows, (…, T, C).

        Returns:
            The same rows as (…, T, G, C / G); x_TC itself if there is no gain, or it has as many
            elements as a row.
        """
        if self.gain_C is None or self.gain_C.shape == x_TC.shape[-1:]:
            return x_TC
        return x_TC.reshape(*x_TC.shape[:-1], -1, len(self.gain_C))


class ReLU(Operation[Array], name="relu"):
    """ReLU activation: y = max(0, x), element by element.   dx = g where x > 0, else 0."""

    def forward(self, x_TC: Array, /) -> Array:
        self.positive = x_TC > 0
        return x_TC * self.positive

    def backward(self, g_TC: Array) -> tuple[Array]:
        return (g_TC * self.positive,)


class GELU(Operation[Array], name="gelu"):
    """GELU activation (Hendrycks and Gimpel, 2016), tanh approximation: y = x (1 + tanh u) / 2.

    u = √(2/π) (x + 0.044715 x³).
    dx = g ((1 + tanh u) / 2 + x (1 − tanh² u) u' / 2) with u' = √(2/π) (1 + 3 · 0.044715 x²).
    """

    def forward(self, x_TC: Array, /) -> Array:
        self.x_TC, self.xx_TC = x_TC, x_TC * x_TC
        u_TC = self.xx_TC * 0.044715
        u_TC += 1
        u_TC *= x_TC
        u_TC *= sqrt(2 / pi)
        self.t_TC = np.tanh(u_TC, out=u_TC)
        y_TC = self.t_TC + 1
        y_TC *= x_TC
        y_TC *= 0.5
        return y_TC

    def backward(self, g_TC: Array) -> tuple[Array]:
        du_TC = self.xx_TC * (3 * 0.044715)
        du_TC += 1
        du_TC *= sqrt(2 / pi)
        slope_TC = self.t_TC * self.t_TC
        np.subtract(1, slope_TC, out=slope_TC)
        slope_TC *= du_TC
        slope_TC *= self.x_TC
        slope_TC += self.t_TC
        slope_TC += 1
        slope_TC *= 0.5
        slope_TC *= g_TC
        return (slope_TC,)


class GELUErf(Operation[Array], name="gelu_erf"):
    """GELU activation (Hendrycks and Gimpel, 2016), exact: y = x Φ(x).

    Φ(x) = erfc(−x / √2) / 2, the distribution function of the standard normal distribution.
    dx = g (Φ(x) + x φ(x)) with φ(x) = e^(−x² / 2) / √(2π).
    """

    def forward(self, x_TC: Array, /) -> Array:
        self.x_TC, self.cdf_TC = x_TC, normal_cdf(x_TC)
        y_TC: Array = x_TC * self.cdf_TC
        return y_TC

    def backward(self, g_TC: Array) -> tuple[Array]:
        slope_TC = np.exp(self.x_TC * self.x_TC * -0.5)
        slope_TC *= self.x_TC
        slope_TC *= 1 / sqrt(2 * pi)
        slope_TC += self.cdf_TC
        slope_TC *= g_TC
        return (slope_TC,)


class SwiGLU(Operation[Array], name="swiglu"):
    """SwiGLU activation (Shazeer, 2020) of gate a and up projection b: y = s(a) b.

    s(a) = a σ(a) with σ(a) = 1 / (1 + e^−a).
    da = g b s'(a) with s'(a) = σ(a) (1 + a (1 − σ(a))),  db = g s(a).
    """

    def forward(self, gate_TC: Array, up_TC: Array, /) -> Array:
        self.gate_TC, self.up_TC = gate_TC, up_TC
        # (1 + tanh(a/2)) / 2 is σ(a), and does not overflow
        self.sigma_TC: Array = np.tanh(gate_TC * 0.5) * 0.5 + 0.5
        self.silu_TC: Array = gate_TC * self.sigma_TC
        y_TC: Array = self.silu_TC * up_TC
        return y_TC

    def backward(self, g_TC: Array) -> tuple[Array, Array]:
        slope_TC = self.sigma_TC + self.silu_TC * (1 - self.sigma_TC)
        return g_TC * self.up_TC * slope_TC, g_TC * self.silu_TC


class CrossEntropy(Operation[Array], name="cross_entropy"):
    """Cross-entropy loss of logits z, in nats: L = Σ_t (log Σ_v e^(z_tv) − z_t,target) / N.

    The sum is over all tokens of the batch but those whose target is `IGNORE_INDEX`. N is the loss
    denominator: a number, or one per sequence, (B, 1). L is a scalar.

    dz = (softmax(z) − onehot(target)) g / N; 0 for an ignored target.
    """

    def forward(
        self, logits_TV: Array, /, targets_T: Tokens, loss_denominator: float | Array
    ) -> Array:
        # From a number, or one per sequence, (B, 1), to one denominator per token.
        self.denominator_T = np.broadcast_to(loss_denominator, targets_T.shape).ravel()
        z_TV = flatten_batch(logits_TV)
        self.targets_T = targets_T = targets_T.ravel()
        self.shape, self.counted = logits_TV.shape, np.flatnonzero(targets_T != IGNORE_INDEX)
        z_TV = z_TV - z_TV.max(axis=-1, keepdims=True)
        exps_TV = np.exp(z_TV)
        totals_T1 = exps_TV.sum(axis=-1, keepdims=True)
        self.p_TV = np.divide(exps_TV, totals_T1, out=exps_TV)
        losses_T = np.log(totals_T1[self.counted, 0]) - z_TV[self.counted, targets_T[self.counted]]
        return np.asarray((losses_T / self.denominator_T[self.counted]).sum(), logits_TV.dtype)

    def backward(self, g: Array) -> tuple[Array]:
        counted = self.counted
        scale_T = g / self.denominator_T[counted]
        d_logits = np.zeros_like(self.p_TV)
        d_logits[counted] = self.p_TV[counted] * scale_T[:, None]
        d_logits[counted, self.targets_T[counted]] -= scale_T
        return (d_logits.reshape(self.shape),)
