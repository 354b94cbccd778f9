"""What only a device can show: its memory, its clocks, its kernels, its rounding; and nano's answers, to the letter."""

from __future__ import annotations

import gc
import threading
import time

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right

from qwen2vl_demo.bench import models
from qwen2vl_demo.engine.generate import prefill
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.vision_cache import encode_medium
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.device import free_bytes, synchronize
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import grouped_attention
from qwen2vl_demo.processing.messages import Image
from qwen2vl_demo.processing.patches import patchify
from qwen2vl_demo.resources import NANO
from tests.gpu.conftest import CPU, Sides, answer, ask

EXAMPLES = NANO.parent / "examples"
NANO_QUESTIONS = [
    ("cat.png", "What is this?"),
    ("chart.png", "Which bar is the tallest?"),
    ("receipt.png", "What is the total?"),
    ("things.png", "What is in this picture?"),
]


def test_nano_answers_as_on_the_cpu(device: torch.device) -> None:
    options = GenerationOptions(max_new_tokens=60)
    there, here = (LocalEngine.load("nano", device=kind, dtype="float32") for kind in (device.type, "cpu"))
    for file, question in NANO_QUESTIONS:
        messages = ask(Image(str(EXAMPLES / file)), text=question)
        assert answer(there, messages, options)[0] == answer(here, messages, options)[0]


def test_pixels_cut_on_the_device_are_those_cut_on_the_cpu(sides: Sides, device: torch.device) -> None:
    (medium,) = sides.cpu.prompt(ask(Image(models.picture(8, (560, 420)))), GenerationOptions()).media
    config, image = sides.cpu.config.vision, sides.cpu.processor.image
    there, here = (patchify(medium.frames, config, image, once=True, device=place) for place in (device, CPU))
    assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("new", "cached"), [(300, 0), (30, 300), (1100, 2048)])
def test_attention_takes_a_fused_kernel(device: torch.device, dtype: torch.dtype, new: int, cached: int) -> None:
    """Right, and with a tenth of the memory that plain products would take, which hold all scores of all heads."""
    q = torch.randn(1, 12, new, 128, device=device, dtype=dtype)
    k, v = (torch.randn(1, 2, cached + new, 128, device=device, dtype=dtype) for _ in range(2))
    mask = causal_lower_right(new, cached + new) if cached else None
    seen = torch.ones(new, cached + new, dtype=torch.bool, device=device).tril(cached)
    exact = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=seen, enable_gqa=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    out = grouped_attention(q, k, v, mask)
    assert float((out.float() - exact).norm() / exact.norm()) < (1e-2 if dtype == torch.bfloat16 else 1e-4)
    if device.type == "cuda" and new * cached > 1e6 and torch.cuda.get_device_capability() >= (8, 0):
        assert torch.cuda.max_memory_allocated() - before < 12 * new * (cached + new) * 4 / 10 + 4 * out.nbytes


def test_a_prompt_after_another_builds_no_plan(sides: Sides, device: torch.device) -> None:
    """cuDNN's attention built one for each length in each thread: a fifth of a second and more before each answer."""
    engine, seconds = sides.graph, []

    def first_token(seed: int) -> None:
        began = time.perf_counter()
        answer(engine, ask(Image(models.picture(seed, (112, 84 + 28 * seed)))), GenerationOptions(max_new_tokens=1))
        seconds.append(time.perf_counter() - began)

    for seed in range(5):
        thread = threading.Thread(target=first_token, args=(seed,))
        thread.start()
        thread.join()
    assert device.type == "cpu" or min(seconds[1:]) < 0.15
    if device.type == "cuda":
        assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_clocks_wait(device: torch.device) -> None:
    """The time to the first token that is told is the one that passed, and a token costs what was calibrated."""
    engine = models.engine_of(models.random_model("small", device, torch.float32))
    engine.warm_up()
    one, many = GenerationOptions(max_new_tokens=1), GenerationOptions(max_new_tokens=33)
    answer(engine, ask(Image(models.picture(40, (448, 448)))), many)
    synchronize(device)
    began = time.perf_counter()
    # Its first token alone, and not until there is text: a token may have none, and others come in blocks.
    _, result = answer(engine, ask(Image(models.picture(41, (448, 448)))), one)
    passed = time.perf_counter() - began
    assert 0.5 * passed < result.timings["first_token"] <= passed
    _, result = answer(engine, ask(Image(models.picture(42, (448, 448)))), many)
    speed = engine._predictor.calibrate()
    assert speed is not None and speed.token < 10 * result.timings["decode"] / 32


@torch.inference_mode()
def test_bfloat16_rounds_and_no_more(device: torch.device) -> None:
    """Prefill, a follow-up behind a prefix, and both ways of a step, against float32 on the CPU."""
    shape = "2b_quarter" if device.type == "cuda" else "small"
    found = []
    for place, dtype in ((CPU, torch.float32), (device, torch.bfloat16)):
        model = models.random_model(shape, place, dtype)
        engine = models.engine_of(model)
        prompt = engine.prompt(ask(Image(models.picture(5, (224, 336)))), GenerationOptions())
        (medium,) = prompt.media
        vision = encode_medium(model, medium, engine.processor.image, lambda: None)
        ids, positions = (torch.from_numpy(a).to(place) for a in (prompt.trace.input_ids, prompt.trace.position_ids))
        cache = KVCache(model.config.text, 1024, device=place, dtype=dtype)
        cache.keys.zero_(), cache.values.zero_()
        out = {"vision": vision, "prefill": prefill(model, ids, vision, positions, cache, lambda: None)}
        more, start = torch.arange(100, 130, device=place), cache.length + prompt.trace.rope_delta
        at = (start + torch.arange(30, device=place)).expand(3, -1)
        out["follow-up"] = prefill(model, more, None, at, cache, lambda: None)
        length, step = cache.length, cache.copy(cache.length, 1024)
        out["step"] = engine.decoder.step(77, length + prompt.trace.rope_delta, step)
        numbers = [torch.tensor([n], device=place) for n in (77, length + prompt.trace.rope_delta, length)]
        out["static step"] = engine.decoder.static_step(*numbers, cache)
        found.append({name: value.float().cpu() for name, value in out.items()})
    exact, rounded = found
    errors = {name: float((rounded[name] - value).norm() / value.norm()) for name, value in exact.items()}
    assert max(errors.values()) < 0.15, errors
    assert errors["static step"] < 1.5 * errors["step"], errors


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU, whose memory could be limited")
def test_a_full_memory_is_told_and_given_back() -> None:
    """One sentence, without the help of the garbage collector; the next answer works."""
    engine = models.engine_of(models.random_model("small", torch.device("cuda"), torch.float32))
    big, options = ask(Image(models.picture(7, (3000, 3000)))), GenerationOptions(max_new_tokens=4)
    engine.prompt(big, options)  # opened before, so that only the GPU is left to fill
    gc.collect()
    torch.cuda.empty_cache()
    before, total = torch.cuda.memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 150 * 2**20) / total)
    gc.disable()
    try:
        with pytest.raises(UserError, match="ran out of memory"):
            answer(engine, big, options)
        kept = torch.cuda.memory_allocated() - before
    finally:
        gc.enable()
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert kept < 2**20
    answer(engine, ask(Image(models.picture(8, (112, 112)))), options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU, which keeps memory")
def test_loading_leaves_nothing_unused() -> None:
    """Joined matrices replaced the separate ones, whose memory is the device's again."""
    device = torch.device("cuda")
    engine = models.engine_of(models.random_model("2b_quarter", device, torch.bfloat16))
    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    assert unused < 0.2 * torch.cuda.memory_allocated()
    free = free_bytes(device)
    assert free is not None and free >= torch.cuda.mem_get_info()[0]
    assert engine.model.device.type == "cuda"
