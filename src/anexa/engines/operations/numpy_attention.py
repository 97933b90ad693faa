"""Attention and rotary positions on NumPy arrays.

Gradients (g, dx) and suffixes of shapes are as in `anexa.engines.operations.numpy`, and R is the
number of rotary frequencies.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from anexa.engines.batch import TokenPositions
from anexa.engines.kv_cache import AnyLayerCache
from anexa.engines.operations.arrays import Array, causal_mask, positions_of, softmax
from anexa.engines.tape import Operation


@lru_cache(maxsize=4)  # all layers use the same angles, for queries and for keys
def rotary_cos_sin(
    positions: TokenPositions, n: int, frequencies: tuple[float, ...], dtype: np.dtype[Any]
) -> tuple[Array, Array]:
    """Compute cosines and sines of the angles of rotary positions, α_ti = p_t f_i.

    The results are cached: callers must not change them.

    Args:
        positions: positions p of the tokens; a tuple has those of each of B sequences.
        n: number of tokens, T.
        frequencies: R angles f_i between neighboring positions, in radians.
        dtype: dtype of the results.

    Returns:
        cos α, (T, 1, 1, R), and the pair (−sin α, sin α), (T, 1, 2, R); for a tuple of positions,
        both with a leading axis B.
    """
    angles_T11R = (positions_of(positions, n)[..., None] * frequencies)[..., None, None, :]
    sines = np.sin(angles_T11R).astype(dtype)
    return np.cos(angles_T11R).astype(dtype), np.concatenate((-sines, sines), axis=-2)


class Rotary(Operation[Array], name="rotary"):
    """Rotary position embedding (Su et al., 2021): rotation of pairs of columns of each head.

    In row t, the columns i and i + R of a head, i < R, are rotated by α = p_t f_i, where p_t
    is the position of the token; columns from 2R on are left as they are.

    y_i = x_i cos α − x_(i+R) sin α,  y_(i+R) = x_(i+R) cos α + x_i sin α.
    dx = g rotated by −α.
    """

    def forward(
        self,
        x_TC: Array,
        /,
        head_dim: int,
        positions: TokenPositions,
        frequencies: tuple[float, ...],
    ) -> Array:
        self.head_dim = head_dim
        self.cos, self.sines = rotary_cos_sin(positions, x_TC.shape[-2], frequencies, x_TC.dtype)
        return self.rotate(x_TC, self.sines)

    def backward(self, g_TC: Array) -> tuple[Array]:
        return (self.rotate(g_TC, -self.sines),)

    def rotate(self, x_TC: Array, sines: Array) -> Array:
        """Rotate each head by the angles α of the last `forward`, or by −α.

        Args:
            x_TC: queries or keys, with all heads side by side.
            sines: (−sin α, sin α) as from `rotary_cos_sin`, (T, 1, 2, R); negated for −α.

        Returns:
            The rotated array, (T, C).
        """
        half = self.cos.shape[-1]
        x_THD = x_TC.reshape(*x_TC.shape[:-1], -1, self.head_dim)
        x_TH2R = x_THD[..., : 2 * half].reshape(*x_THD.shape[:-1], 2, half)
        y_TH2R = x_TH2R * self.cos
        y_TH2R += x_TH2R[..., ::-1, :] * sines
        if 2 * half == self.head_dim:
            return y_TH2R.reshape(x_TC.shape)
        y_THD = x_THD.copy()
        y_THD[..., : 2 * half] = y_TH2R.reshape(*x_THD.shape[:-1], 2 * half)
        return y_THD.reshape(x_TC.shape)


class Attention(Operation[Array], name="attention"):
    """Causal attention (Vaswani et al., 2017): y = P V with P = softmax(c Q Kᵀ + mask), per head.

    dV = Pᵀ g,  dP = g Vᵀ,  dS = P (dP − Σ_s P dP),  dQ = c dS K,  dK = c dSᵀ Q.

    The scale c is 1 / √D unless `scale` is given. The mask is −∞ for later keys and, with a
    `window`, for all but the last `window` keys. In grouped-query attention, several query heads
    share a head of keys and values, whose gradient is the sum over these query heads.
    """

    def heads(self, x_TC: Array) -> Array:
        """Split the columns into heads: (…, T, C) to (…, H, T, D)."""
        *batch, n, _ = x_TC.shape
        x_THD: Array = x_TC.reshape(*batch, n, -1, self.head_dim)
        return x_THD.swapaxes(-2, -3)

    def columns(self, x_HTD: Array) -> Array:
        """Put the heads side by side: (…, H, T, D) to (…, T, C), the inverse of `heads`."""
        *batch, n_head, n, head_dim = x_HTD.shape
        x_TC: Array = x_HTD.swapaxes(-2, -3).reshape(*batch, n, n_head * head_dim)
        return x_TC

    def forward(
        self,
        q_TC: Array,
        k_TC: Array,
        v_TC: Array,
        /,
        n_head: int,
        kv_cache: AnyLayerCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Array:
        self.head_dim = q_TC.shape[-1] // n_head
        q_HTD, k_HSD, v_HSD = self.heads(q_TC), self.heads(k_TC), self.heads(v_TC)
        if kv_cache is not None:
            k_HSD, v_HSD = kv_cache.append(k_HSD, v_HSD)
            if window is not None:  # the others are before the window of every query
                seen = min(window + q_HTD.shape[-2] - 1, k_HSD.shape[-2])
                k_HSD, v_HSD = k_HSD[..., -seen:, :], v_HSD[..., -seen:, :]
        self.group_size = q_HTD.shape[-3] // k_HSD.shape[-3]  # query heads per head of keys
        if self.group_size > 1:
            k_HSD, v_HSD = k_HSD.repeat(self.group_size, -3), v_HSD.repeat(self.group_size, -3)
        n, total = q_HTD.shape[-2], k_HSD.shape[-2]
        self.scale = 1 / sqrt(self.head_dim) if scale is None else scale
        self.window = window
        scores_HTS = (q_HTD * self.scale) @ k_HSD.swapaxes(-1, -2)
        if n > 1:  # a single token is the last token: there are no later keys to mask
            scores_HTS += causal_mask(n, total - n, scores_HTS.dtype, window)
        p_HTS = softmax(scores_HTS)
        self.saved = q_HTD, k_HSD, v_HSD, p_HTS
        return self.columns(p_HTS @ v_HSD)

    def backward(self, g_TC: Array) -> tuple[Array, Array, Array]:
        q_HTD, k_HSD, v_HSD, p_HTS = self.saved
        g_HTD = self.heads(g_TC)
        dv_HSD = p_HTS.swapaxes(-1, -2) @ g_HTD
        dp_HTS = g_HTD @ v_HSD.swapaxes(-1, -2)
        dp_HTS -= (p_HTS * dp_HTS).sum(axis=-1, keepdims=True)
        ds_HTS = np.multiply(dp_HTS, p_HTS, out=dp_HTS)
        ds_HTS *= self.scale
        dq_HTD, dk_HSD = ds_HTS @ k_HSD, ds_HTS.swapaxes(-1, -2) @ q_HTD
        dk_TC, dv_TC = (self.columns(self.sum_query_groups(x_HSD)) for x_HSD in (dk_HSD, dv_HSD))
        return self.columns(dq_HTD), dk_TC, dv_TC

    def sum_query_groups(self, x_HSD: Array) -> Array:
        """Sum the gradients of keys or values over the query heads that share a key-value head.

        Args:
            x_HSD: gradient for each query head, (…, H, S, D).

        Returns:
            Gradient for each key-value head, (…, H / group size, S, D).
        """
        if self.group_size == 1:
            return x_HSD
        *batch, n_head, n, head_dim = x_HSD.shape
        groups: Array = x_HSD.reshape(
            *batch, n_head // self.group_size, self.group_size, n, head_dim
        )
        total: Array = groups.sum(axis=-3)
        return total
