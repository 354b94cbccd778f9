"""What an answer costs, counted, against what torch counts, holds and allocates for real models."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.geometry import mrope_position_ids
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.released import RELEASED

CONFIG = Qwen2VLConfig(
    vision=VisionConfig(depth=3, embed_dim=64, num_heads=4, mlp_ratio=4, out_dim=48),
    text=TextConfig(
        hidden_size=48,
        num_layers=2,
        num_heads=6,
        num_kv_heads=2,
        intermediate_size=112,
        vocab_size=300,
        mrope_section=(1, 1, 2),
        tie_word_embeddings=True,
    ),
)
UNTIED = replace(CONFIG, text=replace(CONFIG.text, tie_word_embeddings=False, num_kv_heads=3))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Qwen2VL(CONFIG).eval().requires_grad_(False)


def counted(run):
    """Operations that torch sees; with attention as plain matrix products, since it does not count the CPU's own."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("grids", [[(1, 4, 6)], [(3, 4, 4), (1, 8, 2), (1, 8, 2)]])
def test_the_vit_costs_what_torch_counts(model, grids):
    patches = torch.randn(sum(t * h * w for t, h, w in grids), CONFIG.vision.patch_dim)
    assert flops.vision_flops(CONFIG.vision, grids).total == counted(lambda: model.encode(patches, grids))


def test_a_slice_of_a_clip_does_not_pay_for_attention_to_the_others():
    """Five slices cost five pictures; one picture of five times the patches costs more, by attention only."""
    one, five = (flops.vision_flops(CONFIG.vision, [(t, 4, 4)]) for t in (1, 5))
    wide = flops.vision_flops(CONFIG.vision, [(1, 4, 20)])
    assert five.total == 5 * one.total
    assert wide.linear == five.linear and wide.attention == 5 * five.attention


def test_a_prompt_read_token_by_token_costs_what_torch_counts(model):
    """One at a time, each token attends to exactly those up to itself: the causal count without a mask's waste."""
    length = 9
    positions = torch.from_numpy(mrope_position_ids(length, [])[0])[:, None]
    cache = KVCache(CONFIG.text, length, device=model.device, dtype=model.dtype)
    embeddings = model.embed(torch.arange(length)[None])

    def run():
        for i in range(length):
            hidden = model(embeddings[:, i : i + 1], positions[:, :, i : i + 1], cache)
        model.logits(hidden[0, -1:])

    assert flops.prefill_flops(CONFIG.text, length).total == counted(run)


def test_a_known_prefix_is_not_charged_but_looked_at():
    text = CONFIG.text
    whole, first = flops.prefill_flops(text, 50), flops.prefill_flops(text, 30)
    rest, head = flops.prefill_flops(text, 50, cached=30), 2 * text.hidden_size * text.vocab_size
    assert whole.total == first.total + rest.total - head  # the output layer runs once, not twice


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_parameters_are_those_of_the_state_dict(config):
    with torch.device("meta"):
        state = Qwen2VL(config).state_dict()

    def held(*prefixes):
        return sum(t.numel() for name, t in state.items() if name.startswith(prefixes))

    counted = flops.parameters(config)
    assert counted.vision == held("visual.")
    assert counted.layers == held("model.layers.", "model.norm.")
    assert (counted.embedding, counted.head) == (held("model.embed_tokens."), held("lm_head."))
    assert counted.total == sum(t.numel() for t in state.values())


@pytest.mark.parametrize(("name", "billions"), [("2B", 2.21), ("7B", 8.29), ("72B", 73.41)])
def test_the_released_checkpoints_have_their_published_size(name, billions):
    """Read off the hub's model pages: 2.21B, 8.29B and 73.4B parameters."""
    assert flops.parameters(RELEASED[name]).total / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_kv_cache_takes_what_its_tensors_take(dtype):
    cache = KVCache(UNTIED.text, 77, device=torch.device("cpu"), dtype=dtype)
    assert flops.kv_bytes(UNTIED.text, 77, dtype.itemsize) == cache.nbytes == cache.keys.nbytes * 2


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_a_written_token_reads_each_weight_of_the_language_model_once(config):
    """All but the ViT, and of an untied embedding table all but one row."""
    model = Qwen2VL(config).to(torch.bfloat16)
    weights = sum(p.nbytes for name, p in model.named_parameters() if not name.startswith("visual."))
    if not config.text.tie_word_embeddings:
        weights -= model.model.embed_tokens.weight.nbytes
    cache = KVCache(config.text, 40, device=model.device, dtype=model.dtype)
    assert flops.decode_bytes(config, 40, 2) == weights + cache.nbytes


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside hold at a time."""

    def __init__(self):
        super().__init__()
        self.storages, self.now, self.most = WeakIdKeyDictionary(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        seen = {s.data_ptr() for s in self.storages} | {
            t.untyped_storage().data_ptr() for t in tree_iter((args, kwargs)) if isinstance(t, torch.Tensor)
        }
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in seen:
                self.storages[tensor.untyped_storage()] = None
        self.most = max(self.most, sum(s.nbytes() for s in self.storages))
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_vit_stays_below_its_estimate_and_near_it(dtype):
    config = replace(CONFIG, vision=replace(CONFIG.vision, embed_dim=160, num_heads=2))
    model = Qwen2VL(config).eval().requires_grad_(False).to(dtype)
    grid = (1, 32, 24)
    patches = torch.randn(768, config.vision.patch_dim)  # float32, as they are cut
    model.encode(patches, [grid])
    with Peak() as peak:
        model.encode(patches, [grid])
    estimate = flops.vision_activation_bytes(config.vision, 768, dtype.itemsize)
    assert 0.6 * estimate < peak.most + patches.nbytes <= estimate


@pytest.mark.parametrize(("dtype", "cached"), [(torch.float32, 0), (torch.bfloat16, 0), (torch.float32, 200)])
def test_reading_a_prompt_stays_below_its_estimate_and_near_it(model, dtype, cached):
    model = Qwen2VL(CONFIG).eval().requires_grad_(False).to(dtype)
    length, chunk = 700, 256
    positions = torch.arange(length).expand(3, 1, -1)
    cache = KVCache(CONFIG.text, length, device=model.device, dtype=dtype)
    if cached:
        model(model.embed(torch.zeros(1, cached, dtype=torch.int64)), positions[:, :, :cached], cache)
    with Peak() as peak:
        embeddings = model.embed(torch.zeros(1, length - cached, dtype=torch.int64))
        for start in range(cached, length, chunk):
            end = min(start + chunk, length)
            hidden = model(embeddings[:, start - cached : end - cached], positions[:, :, start:end], cache)
    del hidden
    estimate = flops.prefill_activation_bytes(CONFIG.text, length - cached, cached, dtype.itemsize, chunk)
    assert 0.5 * estimate < peak.most <= estimate


def test_a_clip_is_encoded_in_pieces_and_a_picture_is_not():
    """16 patches a slice: at most 50 patches are 3 slices; 7 slices go as 3 + 3 + 1, a picture of 64 as itself."""
    grids = [(7, 4, 4), (1, 8, 8)]
    assert flops.largest_piece(grids, 50) == 64
    assert flops.largest_piece(grids[:1], 50) == 48
    assert flops.pieces_of(grids, 50) == 4
    assert flops.largest_piece([], 50) == 0
