"""Operations for tracing: each appends instructions to a program and computes nothing.

Running an architecture's forward function with these operations traces it: it becomes a program.
`forward` appends the instructions of an operation and returns its output, a `Value` without
numbers; `backward` appends those of the gradient, so that the tape's backward pass becomes the rest
of the program of a training step. The equations are in the docstrings of the kernels.
"""

from __future__ import annotations

import sys
from math import sqrt

from anexa.engines.program.program import ROWS, Value
from anexa.engines.tape import Operation, Tape, operations_of

TILE = 32  # maximum output features of a product that are computed side by side


def tile_width(n_out: int) -> int:
    """Return the number of output features of a product that are computed side by side.

    Outputs are padded to whole tiles. The width is `TILE`; or half of it, if padding to tiles of
    `TILE` makes the weight more than 10 % larger than padding to tiles of half the width.

    Args:
        n_out: number of output features.
    """
    whole, half = (-(-n_out // width) * width for width in (TILE, TILE // 2))
    return TILE if whole <= 1.1 * half else TILE // 2


def head_tile(head_dim: int) -> int:
    """Return the number of columns of a head that are computed side by side: 4, 8 or 16."""
    return 4 if head_dim <= 4 else 8 if head_dim <= 8 else 16


class Embedding(Operation[Value], name="embedding"):
    """Lookup of a table's row for each token; the gradient is summed over the rows of a token."""

    def forward(self, table_VC: Value, /, tokens_T: Value) -> Value:
        self.table_VC, self.tokens_T = table_VC, tokens_T
        program = table_VC.program
        (y_TC,) = program.emit("embedding", (table_VC, tokens_T), (ROWS, table_VC.width))
        return y_TC

    def backward(self, g_TC: Value) -> tuple[Value]:
        shape = self.table_VC.shape
        return g_TC.program.emit("embedding_gradient", (g_TC, self.tokens_T), shape)  # type: ignore[return-value]


class Positions(Operation[Value], name="positions"):
    """Addition of learned position embeddings: a table's row for each position.

    `positions` is an array, (N,).
    """

    def forward(self, x_TC: Value, table_SC: Value, /, positions: Value) -> Value:
        self.lookup = Embedding()
        return Add().forward(x_TC, self.lookup.forward(table_SC, tokens_T=positions))

    def backward(self, g_TC: Value) -> tuple[Value, Value]:
        return g_TC, *self.lookup.backward(g_TC)


class Add(Operation[Value], name="add"):
    """Sum of two arrays of one shape."""

    def forward(self, x: Value, y: Value, /) -> Value:
        return x.program.emit("add", (x, y), x.shape)[0]

    def backward(self, g: Value) -> tuple[Value, Value]:
        return g, g


class Transpose(Operation[Value], name="transpose"):
    """Transpose of a matrix."""

    def forward(self, w: Value, /) -> Value:
        return w.program.emit("transpose", (w,), w.shape[::-1])[0]

    def backward(self, g: Value) -> tuple[Value]:
        return (self.forward(g),)


class Linear(Operation[Value], name="linear"):
    """Linear layer, x Wᵀ + b; the weight is packed in tiles first."""

    def forward(self, x_TC: Value, weight_OC: Value, bias_O: Value | None = None, /) -> Value:
        self.x_TC, self.weight_OC, self.has_bias = x_TC, weight_OC, bias_O is not None
        return self.product(x_TC, weight_OC, bias_O)

    def product(self, x_TC: Value, weight_OC: Value, bias_O: Value | None) -> Value:
        """Append the packing of W and the product x Wᵀ + b, and return the product, (N, O)."""
        program, (n_out, n_in) = x_TC.program, weight_OC.shape
        tile = tile_width(int(n_out))
        settings = {"tile": tile, "first": 0}
        packed_shape = -(-int(n_out) // tile), n_in, tile
        (packed_OC,) = program.emit("pack", (weight_OC,), packed_shape, **settings)
        inputs = x_TC, packed_OC, bias_O, None
        return program.emit("product", inputs, (ROWS, n_out), tile=tile)[0]

    def backward(self, g_TO: Value) -> tuple[Value, ...]:
        program = g_TO.program
        transposed_CO = Transpose().forward(self.weight_OC)
        dx_TC = self.product(g_TO, transposed_CO, None)
        shape, tile = self.weight_OC.shape, tile_width(self.x_TC.width)
        (d_weight_OC,) = program.emit("outer", (g_TO, self.x_TC), shape, tile=tile)
        if not self.has_bias:
            return dx_TC, d_weight_OC
        return dx_TC, d_weight_OC, *program.emit("column_sum", (g_TO,), (g_TO.width,))


class Split(Operation[Value], name="split"):
    """Split of the columns into `parts` outputs of equal width; backward joins their gradients.

    With several `groups`, the columns are first split into groups of equal width, and an output has
    its part of each group side by side, as a copy. With one group, the outputs are views, without
    an instruction.
    """

    def forward(self, x_TC: Value, /, parts: int, groups: int = 1) -> tuple[Value, ...]:
        self.groups, width = groups, x_TC.width // (parts * groups)
        if groups == 1:
            return tuple(x_TC.columns(part * width, width) for part in range(parts))
        program, found = x_TC.program, []
        for part in range(parts):
            y_TC = program.computed((ROWS, groups * width))
            for group in range(groups):
                source = x_TC.columns((group * parts + part) * width, width)
                program.emit_into("copy", (source,), y_TC.columns(group * width, width))
            found.append(y_TC)
        return tuple(found)

    def backward(self, *grads: Value) -> tuple[Value]:
        program, width = grads[0].program, grads[0].width // self.groups
        whole = program.computed((ROWS, len(grads) * grads[0].width))
        column = 0
        for group in range(self.groups):
            for g in grads:
                part = g if self.groups == 1 else g.columns(group * width, width)
                program.emit_into("copy", (part,), whole.columns(column, width))
                column += width
        return (whole,)


class LayerNorm(Operation[Value], name="layer_norm"):
    """Normalization to mean 0 and variance 1."""

    def forward(self, x_TC: Value, gain_C: Value, bias_C: Value, /, eps: float) -> Value:
        shapes = x_TC.shape, (ROWS, 1), (ROWS, 1)
        y_TC, self.mean_T1, self.sigma_T1 = x_TC.program.emit(
            "layer_norm", (x_TC, gain_C, bias_C), *shapes, eps=eps
        )
        self.x_TC, self.gain_C = x_TC, gain_C
        return y_TC

    def backward(self, g_TC: Value) -> tuple[Value, Value, Value]:
        inputs = g_TC, self.x_TC, self.gain_C, self.mean_T1, self.sigma_T1
        shapes = self.x_TC.shape, self.gain_C.shape, self.gain_C.shape
        return g_TC.program.emit("layer_norm_gradient", inputs, *shapes)  # type: ignore[return-value]


class RMSNorm(Operation[Value], name="rms_norm"):
    """Normalization to a root mean square of 1, of rows, or of groups as wide as the gain."""

    def forward(self, x_TC: Value, gain_C: Value | None, /, eps: float) -> Value:
        self.x_TC, self.gain_C = x_TC, gain_C
        groups = 1 if gain_C is None else x_TC.width // gain_C.width
        y_TC, self.rho_TG = x_TC.program.emit(
            "rms_norm", (x_TC, gain_C), x_TC.shape, (ROWS, groups), eps=eps
        )
        return y_TC

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        emit, (x_TC, gain_C, rho_TG) = g_TC.program.emit, (self.x_TC, self.gain_C, self.rho_TG)
        if gain_C is None:
            return emit("rms_norm_gradient_without_gain", (g_TC, x_TC, rho_TG), x_TC.shape)
        inputs = g_TC, x_TC, gain_C, rho_TG
        return emit("rms_norm_gradient", inputs, x_TC.shape, gain_C.shape)


class Rotary(Operation[Value], name="rotary"):
    """Rotary position embedding: rotation of pairs of columns by an angle for each position.

    `positions` is an array, (N,). `forward` also sets `frequencies` of the program.
    """

    def forward(
        self, x_TC: Value, /, head_dim: int, positions: Value, frequencies: tuple[float, ...]
    ) -> Value:
        program = x_TC.program
        assert program.frequencies in ((), frequencies), "a program has one table of angles"
        program.frequencies = frequencies
        self.head_dim, self.positions = head_dim, positions
        return self.rotate(x_TC, 1)

    def rotate(self, x_TC: Value, sign: int) -> Value:
        """Append the rotation of x (`sign` 1) or its inverse (`sign` −1), and return its output."""
        program = x_TC.program
        tables = [program.table(name, (0, len(program.frequencies))) for name in ("cos", "sin")]
        inputs = x_TC, *tables, self.positions
        return program.emit("rotary", inputs, x_TC.shape, head_dim=self.head_dim, sign=sign)[0]

    def backward(self, g_TC: Value) -> tuple[Value]:
        return (self.rotate(g_TC, -1),)


class Attention(Operation[Value], name="attention"):
    """Causal attention of each row to its KV cache (inference) or its sequence (training).

    `kv_cache` is the index of the layer, whose keys and values are first appended to the cache of
    the row; None in training. `scale` None means 1/√D, `window` None that there is no window.
    """

    def forward(
        self,
        q_TC: Value,
        k_TC: Value,
        v_TC: Value,
        /,
        n_head: int,
        kv_cache: int | None,
        scale: float | None = None,
        window: int | None = None,
    ) -> Value:
        program, head_dim = q_TC.program, q_TC.width // n_head
        scale = 1 / sqrt(head_dim) if scale is None else scale
        sizes = {"head_dim": head_dim, "scale": scale, "window": window or 0}
        if kv_cache is None:
            self.inputs = q_TC, k_TC, v_TC
            self.settings = {**sizes, "tile": head_tile(head_dim)}
            self.y_TC, self.lse_TH = program.emit(
                "attention", self.inputs, q_TC.shape, (ROWS, n_head), **self.settings
            )
            return self.y_TC
        caches, positions = program.input("caches", (ROWS,)), program.input("positions", (ROWS,))
        written = k_TC, v_TC, caches, positions
        program.emit("append_to_cache", written, head_dim=head_dim, layer=kv_cache)
        progress = program.input("progress", (0,))
        program.emit("wait_for_rows", (progress,), layer=kv_cache)
        inputs, settings = (q_TC, caches, positions), {**sizes, "kv_width": k_TC.width}
        return program.emit("attend", inputs, q_TC.shape, layer=kv_cache, **settings)[0]

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        shapes = [value.shape for value in self.inputs]
        inputs = g_TC, *self.inputs, self.y_TC, self.lse_TH
        return g_TC.program.emit("attention_gradient", inputs, *shapes, **self.settings)


class ReLU(Operation[Value], name="relu"):
    """ReLU, max(0, x)."""

    def forward(self, x_TC: Value, /) -> Value:
        self.x_TC = x_TC
        return x_TC.program.emit("relu", (x_TC,), x_TC.shape)[0]

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        return g_TC.program.emit("relu_gradient", (g_TC, self.x_TC), g_TC.shape)


class GELU(Operation[Value], name="gelu"):
    """GELU, x Φ(x), with the tanh approximation of Φ."""

    def forward(self, x_TC: Value, /) -> Value:
        self.x_TC = x_TC
        return x_TC.program.emit("gelu", (x_TC,), x_TC.shape)[0]

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        return g_TC.program.emit("gelu_gradient", (g_TC, self.x_TC), g_TC.shape)


class GELUErf(Operation[Value], name="gelu_erf"):
    """GELU, x Φ(x), with the distribution function Φ of the standard normal distribution."""

    def forward(self, x_TC: Value, /) -> Value:
        self.x_TC = x_TC
        return x_TC.program.emit("gelu_erf", (x_TC,), x_TC.shape)[0]

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        return g_TC.program.emit("gelu_erf_gradient", (g_TC, self.x_TC), g_TC.shape)


class SwiGLU(Operation[Value], name="swiglu"):
    """SwiGLU, a σ(a) b: a is the gate and b the up-projection."""

    def forward(self, gate_TC: Value, up_TC: Value, /) -> Value:
        self.inputs = gate_TC, up_TC
        return gate_TC.program.emit("swiglu", self.inputs, gate_TC.shape)[0]

    def backward(self, g_TC: Value) -> tuple[Value, ...]:
        shape = g_TC.shape
        return g_TC.program.emit("swiglu_gradient", (g_TC, *self.inputs), shape, shape)


class CrossEntropy(Operation[Value], name="cross_entropy"):
    """Cross-entropy loss of the logits: the sum over the rows, each divided by its denominator."""

    def forward(self, logits_TV: Value, /, targets_T: Value, loss_denominator: Value) -> Value:
        self.inputs = logits_TV, targets_T, loss_denominator
        loss, self.lse_T1 = logits_TV.program.emit("cross_entropy", self.inputs, (1,), (ROWS, 1))
        return loss

    def backward(self, g: Value) -> tuple[Value, ...]:  # noqa: ARG002  (the loss is the last: g is 1)
        program, shape = self.lse_T1.program, self.inputs[0].shape
        return program.emit("cross_entropy_gradient", (*self.inputs, self.lse_T1), shape)


class TracingTape(Tape[Value], operations=operations_of(sys.modules[__name__])):
    """Tape of the tracing operations, whose backward pass appends the gradients' instructions."""
