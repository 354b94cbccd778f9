"""Packs weights as the published formats do, written from their descriptions and not from our readers.

autoawq 0.2.9 and compressed-tensors 0.20.0 unpack what `awq` and `compressed` write into the weight that is meant, and
our readers read what bitsandbytes 0.50.2 writes (nf4 and fp4, of one and two levels) as that itself does.

Each function takes a weight (O, I) and returns the tensors that stand for it in a file, by the ends of their names, and
the weight that they stand for.

Axes: O outputs, I inputs, g inputs in a group.
"""

import json

import numpy as np
import torch

GROUP = 32


def codes_of(weight, bits, group=GROUP, symmetric=False):
    """Codes (O, I) and zeros (O, I / g), whole numbers, and float16 scales (O, I / g)."""
    outputs, inputs = weight.shape
    groups = weight.numpy().reshape(outputs, inputs // group, group)
    most = 2**bits - 1
    if symmetric:
        scale, zero = 2 * np.abs(groups).max(-1) / most, np.full(groups.shape[:2], 2 ** (bits - 1))
    else:
        low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
        scale = (high - low) / most
        zero = np.rint(-low / scale.astype(np.float16)).clip(1, most)
    scale = scale.astype(np.float16)
    codes = np.rint(groups / scale[..., None] + zero[..., None]).clip(0, most)
    meant = (codes - zero[..., None]) * scale[..., None].astype(np.float32)
    return codes.reshape(outputs, inputs).astype(np.int64), zero.astype(np.int64), scale, meant.reshape(outputs, inputs)


def words(numbers, bits, places=None):
    """Numbers (R, n) -> int32 (R, n * bits / 32); the k-th of a word lies `places[k]` numbers from its low end."""
    each = 32 // bits
    places = places or range(each)
    split = numbers.reshape(len(numbers), -1, each).astype(np.uint64)
    packed = np.zeros(split.shape[:2], np.uint64)
    for k, place in enumerate(places):
        packed |= split[:, :, k] << np.uint64(place * bits)
    return torch.from_numpy(packed.astype(np.uint32).view(np.int32).copy())


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def awq(weight):
    codes, zeros, scales, meant = codes_of(weight, 4)
    places = (0, 4, 1, 5, 2, 6, 3, 7)  # a word holds, from its low end, numbers 0 2 4 6 1 3 5 7 of eight neighbours
    parts = {"qweight": words(codes.T, 4, places), "qzeros": words(zeros.T, 4, places), "scales": tensor(scales.T)}
    return parts, tensor(meant)


def gptq(weight, bits=4, act_order=False, version=1):
    """With act-order, the inputs are grouped in an order of their own; codes stay in the order of the inputs."""
    inputs = weight.shape[1]
    order = np.random.default_rng(0).permutation(inputs) if act_order else np.arange(inputs)
    codes, zeros, scales, meant = codes_of(weight[:, order], bits)
    groups = np.arange(inputs) // GROUP
    back = np.argsort(order)
    parts = {
        "qweight": words(codes[:, back], bits).T.contiguous(),
        "qzeros": words(zeros.T - (1 if version == 1 else 0), bits),
        "scales": tensor(scales.T),
        "g_idx": tensor(groups[back].astype(np.int32)),
    }
    return parts, tensor(meant[:, back])


def compressed(weight, bits=4, symmetric=True):
    codes, zeros, scales, meant = codes_of(weight, bits, symmetric=symmetric)
    parts = {
        "weight_packed": words(codes, bits),
        "weight_scale": tensor(scales),
        "weight_shape": torch.tensor(weight.shape),
    }
    if not symmetric:
        parts["weight_zero_point"] = words(zeros.T, bits).T.contiguous()
    return parts, tensor(meant)


def fp8(weight, per="output", name="weight_scale"):
    """E4M3, whose largest number is 448, with a scale for the whole, each output, or blocks of 32 by 32."""
    if per == "block":
        blocks = weight.unflatten(1, (-1, 32)).unflatten(0, (-1, 32))  # (O / 32, 32, I / 32, 32)
        scale = blocks.abs().amax((1, 3)) / 448
        wide = scale.repeat_interleave(32, 0).repeat_interleave(32, 1)
    else:
        scale = wide = (weight.abs().amax(1, keepdim=True) if per == "output" else weight.abs().amax()) / 448
    narrow = (weight / wide).to(torch.float8_e4m3fn)
    return {"weight": narrow, name: scale.reshape(1) if per == "all" else scale}, narrow.float() * wide


def int8(weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    codes = (weight / scale).round()
    return {"weight": codes.to(torch.int8), "weight_scale": scale}, codes * scale


def bnb8(weight):
    largest = weight.abs().amax(1)
    codes = (weight / largest[:, None] * 127).round()
    parts = {"weight": codes.to(torch.int8), "SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return parts, codes * largest[:, None] / 127


def bnb4(weight, nested=True):
    """The table of a NormalFloat is any sixteen numbers from -1 to 1 to a reader, since the file holds it."""
    table = torch.linspace(-1, 1, 16) ** 3
    blocks = weight.reshape(-1, 64)
    largest = blocks.abs().amax(1)
    parts = {}
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(weight.shape)}
    if nested:
        second = torch.linspace(-1, 1, 256)
        offset = float(largest.mean())
        centred = torch.cat((largest - offset, torch.zeros(-len(largest) % 256))).reshape(-1, 256)
        most = centred.abs().amax(1)
        octets = (centred / most[:, None])[..., None].sub(second).abs().argmin(-1)
        largest = (second[octets] * most[:, None]).flatten()[: len(largest)] + offset
        parts |= {
            "weight.absmax": octets.flatten()[: len(largest)].to(torch.uint8),
            "weight.nested_absmax": most,
            "weight.nested_quant_map": second,
        }
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
    else:
        parts["weight.absmax"] = largest
    codes = (blocks / largest[:, None])[..., None].sub(table).abs().argmin(-1).flatten()
    octets = (codes[::2] * 16 + codes[1::2]).to(torch.uint8)
    said = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    parts |= {"weight": octets[:, None], "weight.quant_map": table, "weight.quant_state.bitsandbytes__nf4": said}
    return parts, (table[codes].view_as(blocks) * largest[:, None]).view_as(weight)
