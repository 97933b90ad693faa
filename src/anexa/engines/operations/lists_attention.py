"""Attention and rotary positions on nested lists.

The letters L, g and dx are those of `anexa.engines.operations.lists`.
"""

from __future__ import annotations

from math import sqrt

from anexa.engines.nested import NestedLayerKVCache
from anexa.engines.operations.matrices import (
    Matrix,
    Nested,
    SequencePositions,
    add,
    causal_mask,
    dot,
    matmul,
    matmul_transposed,
    rotate,
    softmax,
    transpose,
)
from anexa.engines.tape import Operation


class Rotary(Operation[Nested], name="rotary"):
    """Rotary position embedding (Su et al., 2021): rotation of pairs of columns of each head.

    In row t, the columns i and i + R of a head are rotated by α = p_t f_i, where p_t is the
    position of the token, and f are the R frequencies.

    y_i = x_i cos α − x_(i+R) sin α,  y_(i+R) = x_(i+R) cos α + x_i sin α.

    dx = g rotated by −α.
    """

    def forward(
        self,
        x_TC: Matrix,
        /,
        head_dim: int,
        positions: SequencePositions,
        frequencies: tuple[float, ...],
    ) -> Matrix:
        self.settings = head_dim, positions, frequencies
        return rotate(x_TC, *self.settings)

    def backward(self, g_TC: Matrix) -> tuple[Matrix]:
        return (rotate(g_TC, *self.settings, sign=-1),)


class Attention(Operation[Nested], name="attention"):
    """Causal attention (Vaswani et al., 2017): y = P V with P = softmax(c Q Kᵀ + mask), per head.

    dV = Pᵀ g,  dP = g Vᵀ,  dS = P (dP − Σ_s P dP),  dQ = c dS K,  dK = c dSᵀ Q.

    The scale c is 1 / √D unless another one is given. Several query heads may share a head of keys
    and values, whose gradient is the sum over them.
    """

    def forward(
        self,
        q_TC: Matrix,
        k_TC: Matrix,
        v_TC: Matrix,
        /,
        n_head: int,
        kv_cache: NestedLayerKVCache | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Matrix:
        if kv_cache is not None:
            k_TC, v_TC = kv_cache.append(k_TC, v_TC)
        head_dim = len(q_TC[0]) // n_head
        self.n_head, self.scale = n_head, 1 / sqrt(head_dim) if scale is None else scale
        mask_TS = causal_mask(len(q_TC), len(k_TC) - len(q_TC), window)
        self.heads = []  # (Q, K, V, P) of each head
        y_CT: Matrix = []
        self.group_size = len(q_TC[0]) // len(k_TC[0])  # query heads per head of keys and values
        for head in range(n_head):
            q_TD = [row[head * head_dim : (head + 1) * head_dim] for row in q_TC]
            start = head // self.group_size * head_dim
            k_SD, v_SD = ([row[start : start + head_dim] for row in x] for x in (k_TC, v_TC))
            p_TS = [
                softmax([score * self.scale + mask for score, mask in zip(scores, masks)])
                for scores, masks in zip(matmul_transposed(q_TD, k_SD), mask_TS)
            ]
            self.heads.append((q_TD, k_SD, v_SD, p_TS))
            y_CT += transpose(matmul(p_TS, v_SD))
        return transpose(y_CT)

    def backward(self, g_TC: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        dq_CT: Matrix = []
        dk_CT: Matrix = []
        dv_CT: Matrix = []
        g_CT = transpose(g_TC)
        head_dim = len(g_CT) // self.n_head
        for head, (q_TD, k_SD, v_SD, p_TS) in enumerate(self.heads):
            g_TD = transpose(g_CT[head * head_dim : (head + 1) * head_dim])
            dp_TS = matmul_transposed(g_TD, v_SD)
            ds_TS = []
            for p_row, dp_row in zip(p_TS, dp_TS):
                weighted = dot(p_row, dp_row)
                ds_TS.append([p * (dp - weighted) * self.scale for p, dp in zip(p_row, dp_row)])
            dq_CT += transpose(matmul(ds_TS, k_SD))
            dk_DT = transpose(matmul(transpose(ds_TS), q_TD))
            dv_DT = transpose(matmul(transpose(p_TS), g_TD))
            if head % self.group_size == 0:
                dk_CT += dk_DT
                dv_CT += dv_DT
            else:
                dk_CT[-head_dim:] = add(dk_CT[-head_dim:], dk_DT)
                dv_CT[-head_dim:] = add(dv_CT[-head_dim:], dv_DT)
        return transpose(dq_CT), transpose(dk_CT), transpose(dv_CT)
