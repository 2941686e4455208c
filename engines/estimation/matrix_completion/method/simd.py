"""Vectors of eight lanes inside compiled kernels.

The inner loops of matrix completion run over the rank, 10 to 100 numbers. That is too short for a compiler's
automatic vectoriser (its unrolled body is longer than the loop), so the kernels say what they mean: numba
functions over `load`, `fma`, `lane_sum`, ... that become the vector instructions of whatever machine this is.
The order of every sum is thereby fixed in the source: results do not depend on compiler flags.

Arrays are one-dimensional, C-contiguous, and padded so that `load(a, i)` may read lanes i..i+7.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8


class Vector(types.Type):
    """Eight numbers of one float type, held in registers."""

    def __init__(self, element: types.Float) -> None:
        self.element = element
        super().__init__(name=f"vector8_{element}")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is one LLVM value of vector type."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _llvm(vector.element))


def _llvm(element: types.Float) -> ir.VectorType:
    return ir.VectorType(ir.DoubleType() if element == types.float64 else ir.FloatType(), LANES)


def _address(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: types.Float
) -> Any:
    start = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(start, [index])
    return builder.bitcast(pointer, _llvm(element).as_pointer())


@intrinsic  # type: ignore[misc]
def load(typing: Any, array: Any, index: Any) -> Any:
    """Lanes array[index : index + 8]."""
    element = array.dtype

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], args[0], args[1], element))
        value.align = element.bitwidth // 8
        return value

    return Vector(element)(array, types.intp), make


@intrinsic  # type: ignore[misc]
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 8] = value, converted to the array's precision."""
    element = array.dtype

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = _converted(builder, args[2], signature.args[2].element, element)
        written = builder.store(
            lanes, _address(context, builder, signature.args[0], args[0], args[1], element)
        )
        written.align = element.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), make


def _converted(builder: Any, lanes: Any, source: types.Float, target: types.Float) -> Any:
    if source == target:
        return lanes
    if target == types.float32:
        return builder.fptrunc(lanes, _llvm(target))
    return builder.fpext(lanes, _llvm(target))


@intrinsic  # type: ignore[misc]
def item(typing: Any, array: Any, index: Any) -> Any:
    """array[index] for 0 <= index, without Python's rule for negative indices (which costs in inner loops)."""
    element = array.dtype

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(start, [args[1]]))

    return element(array, types.intp), make


@intrinsic  # type: ignore[misc]
def zeros_like(typing: Any, array: Any) -> Any:
    """Eight zeros of the array's precision."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_llvm(signature.args[0].dtype), None)

    return Vector(array.dtype)(array), make


@intrinsic  # type: ignore[misc]
def splat(typing: Any, array: Any, scalar: Any) -> Any:
    """The scalar in all eight lanes, in the array's precision."""
    element = array.dtype

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = context.cast(builder, args[1], signature.args[1], element)
        vector = _llvm(element)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)

    return Vector(element)(array, scalar), make


@intrinsic  # type: ignore[misc]
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, fused where the machine can."""
    if not (isinstance(a, Vector) and a == b == c):
        return None

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _llvm(signature.return_type.element)
        name = "f64" if signature.return_type.element == types.float64 else "f32"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind, kind, kind]), f"llvm.fmuladd.v{LANES}{name}"
        )
        return builder.call(function, list(args))

    return a(a, b, c), make


@intrinsic  # type: ignore[misc]
def mul(typing: Any, a: Any, b: Any) -> Any:
    """a * b, lane by lane."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], args[1])

    return a(a, b), make


@intrinsic  # type: ignore[misc]
def lane_sum(typing: Any, a: Any) -> Any:
    """Sum of the eight lanes as a tree: halves, quarters, pairs (a fixed order)."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, width = args[0], LANES
        while width > 1:
            half = width // 2
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    value,
                    undefined,
                    ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(at, at + half))),
                )
                for at in (0, half)
            )
            value, width = builder.fadd(low, high), half
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return a.element(a), make


@intrinsic  # type: ignore[misc]
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Asks the caches for the line that holds array[index]; changes no value."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(start, [args[1]]), byte)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), make
