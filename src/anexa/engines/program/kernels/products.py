"""Kernels of linear layers: packing, products, and the gradients of weights and biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.language import LANES, Pointer, tiles

if TYPE_CHECKING:
    from anexa.engines.program.vectors import at, fma, full, keep_separate, load, store


def transpose(w: Pointer, y: Pointer, *, y_rows: int, y_width: int) -> None:
    """y = wᵀ."""
    keep_separate()
    for i in range(y_rows):
        for j in range(y_width):
            y[i * y_width + j] = w[j * y_rows + i]


def pack(
    w: Pointer,
    y: Pointer,
    *,
    w_rows: int,
    w_width: int,
    tile: int,
    n_in: int,
    first: int,
    column: int,
) -> None:
    """Copy a weight (O, C) into tiles of `tile` outputs, (O / tile, C, tile); missing outputs: 0.

    A product reads a packed weight from its first number to its last. Several weights are packed
    side by side, in order: this one becomes outputs from `first` on, of inputs from `column` on.
    """
    keep_separate()
    for o in range(first, first + w_rows):
        row = at(y, (o // tile * n_in + column) * tile + o % tile)
        for c in range(w_width):
            row[c * tile] = w[(o - first) * w_width + c]
    for o in range(first + w_rows, (first + w_rows + tile - 1) // tile * tile):
        row = at(y, (o // tile * n_in + column) * tile + o % tile)
        for c in range(w_width):
            row[c * tile] = 0


def pack_columns(
    w: Pointer,
    y: Pointer,
    *,
    w_rows: int,
    w_width: int,
    tile: int,
    n_in: int,
    first: int,
    column: int,
) -> None:
    """Pack the transpose of a weight (C, O), as `pack` does."""
    keep_separate()
    for c in range(w_rows):
        out = at(y, (column + c) * tile)
        if first % tile:
            for o in range(first, first + w_width):
                out[o // tile * n_in * tile + o % tile] = w[c * w_width + o - first]
            for o in range(first + w_width, (first + w_width + tile - 1) // tile * tile):
                out[o // tile * n_in * tile + o % tile] = 0
        else:
            for o, count in tiles(w_width, tile):
                numbers = load(w, c * w_width + o, count, tile)
                store(out, (first + o) * n_in, numbers, tile)


def product(
    x: Pointer,
    packed: Pointer,
    bias: Pointer,
    residual: Pointer,
    y: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    bias_width: int,
    residual_width: int,
    residual_stride: int,
    y_width: int,
    y_stride: int,
    tile: int,
) -> None:
    """y = x Wᵀ + b + residual: four rows at once; each output adds its terms up in order."""
    keep_separate()
    for first, count in tiles(y_width, tile):
        w = at(packed, first * x_width)
        if bias_width:
            b = load(bias, first, count, tile)
        else:
            b = full(x, 0, tile)
        for t in range(0, rows - 3, 4):
            x0, x1 = at(x, t * x_stride), at(x, (t + 1) * x_stride)
            x2, x3 = at(x, (t + 2) * x_stride), at(x, (t + 3) * x_stride)
            y0 = b
            y1 = b
            y2 = b
            y3 = b
            for c in range(x_width):
                w_c = load(w, c * tile, tile, tile)
                y0 = fma(full(x, x0[c], tile), w_c, y0)
                y1 = fma(full(x, x1[c], tile), w_c, y1)
                y2 = fma(full(x, x2[c], tile), w_c, y2)
                y3 = fma(full(x, x3[c], tile), w_c, y3)
            if residual_width:
                r = at(residual, t * residual_stride + first)
                y0 = y0 + load(r, 0, count, tile)
                y1 = y1 + load(r, residual_stride, count, tile)
                y2 = y2 + load(r, 2 * residual_stride, count, tile)
                y3 = y3 + load(r, 3 * residual_stride, count, tile)
            out = at(y, t * y_stride + first)
            store(out, 0, y0, count)
            store(out, y_stride, y1, count)
            store(out, 2 * y_stride, y2, count)
            store(out, 3 * y_stride, y3, count)
    for t in range(rows - rows % 4, rows):
        x0 = at(x, t * x_stride)
        # Four tiles at once, so that the processor need not wait for the sum before.
        for first in range(0, y_width - 4 * tile + 1, 4 * tile):
            w = at(packed, first * x_width)
            if bias_width:
                y0 = load(bias, first, tile, tile)
                y1 = load(bias, first + tile, tile, tile)
                y2 = load(bias, first + 2 * tile, tile, tile)
                y3 = load(bias, first + 3 * tile, tile, tile)
            else:
                y0 = full(x, 0, tile)
                y1 = y0
                y2 = y0
                y3 = y0
            for c in range(x_width):
                x_c = full(x, x0[c], tile)
                y0 = fma(x_c, load(w, c * tile, tile, tile), y0)
                y1 = fma(x_c, load(w, (x_width + c) * tile, tile, tile), y1)
                y2 = fma(x_c, load(w, (2 * x_width + c) * tile, tile, tile), y2)
                y3 = fma(x_c, load(w, (3 * x_width + c) * tile, tile, tile), y3)
            if residual_width:
                r = at(residual, t * residual_stride + first)
                y0 = y0 + load(r, 0, tile, tile)
                y1 = y1 + load(r, tile, tile, tile)
                y2 = y2 + load(r, 2 * tile, tile, tile)
                y3 = y3 + load(r, 3 * tile, tile, tile)
            out = at(y, t * y_stride + first)
            store(out, 0, y0, tile)
            store(out, tile, y1, tile)
            store(out, 2 * tile, y2, tile)
            store(out, 3 * tile, y3, tile)
        for further, count in tiles(y_width % (4 * tile), tile):
            first = y_width - y_width % (4 * tile) + further
            w = at(packed, first * x_width)
            if bias_width:
                y0 = load(bias, first, count, tile)
            else:
                y0 = full(x, 0, tile)
            for c in range(x_width):
                y0 = fma(full(x, x0[c], tile), load(w, c * tile, tile, tile), y0)
            if residual_width:
                y0 = y0 + load(residual, t * residual_stride + first, count, tile)
            store(y, t * y_stride + first, y0, count)


def outer(
    g: Pointer,
    x: Pointer,
    y: Pointer,
    rows: int,
    *,
    g_stride: int,
    g_width: int,
    x_stride: int,
    x_width: int,
) -> None:
    """dW = gᵀ x: four outputs at once, in blocks of 64 rows."""
    keep_separate()
    for begin in range(0, max(rows, 1), 64):
        end = min(begin + 64, rows)
        for c, count in tiles(x_width, LANES):
            for o in range(0, g_width - 3, 4):
                out = at(y, o * x_width + c)
                if begin == 0:
                    y0 = full(x, 0, LANES)
                    y1 = y0
                    y2 = y0
                    y3 = y0
                else:
                    y0 = load(out, 0, count, LANES)
                    y1 = load(out, x_width, count, LANES)
                    y2 = load(out, 2 * x_width, count, LANES)
                    y3 = load(out, 3 * x_width, count, LANES)
                for t in range(begin, end):
                    x_t = load(x, t * x_stride + c, count, LANES)
                    g_t = at(g, t * g_stride + o)
                    y0 = fma(full(x, g_t[0], LANES), x_t, y0)
                    y1 = fma(full(x, g_t[1], LANES), x_t, y1)
                    y2 = fma(full(x, g_t[2], LANES), x_t, y2)
                    y3 = fma(full(x, g_t[3], LANES), x_t, y3)
                store(out, 0, y0, count)
                store(out, x_width, y1, count)
                store(out, 2 * x_width, y2, count)
                store(out, 3 * x_width, y3, count)
            for o in range(g_width - g_width % 4, g_width):
                if begin == 0:
                    y0 = full(x, 0, LANES)
                else:
                    y0 = load(y, o * x_width + c, count, LANES)
                for t in range(begin, end):
                    x_t = load(x, t * x_stride + c, count, LANES)
                    y0 = fma(full(x, g[t * g_stride + o], LANES), x_t, y0)
                store(y, o * x_width + c, y0, count)


def column_sum(g: Pointer, y: Pointer, rows: int, *, g_stride: int, g_width: int) -> None:
    """db = Σ_t g_t."""
    keep_separate()
    for c, count in tiles(g_width, LANES):
        total_c = full(g, 0, LANES)
        for t in range(rows):
            total_c = total_c + load(g, t * g_stride + c, count, LANES)
        store(y, c, total_c, count)
