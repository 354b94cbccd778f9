"""Device and dtypes: what is chosen where the user left it open, and the reason that is told."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch

from qwen2vl_demo.checkpoint import graphics_cards, memory_needed, placement
from qwen2vl_demo.checkpoint.quantised import formats
from qwen2vl_demo.engine.factory import load_engine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.released import RELEASED
from tests.checkpoint.greedy import edit
from tests.checkpoint.test_kinds import Hub
from tests.checkpoint.tiny import CONFIG, write


def test_placement_gives_its_reason(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 6.0)
    assert placement.place(tmp_path, "cpu").dtype is torch.bfloat16
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.reason) == (
        torch.float32,
        "cpu as asked for; float32, which this processor multiplies faster than bfloat16",
    )
    monkeypatch.setattr(placement, "free_memory", lambda: 1000)
    placed = placement.place(tmp_path, "cpu")
    assert placed.dtype is torch.bfloat16
    assert "float32 would need" in placed.reason
    assert placement.place(tmp_path, "cpu", "bfloat16").reason.endswith("bfloat16 as asked for")


def test_where_the_free_memory_is_unknown_the_faster_dtype_is_chosen(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 2.0)
    monkeypatch.setattr(placement, "MIN_DECODE_BYTES", 1)
    monkeypatch.setattr(placement, "free_memory", lambda: None)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no device cuda here"):
        placement.place(tmp_path, "cuda")


def test_a_large_model_on_a_cpu_writes_in_bfloat16_only_where_that_is_faster_and_was_left_open(tmp_path, monkeypatch):
    """A row is multiplied twice as fast here, a matrix at a tenth: prompts are read in one dtype, answers written in
    the other."""
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 2.0)
    assert placement.place(tmp_path, "cpu").decode == "same", "a small model gains nothing"
    monkeypatch.setattr(placement, "MIN_DECODE_BYTES", 1)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")
    assert "2.0 times as fast for a single token" in placed.reason
    assert placement.place(tmp_path, "cpu", "float32").decode == "same"
    assert placement.place(tmp_path, "cpu", "auto", "int8").quantize == "int8"
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 1.1)
    assert placement.place(tmp_path, "cpu").decode == "same"


def test_the_numbers_read_for_a_token_are_the_matrices_of_the_language_model():
    """CONFIG is not tied: the embedding gives one row, the head is read whole."""
    names = dict(Qwen2VL(CONFIG).named_parameters())
    read = sum(p.numel() for name, p in names.items() if p.ndim == 2 and name.startswith(("model.layers", "lm_head")))
    assert placement.decode_parameters(CONFIG.text) == read


GB = 10**9


@pytest.fixture
def cards(monkeypatch):
    """A function that puts cards of (GB in all, compute capability) into this machine."""

    def put(*cards):
        def number(card):
            return card if isinstance(card, int) else card.index or 0

        def properties(card):
            return SimpleNamespace(major=cards[number(card)][1], total_memory=cards[number(card)][0] * GB)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda card: (properties(card).major, 0))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (cards[number(card)][0] * GB,) * 2)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # as torch says of every card since Volta
        monkeypatch.setattr(memory_needed, "free_memory", lambda: 24 * GB)
        monkeypatch.setattr(memory_needed, "total_memory", lambda: 32 * GB)

    return put


def released(directory, size):
    """A checkpoint of a released size whose weights have not been downloaded."""
    (directory / "config.json").write_text(json.dumps(RELEASED[size].to_dict()))
    return directory


def test_a_72b_on_one_card_is_refused_with_what_would_work(tmp_path, cards):
    """Its weights alone, 73.4 billion bfloat16 numbers, are 146.8 GB; 3 % of a card is left to its libraries."""
    cards((80, 9))
    with pytest.raises(UserError) as refused:
        placement.place(released(tmp_path, "72B"), name="Qwen/Qwen2-VL-72B-Instruct")
    text = str(refused.value)
    assert text.startswith("The model in Qwen/Qwen2-VL-72B-Instruct takes 148 GB in bfloat16, and 77.6 GB on cuda")
    for way in (
        "--quantize int4 (43",
        "2 such cards (--device cuda:0,1)",
        "vllm serve Qwen/Qwen2-VL-72B-Instruct --tensor-parallel-size 2",
        "--engine-url",
    ):
        assert way in text
    assert "--dtype" not in text and "--device cpu" not in text


def test_an_engine_refuses_it_before_its_weights_are_downloaded(tmp_path, cards, monkeypatch):
    cards((80, 9))
    hub = Hub(monkeypatch, released(tmp_path, "72B"), ["config.json", "model-1.safetensors"])
    with pytest.raises(UserError, match="2 such cards"):
        load_engine("Qwen/Qwen2-VL-72B-Instruct")
    assert hub.asked and all("*.safetensors" not in patterns for patterns in hub.asked)


@pytest.mark.parametrize(
    ("size", "card", "fits"),
    [("2B", (8, 8), True), ("7B", (24, 8), True), ("7B", (12, 8), False), ("2B", (4, 8), False)],
)
def test_what_fits_on_a_card(tmp_path, cards, size, card, fits):
    cards(card)
    if fits:
        assert placement.place(released(tmp_path, size)).dtype is torch.bfloat16
        return
    with pytest.raises(UserError, match="--quantize int4"):
        placement.place(released(tmp_path, size))


SLOW = "; a token takes 2 to 4 times as long as in bfloat16"


@pytest.mark.parametrize(
    ("card", "device", "quantize", "told"),
    [
        ((80, 9), "cuda", "int8", f"8 bits, as asked for{SLOW}; int4 is faster"),
        ((80, 9), "cuda", "int4", "4 bits, as asked for"),
        ((24, 7), "cuda", "int8", f"8 bits, as asked for{SLOW}"),
        ((24, 7), "cuda", "int4", f"4 bits, as asked for{SLOW}"),
        ((80, 9), "cpu", "int8", "8 bits, as asked for"),
    ],
)
def test_what_narrow_weights_cost_in_time_is_told_where_they_are_chosen(tmp_path, cards, card, device, quantize, told):
    """A GPU has no kernel for 8 bits, and before Ampere none for 4: there they save memory alone."""
    cards(card)
    assert placement.place(released(tmp_path, "2B"), device, quantize=quantize).reason.endswith(f"weights of {told}")


def test_a_model_that_does_not_fit_is_offered_in_8_bits_with_the_price(tmp_path, cards):
    cards((12, 8))
    way = r"--quantize int8 \(\d\.\d+ GB, but a token takes 2 to 4 times as long .*, --quantize int4 \(5\.\d+ GB\)"
    with pytest.raises(UserError, match=way):
        placement.place(released(tmp_path, "7B"))


def test_the_memory_of_a_cpu_is_checked_in_the_dtype_that_was_asked_for(tmp_path, cards, monkeypatch):
    cards()
    with pytest.raises(UserError, match=r"takes 33\.6 GB in float32, and 24 GB of memory .*--dtype bfloat16 \(16"):
        placement.place(released(tmp_path, "7B"), "cpu", "float32")
    assert placement.place(tmp_path, "cpu", "bfloat16").dtype is torch.bfloat16
    monkeypatch.setattr(memory_needed, "total_memory", lambda: 8 * GB)  # of a container, whose limit counts
    with pytest.raises(UserError, match=r"and 8 GB of memory are free.*--quantize int4"):
        placement.place(tmp_path, "cpu", "bfloat16")


def test_memory_that_is_not_told_refuses_nothing(tmp_path, cards, monkeypatch):
    cards()
    monkeypatch.setattr(memory_needed, "free_memory", lambda: None)
    monkeypatch.setattr(memory_needed, "total_memory", lambda: None)
    assert placement.place(released(tmp_path, "72B"), "cpu", "bfloat16").decode == "same"


def test_the_bytes_of_weights_are_those_of_the_model():
    for config in (
        CONFIG,
        dataclasses.replace(CONFIG, text=dataclasses.replace(CONFIG.text, tie_word_embeddings=True)),
    ):
        sizes = memory_needed.weight_sizes(config, torch.float32)
        assert sizes == {name: tensor.nbytes for name, tensor in Qwen2VL(config).named_parameters()}
    need = memory_needed.memory_needed(CONFIG, torch.float32)
    cache = 2 * memory_needed.WORKING_TOKENS * 8 * 4 * 2  # keys and values of 2 layers
    assert need.total == sum(memory_needed.weight_sizes(CONFIG, torch.float32).values()) + cache


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 128}}},
}


@pytest.mark.parametrize("settings", [AWQ, COMPRESSED])
def test_weights_that_are_stored_in_4_bits_count_as_that_where_they_stay_so(tmp_path, cards, monkeypatch, settings):
    """A 72B in AWQ was refused on one card of 80 GB as if it had 16 bits; an adapter widens it to them."""
    cards((80, 8))
    monkeypatch.setattr(formats, "has_kernel", lambda device, shape, group: group == 128)
    directory = released(tmp_path, "72B")
    edit(directory, quantization_config=settings)
    assert placement.place(directory, "cuda").device.type == "cuda"
    with pytest.raises(UserError, match=r"takes 148 GB in bfloat16"):
        placement.place(directory, "cuda", adapter=True)
    monkeypatch.setattr(formats, "has_kernel", lambda *_: False)
    with pytest.raises(UserError, match=r"takes 148 GB in bfloat16"):
        placement.place(directory, "cuda")


@pytest.mark.parametrize("settings", [AWQ | {"bits": 8}, AWQ | {"group_size": "x"}, {"quant_method": "fp8"}, {}])
def test_other_formats_are_widened(tmp_path, cards, monkeypatch, settings):
    cards((80, 8))
    monkeypatch.setattr(formats, "has_kernel", lambda *_: True)
    directory = released(tmp_path, "72B")
    edit(directory, quantization_config=settings)
    with pytest.raises(UserError, match=r"takes 148 GB in bfloat16"):
        placement.place(directory, "cuda")


def test_two_cards_are_filled_alike_with_whole_layers_in_order(tmp_path, cards):
    """A 72B in bfloat16 on two cards of 80 GB, as nothing else fits on either."""
    cards((80, 9), (80, 9))
    placed = placement.place(released(tmp_path, "72B"), "cuda:0,1")
    first, second = torch.device("cuda:0"), torch.device("cuda:1")
    split = placed.layers.index(second)
    assert placed.layers == (first,) * split + (second,) * (80 - split)
    assert placed.device == first
    used = {first: 0, second: 0}
    for name, size in memory_needed.weight_sizes(RELEASED["72B"], torch.bfloat16).items():
        used[placed.device_of(name)] += size
    layer = sum(
        size
        for name, size in memory_needed.weight_sizes(RELEASED["72B"], torch.bfloat16).items()
        if name.startswith("model.layers.0.")
    )
    assert abs(used[first] - used[second]) < 1.1 * layer
    assert max(used.values()) < 77.6 * GB
    assert placed.device_of("visual.patch_embed.proj.weight") == first
    assert placed.device_of("model.embed_tokens.weight") == first
    assert {placed.device_of(name) for name in ("model.norm.weight", "lm_head.weight")} == {second}


@pytest.mark.parametrize(
    ("free", "counts"),
    [
        ([1, 1], [3, 3]),
        ([2, 1], [4, 2]),
        ([1, 1, 1], [2, 2, 2]),
        ([1, 5], [1, 5]),
        ([100, 1], [5, 1]),
        ([None, 5], [3, 3]),
    ],
)
def test_layers_are_laid_out_by_free_memory_and_every_device_gets_one(free, counts):
    devices = [torch.device("cuda", i) for i in range(len(free))]
    placed = memory_needed.lay_out(memory_needed.Need(0, (10,) * 6, 0), devices, free)
    assert [placed.count(device) for device in devices] == counts
    assert sorted(placed, key=lambda device: device.index) == list(placed)


def test_more_cards_than_layers_and_cards_that_are_not_there_are_refused(tmp_path, cards):
    write(tmp_path)  # two layers
    cards((80, 9), (80, 9), (80, 9))
    assert placement.place(tmp_path, "cuda:1").device == torch.device("cuda:1")
    assert placement.place(tmp_path, "cuda:1").layers == ()
    assert placement.place(tmp_path, "cuda:2,0").layers == (torch.device("cuda:2"), torch.device("cuda:0"))
    with pytest.raises(UserError, match="has 2 layers, too few for 3 devices"):
        placement.place(tmp_path, "cuda:0,1,2")
    with pytest.raises(UserError, match=r"no device cuda:3 here \(there is: cuda:0 to cuda:2\)"):
        placement.place(tmp_path, "cuda:0,3")
    with pytest.raises(UserError, match="names a card twice"):
        placement.place(tmp_path, "cuda:1,1")


@pytest.mark.parametrize(
    ("size", "card", "dtype", "words"),
    [
        ("2B", (15, 7), torch.float32, "float32, since this GPU does not compute in bfloat16"),  # a T4
        ("7B", (32, 7), torch.bfloat16, "only emulates, since float32 would need 33.6 GB"),  # a V100
        ("7B", (40, 7), torch.float32, "float32, since"),
        ("2B", (24, 8), torch.bfloat16, "as the released checkpoints are stored"),
    ],
)
def test_cards_that_only_emulate_bfloat16_get_float32_where_that_fits(tmp_path, cards, size, card, dtype, words):
    """torch says that they support it; float16 overflows in these models."""
    cards(card)
    placed = placement.place(released(tmp_path, size))
    assert placed.dtype is dtype
    assert words in placed.reason


@pytest.mark.parametrize(
    ("driver", "needs", "words"),
    [
        (12020, "13.0", "driver here is for CUDA 12.2 and this PyTorch needs CUDA 13.0; install driver 580 or newer"),
        (11040, "12.8", "driver here is for CUDA 11.4 and this PyTorch needs CUDA 12.8; install driver 525 or newer"),
        (12020, None, r"was built without CUDA"),
        (12020, "12.8", "no GPU was found"),  # a newer minor version is no obstacle
        (None, "13.0", "no GPU was found"),
    ],
)
def test_a_card_that_cannot_be_used_is_told_with_the_driver_it_needs(
    tmp_path, cards, monkeypatch, driver, needs, words
):
    cards()
    write(tmp_path)
    monkeypatch.setattr(torch.version, "cuda", needs)
    monkeypatch.setattr(graphics_cards, "driver_cuda_version", lambda: driver)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    reason = placement.place(tmp_path).reason
    assert reason.startswith("cpu, since ") and words in reason
    with pytest.raises(UserError, match="no device cuda:1 here" if "no GPU" in words else words):
        placement.place(tmp_path, "cuda:1")


def test_the_driver_is_asked_and_a_machine_without_one_says_nothing(monkeypatch):
    def library(name):
        def version(pointer):
            pointer._obj.value = 12040
            return 0

        return SimpleNamespace(cuDriverGetVersion=version)

    monkeypatch.setattr(graphics_cards.ctypes, "CDLL", library)
    assert graphics_cards.driver_cuda_version() == 12040
    monkeypatch.setattr(graphics_cards.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert graphics_cards.driver_cuda_version() is None
