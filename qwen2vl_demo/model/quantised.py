"""Which layers of a model are quantised, and putting weights into a model one by one.

    int8: all linear layers, and the embedding
    int4: the linear layers of the language model in 4 bits, the output layer too; the vision transformer, which suffers
          more and is small beside most language models, and the embedding in 8 bits

Norms, biases and the patch embedding keep the model's dtype. A quantised layer replaces the `nn.Linear` of the same
name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qwen2vl_demo.model.int4 import GROUP, GroupedCodes, Int4Linear, gpu_reads_int4, has_kernel, quantise_int4
from qwen2vl_demo.model.int8 import Int8Embedding, Int8Linear, quantise_int8
from qwen2vl_demo.model.qwen2vl import Qwen2VL

Quantization = str  # "none", "int8" or "int4"
Weight = Tensor | GroupedCodes  # as a checkpoint holds it
PIECE = 1 << 24  # numbers of a weight that are quantised at a time: they are float32 meanwhile


def put_weight(
    model: Qwen2VL, name: str, weight: Weight, *, device: torch.device, dtype: torch.dtype, quantize: Quantization
) -> None:
    """Puts a weight into its place in a model, quantised where that is asked for.

    Weights that are in 4 bits already stay so where `device` has a kernel for them, or with "int4".
    """
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if isinstance(weight, GroupedCodes):
        asked = quantize == "int4" and weight.shape[0] % 2 == 0
        if isinstance(module, nn.Linear) and (asked or has_kernel(device, weight.shape, weight.group)):
            model.set_submodule(path, Int4Linear(weight, module.bias, device))
            return
        weight = weight.widened()
    if quantize != "none" and leaf == "weight" and isinstance(module, nn.Embedding):
        tied = model.config.text.tie_word_embeddings
        model.set_submodule(path, _embedding(weight.to(device), dtype, quantize, tied))
    elif quantize != "none" and leaf == "weight" and isinstance(module, nn.Linear):
        narrow = "int8" if path.startswith("visual.") else quantize
        model.set_submodule(path, _linear(weight.to(device), module.bias, narrow))
    else:
        setattr(module, leaf, nn.Parameter(weight.to(device, dtype), requires_grad=False))


def weight_bytes(model: Qwen2VL, dtype: torch.dtype, quantize: Quantization) -> dict[str, int]:
    """Bytes of each weight of a model, which may be on the meta device."""
    tied = model.config.text.tie_word_embeddings
    return {
        f"{path}.{leaf}": _bytes(path, module, leaf, weight, quantize, tied) or weight.numel() * dtype.itemsize
        for path, module in model.named_modules()
        for leaf, weight in module.named_parameters(recurse=False)
    }


def _bytes(path: str, module: nn.Module, leaf: str, weight: Tensor, quantize: Quantization, tied: bool) -> int | None:
    """Bytes of a quantised weight, scales included; None for one that is not quantised."""
    if quantize == "none" or leaf != "weight" or not isinstance(module, nn.Linear | nn.Embedding):
        return None
    rows, columns = weight.shape
    int8 = rows * (columns + 2)
    int4 = rows * (columns // 2 + 4 * columns // GROUP) if _fits_int4(weight.shape) else int8
    if isinstance(module, nn.Embedding):
        return int8 + (int4 if quantize == "int4" and tied else 0)  # the output layer no longer shares it
    return int8 if quantize == "int8" or path.startswith("visual.") else int4


def price(quantize: Quantization, device: torch.device) -> str:
    """What a quantisation costs on a device beside accuracy, for people; empty where tokens come faster than without.

    Where a GPU has no kernel for narrow weights, each is widened for each token. The figures are those of an H100: 117
    tokens a second against 290 with the shape of the 2B, and 36 against 133 with that of the 7B.
    """
    if quantize == "none" or device.type == "cpu" or (quantize == "int4" and gpu_reads_int4(device)):
        return ""
    longer = "2 to 4 times as long as" if device.type == "cuda" else "longer than"
    return f"a token takes {longer} in bfloat16" + ("; int4 is faster" if gpu_reads_int4(device) else "")


def held_bytes(model: Qwen2VL) -> int:
    """Bytes of all tensors of a model; those that several of its layers share count once."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def quantised_copy(model: Qwen2VL, quantize: Quantization) -> Qwen2VL:
    """A quantised copy of a model; what is not quantised is shared."""
    with torch.device("meta"):
        copy = Qwen2VL(model.config)
    for name, weight in model.state_dict().items():
        put_weight(copy, name, weight, device=weight.device, dtype=model.dtype, quantize=quantize)
    return copy.requires_grad_(False).eval()


def _fits_int4(shape: torch.Size) -> bool:
    return shape[0] % 2 == 0 and shape[1] % GROUP == 0


def _linear(weight: Tensor, bias: nn.Parameter | None, quantize: str) -> nn.Module:
    if quantize == "int4" and _fits_int4(weight.shape):
        parts = [quantise_int4(piece) for piece in _pieces(weight)]
        codes, scales, offsets = (
            torch.cat(each) for each in zip(*((part.codes, part.scales, part.offsets) for part in parts), strict=True)
        )
        return Int4Linear(GroupedCodes(codes, scales, offsets), bias, weight.device)
    return Int8Linear(*_int8(weight), bias)


def _embedding(weight: Tensor, dtype: torch.dtype, quantize: Quantization, tied: bool) -> Int8Embedding:
    codes, scale = _int8(weight)
    head: nn.Module | None = None
    if tied:
        head = Int8Linear(codes, scale, None) if quantize == "int8" else _linear(weight, None, quantize)
    return Int8Embedding(codes, scale, dtype, head)


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    codes, scales = zip(*(quantise_int8(piece) for piece in _pieces(weight)), strict=True)
    return torch.cat(codes), torch.cat(scales)


def _pieces(weight: Tensor) -> tuple[Tensor, ...]:
    """Some rows at a time."""
    return weight.split(max(1, PIECE // weight.shape[1]))
