"""Tensors on a GPU that is not there: shapes, dtypes and devices of every operation, without storage.

`FakeCuda` is torch's FakeTensorMode, with detours around the few methods of tensors that a CPU build of torch cannot
call for a device that it was not built for: `to`, `copy_`, `~` and indexing.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten


class FakeCuda(TorchFunctionMode):
    """While entered, tensors are fake, and any device may be named. Keeps what was done."""

    def __init__(self) -> None:
        super().__init__()
        self._fake, self._record, self._stack = FakeTensorMode(allow_non_fake_inputs=True), _Record(), ExitStack()

    @property
    def made(self) -> list[tuple[str, torch.dtype, torch.Size]]:
        """Of each tensor that an operation made, its device, dtype and shape."""
        return self._record.made

    @property
    def kernels(self) -> int:
        """How many operations compute something; the others only view a tensor."""
        return self._record.kernels

    @property
    def sent(self) -> list[tuple[torch.dtype, int]]:
        """Dtype and count of the numbers of each tensor that was copied from the CPU to another device."""
        return self._record.sent

    def __enter__(self) -> FakeCuda:
        self._stack.enter_context(self._fake)
        self._stack.enter_context(self._record)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.to:
            return _to(*args, **kwargs)
        if func is Tensor.copy_:
            return ATEN.copy_.default(*args)
        if func is Tensor.__invert__:
            return args[0].logical_not()
        if func is Tensor.__getitem__:
            return _part(args[0], args[1] if isinstance(args[1], tuple) else (args[1],))
        if func is Tensor.__setitem__:
            return ATEN.copy_.default(_part(args[0], args[1] if isinstance(args[1], tuple) else (args[1],)), args[2])
        return func(*args, **kwargs)


def _to(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
    named |= {"dtype" if isinstance(value, torch.dtype) else "device": value for value in given}
    device, dtype = torch.device(named.get("device", tensor.device)), named.get("dtype", tensor.dtype)
    if (device.type, dtype) == (tensor.device.type, tensor.dtype):
        return tensor
    return ATEN._to_copy.default(tensor, device=device, dtype=dtype)


def _part(tensor: Tensor, index: tuple[Any, ...]) -> Tensor:
    """tensor[index] in operations that need no guard of a device."""
    if any(i is ... for i in index):
        at = next(n for n, i in enumerate(index) if i is ...)
        missing = tensor.ndim - sum(i is not None and i is not ... for i in index)
        index = (*index[:at], *[slice(None)] * missing, *index[at + 1 :])
    axis = 0
    for i in index:
        if i is None:
            tensor, axis = tensor.unsqueeze(axis), axis + 1
        elif isinstance(i, int):
            tensor = tensor.select(axis, i)
        elif isinstance(i, slice):
            start, stop, step = i.indices(tensor.shape[axis])
            tensor, axis = ATEN.slice.Tensor(tensor, axis, start, stop, step), axis + 1
        else:
            chosen = torch.as_tensor(i)
            tensor = tensor.index_select(axis, chosen.flatten()).unflatten(axis, chosen.shape)
            axis += chosen.ndim
    return tensor


class _Record(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, torch.dtype, torch.Size]] = []
        self.sent: list[tuple[torch.dtype, int]] = []
        self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.made.append((tensor.device.type, tensor.dtype, tensor.shape))
        aliased = func._schema.returns[0].alias_info if func._schema.returns else None
        self.kernels += aliased is None or aliased.is_write
        if func is ATEN._to_copy.default and args[0].device.type == "cpu" != out.device.type:
            self.sent.append((args[0].dtype, args[0].numel()))
        return out
