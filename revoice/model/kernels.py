"""What 8-bit decoders compute on a CPU beside torch: compiled by numba, run by torch's threads.

One position is so little work for each of torch's operations that starting them takes as long.
Here it passes through all layers in one parallel region of the OpenMP runtime that torch brings
along: its own threads, so that no two pools of them wait for each other's CPUs. Each number is
computed by one thread in one order, so that how many there are does not change it.
"""

import ctypes
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from llvmlite import ir
from numba import carray, cfunc, extending, float32, int32, njit, types
from numba.core import cgutils
from numpy.typing import NDArray
from torch import Tensor

SUMS = {"reassoc", "contract", "nsz"}  # of floats may be computed in any order, here always one
ADDED, POSITIVE = 1, 2
Array = NDArray[Any]
intrinsic: Any = extending.intrinsic  # as typed, callers would give what numba gives
NEAREST = float32(1.5 * 2**23)  # beside it a float32 has no room for less than whole numbers
_barrier: Any = types.ExternalFunction("GOMP_barrier", types.void())
_thread: Any = types.ExternalFunction("omp_get_thread_num", types.int32())
_threads: Any = types.ExternalFunction("omp_get_num_threads", types.int32())


@cache
def openmp() -> ctypes.CDLL | None:
    """The runtime that torch has brought along, where there is one that these kernels can use.

    None also where the CPU does not multiply numbers of 8 bits and add them up at once.
    """
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    if not found or not torch.cpu._is_vnni_supported() or llvm.llvm_version_info[0] < 22:
        return None
    library = ctypes.CDLL(str(found[0]))
    for name in ("GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads"):
        llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_uint] * 2]
    library.GOMP_parallel.restype = None
    return library


@cache
def _compiled(kernel: Callable[..., None]) -> Any:
    signature = types.void(types.CPointer(types.int64))
    try:
        return cfunc(signature, cache=True)(kernel)
    except RuntimeError:  # nowhere to keep it
        return cfunc(signature)(kernel)


def run(kernel: Callable[..., None], *given: int | Tensor) -> None:
    """Let all of torch's threads compute; a tensor is told by its address, and is contiguous."""
    library = openmp()
    assert library
    told = [each if isinstance(each, int) else each.data_ptr() for each in given]
    work = (ctypes.c_int64 * len(told))(*told)
    library.GOMP_parallel(_compiled(kernel).address, work, torch.get_num_threads(), 0)


@intrinsic
def _at(_: Any, address: Any) -> Any:
    """The pointer of an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@intrinsic
def _dot(_: Any, w: Any, row: Any, x: Any) -> Any:
    """The product of a row of (N, K) int8 with (K,) uint8; K is a multiple of 64.

    In LLVM's words: numba has none for 64 bytes at once, and LLVM does not find them in a loop.
    """
    sums, bytes_ = ir.VectorType(ir.IntType(32), 16), ir.VectorType(ir.IntType(8), 64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def declared(name: str, result: Any, *given: Any) -> Any:
            kind = ir.FunctionType(result, given)
            return cgutils.get_or_insert_function(builder.module, kind, name)

        of = [(signature.args[i], arguments[i]) for i in (0, 2)]
        matrix, vector = (context.make_array(kind)(context, builder, it) for kind, it in of)
        (size,) = cgutils.unpack_tuple(builder, vector.shape, 1)
        begin = builder.gep(matrix.data, [builder.mul(arguments[1], size)])
        multiply = declared("llvm.x86.avx512.vpdpbusd.512", sums, sums, bytes_, bytes_)
        total = cgutils.alloca_once_value(builder, sums(None))
        with cgutils.for_range(builder, builder.udiv(size, size.type(64))) as loop:
            offset = builder.mul(loop.index, size.type(64))
            places = [builder.gep(data, [offset]) for data in (vector.data, begin)]
            pointers = [builder.bitcast(place, bytes_.as_pointer()) for place in places]
            parts = [builder.load(pointer, align=1) for pointer in pointers]
            builder.store(builder.call(multiply, [builder.load(total), *parts]), total)
        add = declared("llvm.vector.reduce.add.v16i32", ir.IntType(32), sums)
        return builder.call(add, [builder.load(total)])

    return types.int32(w, types.int64, x), generate


@njit(fastmath=SUMS)
def _norm(x: Array, weight: Array, bias: Array, y: Array) -> None:
    """Layer norm of (K,) float32."""
    mean, square = float32(0), float32(0)
    for i in range(x.size):
        mean += x[i]
    mean /= float32(x.size)
    for i in range(x.size):
        square += (x[i] - mean) * (x[i] - mean)
    scale = float32(1) / np.sqrt(square / float32(x.size) + float32(1e-5))
    for i in range(x.size):
        y[i] = (x[i] - mean) * scale * weight[i] + bias[i]


@njit
def _largest(bits: Array) -> Any:
    """Bits of the largest |x|: those of what is positive are in its order, and compared at once."""
    largest = int32(0)
    for i in range(bits.size):
        largest = max(largest, int32(bits[i] & 0x7FFFFFFF))
    return largest


@njit
def _rounded(x: Array, y: Array, zero: int) -> Any:
    """(K,) float32 to 127ths of its largest, with `zero` for 0; the scale."""
    largest = _largest(x.view(np.int32))
    scale = max(np.int32(largest).view(np.float32) / float32(127), float32(1e-12))
    for i in range(x.size):
        y[i] = int32((x[i] / scale + NEAREST) - NEAREST) + zero
    return scale


@njit(fastmath=SUMS)
def _attend(query: Array, keys: Array, values: Array, weights: Array, y: Array) -> None:
    """One head's: (D,) and (L, D) twice to (D,); `weights` (L,) is room for them."""
    largest, total = float32(-np.inf), float32(0)
    for t in range(weights.size):
        score = float32(0)
        for d in range(query.size):
            score += query[d] * keys[t, d]
        weights[t] = score
        largest = max(largest, score)
    for t in range(weights.size):
        weights[t] = np.exp(weights[t] - largest)
        total += weights[t]
    y[:] = float32(0)
    for t in range(weights.size):
        for d in range(query.size):
            y[d] += weights[t] * values[t, d]
    for d in range(query.size):
        y[d] /= total


@njit
def _product(
    w: Array, of: Array, outputs: tuple[int, int], x: Array, scale: Any, y: Array, form: int
) -> None:
    """Some outputs of W x + b, in y (N,) float32; `form`: ADDED to it, POSITIVE parts, or neither.

    `of` (3, N): scales and sums of W's rows, and b; x is rounded, with 128 for 0.
    """
    for r in range(outputs[0], outputs[1]):
        whole = _dot(w, r, x) - int32(128) * int32(of[1, r])
        value = float32(whole) * scale * of[0, r] + of[2, r]
        if form == ADDED:
            value += y[r]
        elif form == POSITIVE:
            value = max(value, float32(0))
        y[r] = value


def position(told: Any) -> None:
    """The next position of one row through all layers, which x (W,) float32 becomes.

    Told: layers, heads, W, capacity, how many positions there are with it; then where is what, in
    float32 but for the weights: (layers, 12, W, W) int8, three into attention, one out of it, four
    up and four down; `of` (layers, 3, 9 W) of `_product`; the norms' (layers, 4, W); keys and
    values (layers, 2, heads, capacity, D); x; 8 W that threads share, each one's 2 W + capacity.
    """
    a = carray(told, 12)
    layers, heads, width, capacity, count = a[0], a[1], a[2], a[3], a[4]
    size, root = width // heads, float32(math.sqrt(width / heads))
    rank, threads = _thread(), _threads()
    norms = carray(_at(a[7]), (layers, 4, width), np.float32)
    kept = carray(_at(a[8]), (layers, 2, heads, capacity, size), np.float32)
    x = carray(_at(a[9]), (width,), np.float32)
    shared = carray(_at(a[10]), (8 * width,), np.float32)
    own = carray(_at(a[11]), (threads, 2 * width + capacity), np.float32)[rank]
    qkv, attended, hidden = shared[: 3 * width], shared[3 * width : 4 * width], shared[4 * width :]
    normed, whole = own[:width], own[width : 2 * width].view(np.uint8)
    seen = own[2 * width : 2 * width + count]
    begin, end = heads * rank // threads, heads * (rank + 1) // threads
    mine = width * rank // threads, width * (rank + 1) // threads
    up_mine = 4 * mine[0], 4 * mine[1]
    for layer in range(layers):
        at = a[5] + layer * 12 * width * width
        into = carray(_at(at), (3 * width, width), np.int8)
        out = carray(_at(at + 3 * width * width), (width, width), np.int8)
        up = carray(_at(at + 4 * width * width), (4 * width, width), np.int8)
        down = carray(_at(at + 8 * width * width), (width, 4 * width), np.int8)
        of = carray(_at(a[6] + 4 * layer * 27 * width), (3, 9 * width), np.float32)
        _norm(x, norms[layer, 0], norms[layer, 1], normed)
        scale = _rounded(normed, whole[:width], 128)
        for part in range(0, 3 * width, width):
            places = part + begin * size, part + end * size
            _product(into, of, places, whole[:width], scale, qkv, 0)
        for head in range(begin, end):
            keys, values = kept[layer, 0, head], kept[layer, 1, head]
            for d in range(size):
                i = head * size + d
                keys[count - 1, d], values[count - 1, d] = qkv[width + i], qkv[2 * width + i]
                qkv[i] /= root
            some = slice(head * size, (head + 1) * size)
            _attend(qkv[some], keys, values, seen, attended[some])
        _barrier()
        scale = _rounded(attended, whole[:width], 128)
        _product(out, of[:, 3 * width :], mine, whole[:width], scale, x, ADDED)
        _barrier()
        _norm(x, norms[layer, 2], norms[layer, 3], normed)
        scale = _rounded(normed, whole[:width], 128)
        _product(up, of[:, 4 * width :], up_mine, whole[:width], scale, hidden, POSITIVE)
        _barrier()
        scale = _rounded(hidden, whole, 128)
        _product(down, of[:, 8 * width :], mine, whole, scale, x, ADDED)
        _barrier()


def round_rows(told: Any) -> None:
    """Rows of numbers to 127ths of their largest.

    Told: P, K, then where is (P, K) float32, int8 that it becomes, and (P,) float32 scales.
    """
    a = carray(told, 5)
    x = carray(_at(a[2]), (a[0], a[1]), np.float32)
    y = carray(_at(a[3]), (a[0], a[1]), np.int8)
    scales = carray(_at(a[4]), (a[0],), np.float32)
    rank, threads = _thread(), _threads()
    for row in range(a[0] * rank // threads, a[0] * (rank + 1) // threads):
        scales[row] = _rounded(x[row], y[row], 0)


def scale_rows(told: Any) -> None:
    """Rows of sums to what they stand for.

    Told: P, N, whether to keep the positive parts alone, then where is (P, N) int32, (P, N) float32
    that it becomes, and in float32 (P,) and (N,) scales and (N,) biases.
    """
    a = carray(told, 8)
    rows, size = a[0], a[1]
    x = carray(_at(a[3]), (rows, size), np.int32)
    y = carray(_at(a[4]), (rows, size), np.float32)
    of_rows = carray(_at(a[5]), (rows,), np.float32)
    of_columns = carray(_at(a[6]), (size,), np.float32)
    bias = carray(_at(a[7]), (size,), np.float32)
    lowest = float32(0) if a[2] else float32(-np.inf)
    rank, threads = _thread(), _threads()
    for row in range(rows * rank // threads, rows * (rank + 1) // threads):
        scale = of_rows[row]
        for i in range(size):
            y[row, i] = max(float32(x[row, i]) * scale * of_columns[i] + bias[i], lowest)
