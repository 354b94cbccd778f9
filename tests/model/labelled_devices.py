"""Devices in name only: tensors that live on the CPU and carry the label of a device.

As on real ones, an operation on tensors of two devices is an error, and only `to` and `cpu` move a tensor. Numbers are
computed, so that results can be compared.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

FIRST, SECOND = torch.device("xpu:0"), torch.device("xpu:1")


class Labelled(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function == torch.Tensor.device.__get__:
            return args[0].label
        flat = tree_flatten((args, kwargs))[0]
        labels = {tensor.label for tensor in flat if isinstance(tensor, Labelled)}
        others = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, Labelled) and t.ndim]
        if function is torch.Tensor.to:
            moved = next((x for x in flat if isinstance(x, torch.device)), None)
            rest = tree_map(lambda x: None if isinstance(x, torch.device) else x, (args, kwargs))
            dtype = next((x for x in tree_flatten(rest)[0] if isinstance(x, torch.dtype)), args[0].dtype)
            with torch._C.DisableTorchFunctionSubclass():
                return labelled(args[0].as_subclass(torch.Tensor).to(dtype), moved or args[0].label)
        if function is torch.Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(torch.Tensor)
        if len(labels) != 1 or others:
            raise RuntimeError(f"{function} on tensors of {labels} and {len(others)} on the CPU")
        result = super().__torch_function__(function, types, args, kwargs)
        (label,) = labels
        return tree_map(lambda x: labelled(x, label) if isinstance(x, torch.Tensor) else x, result)


def labelled(tensor, device):
    """The same numbers on a device; on the CPU an ordinary tensor."""
    if device.type == "cpu":
        return tensor.as_subclass(torch.Tensor)
    tensor = tensor.as_subclass(Labelled)
    tensor.label = device
    return tensor


class Devices(TorchFunctionMode):
    """Within it, tensors are made on these devices and sent there; the moves between devices are recorded."""

    def __init__(self):
        super().__init__()
        self.moves = []  # (from, to, shape)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.to:
            device = next((x for x in (*args[1:], kwargs.get("device")) if isinstance(x, torch.device)), None)
            if device is not None and device != args[0].device:
                self.moves.append((args[0].device, device, tuple(args[0].shape)))
            if not isinstance(args[0], Labelled) and device is not None and device.type != "cpu":
                return labelled(args[0].clone(), device)
        device = kwargs.get("device")
        if isinstance(device, torch.device) and device.type != "cpu" and function is not torch.Tensor.to:
            return labelled(function(*args, **{**kwargs, "device": None}), device)
        return function(*args, **kwargs)
