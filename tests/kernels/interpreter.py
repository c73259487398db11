"""Triton's interpreter, mended: it holds bfloat16 as integers, and its matrix product multiplies those."""

from typing import Any

import numpy as np
import pytest
import triton.language as tl
from triton.runtime import interpreter


def dot_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `tl.dot` widen bfloat16 operands first. Seen wrong in Triton 3.6, 3.7 and 3.9."""
    plain_dot = interpreter.InterpreterBuilder.create_dot

    def dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        return plain_dot(self, _widened(a), _widened(b), *others)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot)


def _widened(handle: Any) -> Any:
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
