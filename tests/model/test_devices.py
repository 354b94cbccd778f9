"""A model whose layers lie on two devices: what is handed over, where everything is, and that the numbers stay."""

import copy

import pytest
import torch

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache, KVPrefix
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from tests.model.labelled_devices import FIRST, SECOND, Devices, labelled

SPLIT = (FIRST, SECOND, SECOND)
CPU = torch.device("cpu")


def model(tied):
    torch.manual_seed(2)
    text = TextConfig(64, 3, 4, 2, 96, 100, (2, 3, 3), tie_word_embeddings=tied)
    return Qwen2VL(Qwen2VLConfig(VisionConfig(1, 32, 2, 2, 64), text, 96, 97, 98, 99)).eval().requires_grad_(False)


def split(made):
    """The same model over two devices."""
    made = copy.deepcopy(made)
    for name, module in made.named_modules():
        later = name.startswith(("model.layers.1", "model.layers.2", "model.norm", "lm_head"))
        for key, parameter in list(module.named_parameters(recurse=False)):
            moved = labelled(parameter.data.clone(), SECOND if later else FIRST)
            setattr(module, key, torch.nn.Parameter(moved, requires_grad=False))
    return made


@torch.no_grad()
def run(made, device, devices):
    """Logits of a prompt with a picture in two chunks and of a step after it, and the moves of each part."""
    cache = KVCache(made.config.text, 20, device=made.layer_devices, dtype=made.dtype)
    generator = torch.Generator().manual_seed(3)
    patches = torch.randn(16, 1176, generator=generator)
    ids = torch.tensor([1, 2, 98, 96, 96, 96, 96, 99, 4, 5, 6, 7]).to(device)
    moves = []
    embeddings = made.embed(ids[None], made.encode(patches, [(1, 4, 4)]))
    positions = torch.arange(12).expand(3, 1, 12).to(device)
    devices.moves.clear()
    for chunk in (slice(0, 8), slice(8, 12)):  # the second one needs a mask
        hidden = made(embeddings[:, chunk], positions[:, :, chunk], cache, last_only=True)
    logits = [made.logits(hidden[0, -1:])[0]]
    moves.append(list(devices.moves))
    decoder = Decoder(made)
    devices.moves.clear()
    logits.append(decoder.step(8, 12, cache))
    moves.append(list(devices.moves))
    return logits, moves, cache


@pytest.mark.parametrize("tied", [False, True])
def test_layers_on_two_devices_give_the_same_numbers_and_hand_over_once(tied):
    whole = model(tied)
    with Devices() as devices:
        wanted, no_moves, _ = run(whole, CPU, devices)
        found, (prompt, step), cache = run(split(whole), FIRST, devices)
        assert all(logits.device == FIRST for logits in found)
        assert [keys.device for keys, _ in cache.views(1)] == list(SPLIT)
    for a, b in zip(wanted, found, strict=True):
        torch.testing.assert_close(labelled(b, CPU), a, atol=1e-5, rtol=1e-4)
    assert no_moves == [[], []]
    over = [shape for start, end, shape in prompt if (start, end) == (FIRST, SECOND)]
    assert over == [(1, 8, 64), (1, 1, 8, 8), (1, 1, 8, 8), (1, 4, 64), (1, 1, 4, 8), (1, 1, 4, 8)]
    back = (1, 64) if tied else (1, 100)  # before a tied output layer a hidden state, else logits
    assert [move for move in prompt if move[0] == SECOND] == [(SECOND, FIRST, back)]
    assert next(shape for start, _, shape in step if start == FIRST) == (1, 64)
    assert len(step) == 4, "hidden state, cos and sin there, one row back"


def test_a_cache_on_two_devices_is_copied_and_read_as_one():
    text = model(False).config.text
    with Devices():
        cache = KVCache(text, 8, device=SPLIT, dtype=torch.float32)
        assert cache.nbytes == 2 * 3 * 2 * 8 * 16 * 4
        for layer, device in enumerate(SPLIT):
            cache.append(layer, *(labelled(torch.full((1, 2, 5, 16), layer + x), device) for x in (0.0, 0.5)))
        cache.advance(5)
        copied = cache.reserve(30)
        assert (copied.devices, copied.length, copied.capacity) == (SPLIT, 5, 30)
        for layer, (keys, values) in enumerate(copied.views(5)):
            assert (labelled(keys, CPU) == layer).all() and (labelled(values, CPU) == layer + 0.5).all()
        prefix = KVPrefix(cache, 3)
        keys, _ = prefix.append(1, *(labelled(torch.ones(1, 2, 1, 16), SECOND) for _ in range(2)))
        assert (keys.device, keys.shape[2]) == (SECOND, 4)
        with pytest.raises(ValueError, match="lies on 2 devices"):
            _ = cache.keys
        with pytest.raises(ValueError, match="3 layers but 1 devices"):
            KVCache(text, 8, device=(FIRST,), dtype=torch.float32)


def test_attention_of_layers_on_two_devices_is_read_as_one():
    whole, embeddings = model(False), torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        wanted, found = Capture([2]), Capture([2])
        whole(embeddings, torch.arange(3).expand(3, 1, 3), capture=wanted)
        with Devices():
            split(whole)(embeddings.to(FIRST), torch.arange(3).expand(3, 1, 3).to(FIRST), capture=found)
            weights = found.weights(2)
    torch.testing.assert_close(weights, wanted.weights(2))
    assert type(weights) is torch.Tensor


def test_what_should_not_mix_would_be_seen():
    """Without this, devices in name only would let everything pass."""
    with Devices(), pytest.raises(RuntimeError, match="on tensors of"):
        torch.ones(2, device=FIRST) + torch.ones(2, device=SECOND)
    with Devices(), pytest.raises(RuntimeError, match="1 on the CPU"):
        torch.ones(2, device=FIRST) + torch.ones(2)
