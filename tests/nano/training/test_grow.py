"""A larger nano that starts from the weights of a smaller one computes the same function at first."""

import dataclasses

import pytest
import torch
from tokenizers import Tokenizer as RawTokenizer

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.checkpoint import nano_config
from qwen2vl_demo.nano.tokenizer import extend_tokenizer
from qwen2vl_demo.nano.training.grow import grow_weights
from qwen2vl_demo.resources import NANO

TEXTS = ["a zebra and a zebra", "The zebra drinks.", "What is it?"] * 20


@pytest.fixture(scope="module")
def tokenizers():
    old = RawTokenizer.from_file(str(NANO / "tokenizer.json"))
    return old, extend_tokenizer(old, TEXTS, old.get_vocab_size() + 4)


def test_an_extended_tokenizer_keeps_the_old_tokens_and_writes_new_words_shorter(tokenizers):
    old, new = tokenizers
    assert new.get_vocab_size() == old.get_vocab_size() + 4
    assert {token: new.token_to_id(token) is not None for token in old.get_vocab()} == dict.fromkeys(
        old.get_vocab(), True
    )
    assert len(new.encode(" zebra").ids) < len(old.encode(" zebra").ids)
    for text in (*TEXTS, "How many stars are there? <|im_end|> 12:30", "ärgerlich 漢字"):
        assert new.decode(new.encode(text).ids, skip_special_tokens=False) == text
    assert new.encode("<|im_end|>").ids == [new.token_to_id("<|im_end|>")] == [new.get_vocab_size() - 12]


def test_more_layers_change_nothing_at_first(tokenizers):
    old, new = tokenizers
    small_config, config = nano_config(old), nano_config(new)
    small_config = dataclasses.replace(
        small_config,
        vision=dataclasses.replace(small_config.vision, depth=2),
        text=dataclasses.replace(small_config.text, num_layers=2),
    )
    torch.manual_seed(0)
    small, large = Qwen2VL(small_config).eval(), Qwen2VL(config).eval()
    large.load_state_dict(grow_weights(small.state_dict(), large.state_dict(), NANO, new))
    patches, grids = torch.randn(16, config.vision.patch_dim), [(1, 4, 4)]
    text = "What is it?"
    ids = [torch.tensor([tokenizer.encode(text).ids]) for tokenizer in (old, new)]
    assert [old.id_to_token(i) for i in ids[0][0]] == [new.id_to_token(i) for i in ids[1][0]]
    positions = torch.arange(ids[0].shape[1]).expand(3, 1, -1)
    with torch.no_grad():
        assert torch.allclose(small.encode(patches, grids), large.encode(patches, grids), atol=1e-6)
        hidden = [m(m.embed(i, None), positions) for m, i in zip((small, large), ids, strict=True)]
    assert torch.allclose(*hidden, atol=1e-6)


def test_a_vision_transformer_twice_as_wide_computes_the_same_at_first_and_learns_more(tokenizers):
    """Twins of a channel are equal in what they compute, and differ in their gradients."""
    old, _ = tokenizers
    config = nano_config(old)
    narrow = dataclasses.replace(config.vision, embed_dim=config.vision.embed_dim // 2, num_heads=2)
    torch.manual_seed(0)
    small, large = Qwen2VL(dataclasses.replace(config, vision=narrow)).eval(), Qwen2VL(config).eval()
    large.load_state_dict(grow_weights(small.state_dict(), large.state_dict(), NANO, old))
    patches, grids = torch.randn(32, config.vision.patch_dim), [(2, 4, 4)]
    seen = large.encode(patches, grids)
    assert torch.allclose(seen, small.encode(patches, grids), atol=1e-5)
    seen.square().sum().backward()
    gradient = large.visual.blocks[0].mlp.fc1.weight.grad
    assert gradient is not None
    first, second = gradient.chunk(2)
    assert (first - second).norm() > 0.1 * first.norm()
