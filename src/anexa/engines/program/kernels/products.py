"""Kernels of linear layers: packing, products, and the gradients of weights and biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anexa.engines.program.kernels.language import (
    BLOCK_ROWS,
    LANES,
    WIDTH,
    Pointer,
    row_blocks,
    tiles,
)

if TYPE_CHECKING:
    from anexa.engines.program.blocks import (
        add_outer,
        add_rows,
        add_scaled_rows,
        load_rows,
        repeat,
        store_first_rows,
        store_rows,
        transposed,
    )
    from anexa.engines.program.vectors import at, fma, full, load, store


def transpose(w: Pointer, y: Pointer, *, y_rows: int, y_width: int) -> None:
    """Transpose of a matrix: y = wᵀ."""
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
    first: int,
) -> None:
    """Copy a weight (O, C) into tiles of `tile` outputs, (O / tile, C, tile).

    A product reads a packed weight from its first number to its last. Several weights are packed
    side by side, in order: this one becomes the outputs from `first` on.
    The padding of the last tile, after the last output, may hold any numbers.
    """
    if first % LANES:
        for o in range(first, first + w_rows):
            row = at(y, o // tile * tile * w_width + o % tile)
            for c in range(w_width):
                row[c * tile] = w[(o - first) * w_width + c]
    else:
        for o in range(0, w_rows, LANES):
            column = first + o
            out = at(y, column // tile * tile * w_width + column % tile)
            for c in range(0, w_width, LANES):
                num_rows, count = min(LANES, w_rows - o), min(LANES, w_width - c)
                block = load_rows(at(w, o * w_width + c), w_width, num_rows, count, LANES)
                store_first_rows(at(out, c * tile), tile, transposed(block), count)


def pack_columns(
    w: Pointer,
    y: Pointer,
    *,
    w_rows: int,
    w_width: int,
    tile: int,
    first: int,
) -> None:
    """Pack the transpose of a weight (C, O), as `pack` does."""
    for c in range(w_rows):
        out = at(y, c * tile)
        if first % tile:
            for o in range(first, first + w_width):
                out[o // tile * w_rows * tile + o % tile] = w[c * w_width + o - first]
        else:
            for o, count in tiles(w_width, tile):
                numbers = load(w, c * w_width + o, count, tile)
                store(out, (first + o) * w_rows, numbers, tile)


def product(
    x: Pointer,
    w: Pointer,
    bias: Pointer,
    residual: Pointer,
    y: Pointer,
    rows: int,
    *,
    x_width: int,
    x_stride: int,
    w_stride: int,
    bias_width: int,
    residual_width: int,
    residual_stride: int,
    y_width: int,
    y_stride: int,
    tile: int,
) -> None:
    """Linear layer: y = x Wᵀ + b + residual.

    Each output adds its terms up in order, whatever is beside it. `w` is a packed weight, or Wᵀ
    itself: (C, O).
    """
    tile_step = x_width * tile if w_stride == tile else tile
    zeros = full(x, 0, tile)
    if rows == 1:
        # Four tiles at once, so that the processor need not wait for the sum before.
        for first in range(0, y_width - 4 * tile + 1, 4 * tile):
            w_tile = at(w, first // tile * tile_step)
            sums = repeat(zeros, 4)
            if bias_width:
                sums = add_rows(sums, at(bias, first), tile, tile)
            for c in range(x_width):
                w_c = at(w_tile, c * w_stride)
                sums = add_scaled_rows(sums, at(x, c), 0, w_c, tile_step, tile)
            if residual_width:
                sums = add_rows(sums, at(residual, first), tile, tile)
            store_rows(at(y, first), tile, sums, tile)
        for further, count in tiles(y_width % (4 * tile), tile):
            first = y_width // (4 * tile) * (4 * tile) + further
            w_tile = at(w, first // tile * tile_step)
            total = zeros
            if bias_width:
                total = total + load(bias, first, count, tile)
            for c in range(x_width):
                total = fma(full(x, x[c], tile), load(w_tile, c * w_stride, count, tile), total)
            if residual_width:
                total = total + load(residual, first, count, tile)
            store(y, first, total, count)
        return
    for first, count in tiles(y_width, min(tile, WIDTH)):
        w_tile = at(w, first // tile * tile_step + first % tile)
        start = full(x, 0, min(tile, WIDTH))
        if bias_width:
            start = start + load(bias, first, count, min(tile, WIDTH))
        for t, ROWS in row_blocks(rows):
            x_t = at(x, t * x_stride)
            sums = repeat(start, ROWS)
            for c in range(x_width):
                w_c = load(w_tile, c * w_stride, count, min(tile, WIDTH))
                sums = add_outer(sums, at(x_t, c), x_stride, w_c)
            if residual_width:
                r = at(residual, t * residual_stride + first)
                sums = add_rows(sums, r, residual_stride, count)
            store_rows(at(y, t * y_stride + first), y_stride, sums, count)


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
    tile: int,
) -> None:
    """Gradient of a weight: dW = gᵀ x.

    The rows are added in order; 64 of them at a time, which stay in the processor's cache.
    """
    zeros = full(x, 0, min(tile, WIDTH))
    for begin in range(0, max(rows, 1), 64):
        end = min(begin + 64, rows)
        for c, count in tiles(x_width, min(tile, WIDTH)):
            for o in range(0, g_width - BLOCK_ROWS + 1, BLOCK_ROWS):
                out = at(y, o * x_width + c)
                sums = repeat(zeros, BLOCK_ROWS)
                if begin > 0:
                    sums = add_rows(sums, out, x_width, count)
                for t in range(begin, end):
                    x_t = load(x, t * x_stride + c, count, min(tile, WIDTH))
                    sums = add_outer(sums, at(g, t * g_stride + o), 1, x_t)
                store_rows(out, x_width, sums, count)
            for o in range(g_width // BLOCK_ROWS * BLOCK_ROWS, g_width):
                total = zeros
                if begin > 0:
                    total = total + load(y, o * x_width + c, count, min(tile, WIDTH))
                for t in range(begin, end):
                    x_t = load(x, t * x_stride + c, count, min(tile, WIDTH))
                    total = fma(full(x, g[t * g_stride + o], min(tile, WIDTH)), x_t, total)
                store(y, o * x_width + c, total, count)


def column_sum(g: Pointer, y: Pointer, rows: int, *, g_stride: int, g_width: int) -> None:
    """Gradient of a bias: db = Σ_t g_t."""
    for c, count in tiles(g_width, LANES):
        total_c = full(g, 0, LANES)
        for t in range(rows):
            total_c = total_c + load(g, t * g_stride + c, count, LANES)
        store(y, c, total_c, count)
