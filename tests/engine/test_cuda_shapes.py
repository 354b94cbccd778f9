"""The shapes of the 2B and the 7B on a GPU that is not there: every operation of an answer, with devices and dtypes.

What a GPU adds, the kernels and their numbers, is in `tests/gpu`. Here: that no operation mixes devices or asks for a
dtype that is not there, which kernels attention may take, and how many operations a captured step has.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qwen2vl_demo.bench.models import shape_config
from qwen2vl_demo.engine.generate import prefill
from qwen2vl_demo.model import decoder, language
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.device import prefer_reliable_attention
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.quantised import quantised_copy
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.patches import patchify
from tests.fake_cuda import FakeCuda

GRID = (1, 16, 24)


LAYERS = 2  # of each tower: all are alike


def answer(shape, device, monkeypatch, dtype=torch.bfloat16, *, whole=False, quantize=None):
    """Encodes a picture, reads a prompt and a follow-up, and runs both kinds of steps; returns what was recorded."""
    device = torch.device(device)
    calls = []
    plain = F.scaled_dot_product_attention

    def attention(q, k, v, attn_mask=None, is_causal=False, enable_gqa=False):
        calls.append((q, k, attn_mask, is_causal, enable_gqa))
        mask = None if isinstance(attn_mask, str) else attn_mask
        if device.type == "mps":  # which cannot choose a kernel without being there
            return torch.empty_like(q)
        return plain(q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=enable_gqa)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    monkeypatch.setattr(decoder, "release_unused", lambda device: None)  # there is no device to release it
    # A subclass of a tensor cannot be made among fake ones.
    monkeypatch.setattr(language, "causal_lower_right", lambda length, total: f"lower right {length}, {total}")
    with FakeCuda() as cuda, torch.inference_mode():
        config = shape_config(shape)
        if not whole:
            config = replace(
                config, vision=replace(config.vision, depth=LAYERS), text=replace(config.text, num_layers=LAYERS)
            )
        with torch.device("meta"):
            model = Qwen2VL(config)
        state = {n: torch.empty(t.shape, device=device, dtype=dtype) for n, t in model.state_dict().items()}
        model.load_state_dict(state, assign=True)
        model.requires_grad_(False)
        if quantize is not None:
            model = quantised_copy(model, quantize)
        frames = np.zeros((1, GRID[1] * 14, GRID[2] * 14, 3), dtype=np.uint8)
        patches = patchify(frames, config.vision, ImageConfig(), once=True, device=device)
        vision = model.encode(patches, [GRID])
        ids = torch.zeros(len(vision) + 9, dtype=torch.int64, device=device)
        positions = torch.zeros(3, len(ids), dtype=torch.int64, device=device)
        cache = KVCache(config.text, 2048, device=device, dtype=dtype)
        monkeypatch.setattr(Qwen2VL, "embed", lambda self, ids, vision: self.model.embed_tokens(ids))
        prefill(model, ids, vision, positions, cache, lambda: None)
        prefill(model, ids[:30], None, positions[:, :30], cache, lambda: None)
        written = Decoder(model)
        logits = written.step(5, 70, cache)
        assert logits.shape == (config.text.vocab_size,) and logits.device.type == device.type
        number = torch.zeros(1, dtype=torch.int64, device=device)
        before = cuda.kernels
        logits = written.static_step(number, number, number, KVCache(config.text, 2048, device=device, dtype=dtype))
        assert logits.shape == (config.text.vocab_size,) and logits.dtype == dtype
        assert cache.length == len(ids) + 31
    return cuda, calls, cuda.kernels - before


@pytest.fixture(scope="module", params=["2b", "7b"])
def recorded(request):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield answer(request.param, "cuda", monkeypatch)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_no_float64_leaves_the_cpu(device, monkeypatch):
    """MPS has none, and every picture failed there: the angles of the vision transformer were sent as float64."""
    seen, _, _ = answer("small", device, monkeypatch)
    assert {kind for kind, dtype, _ in seen.made if dtype == torch.float64} <= {"cpu"}
    assert device in {kind for kind, _, _ in seen.made}


def test_attention_is_left_to_kernels_that_copy_nothing(recorded):
    """As many heads of keys as of queries, a group's being views of one; causal by a flag or torch's marker.

    Of torch 2.13's kernels on a card: flash takes no mask that is a tensor, no float32 and no card before Ampere, and
    with `enable_gqa` it alone is left: memory-efficient attention refuses it (and so do plain products, which repeat
    keys and values as float32). Without it, and with `causal_lower_right` for a mask, both take every call.
    """
    _, calls, _ = recorded
    prompts = [call for call in calls if call[0].shape[2] > 1 and call[0].shape[-1] == 128 and call[0].ndim == 4]
    followed = [mask for _, _, mask, _, _ in prompts if isinstance(mask, str)]
    assert followed and set(followed) == {"lower right 30, 135"}
    for q, k, mask, causal, gqa in prompts:
        assert not gqa and q.shape[:2] == k.shape[:2] and not isinstance(mask, torch.Tensor)
        if q.shape[2] > 8:  # a prompt, not the query heads of a single token
            assert causal != isinstance(mask, str) and k.stride(1) == 0


def test_a_captured_step_has_few_operations(recorded):
    """What a graph launches, without sampling: 22 for a layer, and 17 at both ends."""
    _, _, kernels = recorded
    assert kernels <= LAYERS * 22 + 17


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["2b", "7b"])
def test_the_whole_shapes(shape, monkeypatch):
    assert answer(shape, "cuda", monkeypatch, whole=True)[2] <= 28 * 22 + 17


@pytest.mark.parametrize("shape", [pytest.param("2b", marks=pytest.mark.slow), "7b"])
def test_weights_of_4_bits_are_in_the_form_that_the_kernel_takes(shape, monkeypatch):
    """Every product of language, in a prompt, a follow-up and both kinds of steps, is that of PyTorch's kernel.

    What it takes is from its source: rows (N, I) in bfloat16; codes (O / 8, I / 16 t, 32, t / 2) int32, for t tiles of
    2, 4 or 8; scales and offsets (I / g, O, 2) in bfloat16; all contiguous. The fake kernel checks less.
    """
    rows = []
    kernel = torch._weight_int4pack_mm

    def checked(x, codes, group, scales):
        count, inputs = x.shape
        eighths, sixteenths, lanes, halves = codes.shape
        assert (x.dtype, codes.dtype, scales.dtype) == (torch.bfloat16, torch.int32, torch.bfloat16)
        assert (lanes, halves) in {(32, 1), (32, 2), (32, 4)} and sixteenths * 16 * 2 * halves == inputs
        assert group in (32, 64, 128, 256) and scales.shape == (inputs / group, 8 * eighths, 2)
        assert x.is_contiguous() and codes.is_contiguous() and scales.is_contiguous()
        assert {t.device.type for t in (x, codes, scales)} == {"cuda"}
        rows.append(count)
        return kernel(x, codes, group, scales)

    monkeypatch.setattr(torch, "_weight_int4pack_mm", checked)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    answer(shape, "cuda", monkeypatch, quantize="int4")
    prompt, followed = GRID[1] * GRID[2] // 4 + 9, 30
    assert set(rows) == {prompt, followed, 1}
    # Of the last layer only k and v of all tokens; its other five products and the output layer are of the last token.
    assert rows.count(prompt) == rows.count(followed) == 7 * (LAYERS - 1) + 2
    assert rows.count(1) == 2 * (5 + 1) + 2 * (7 * LAYERS + 1)


def test_pixels_are_sent_as_bytes(recorded):
    seen, _, _ = recorded
    assert max(seen.sent, key=lambda sent: sent[1])[0] == torch.uint8


def test_attention_that_builds_plans_is_off():
    """cuDNN's is torch's first choice on Hopper and Blackwell; its plans for each length take up to 1.5 s."""
    was = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        prefer_reliable_attention()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(was)
