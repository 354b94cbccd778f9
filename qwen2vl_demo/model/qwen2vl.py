"""Qwen2-VL: the vision transformer, the language model, and merged tokens in place of the placeholders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.geometry import Grid
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.int8 import Int8Embedding
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import LanguageModel
from qwen2vl_demo.model.vision import VisionTransformer


class Qwen2VL(nn.Module):
    """Parameter names equal the keys of the released checkpoints (the older of the two layouts)."""

    def __init__(self, config: Qwen2VLConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTransformer(config.vision)
        self.model = LanguageModel(config.text)
        if not config.text.tie_word_embeddings:
            self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        """Where ids, positions and patches belong, and logits are: that of the embedding and the vision transformer."""
        return self.visual.patch_embed.proj.weight.device  # which is never quantised

    @property
    def layer_devices(self) -> tuple[torch.device, ...]:
        """The device of each layer of the language model. The final norm and an untied output layer are on the last."""
        return tuple(layer.device for layer in self.model.layers)  # type: ignore[misc]

    @property
    def dtype(self) -> torch.dtype:
        return self.visual.patch_embed.proj.weight.dtype

    @property
    def head(self) -> nn.Module:
        """The output layer: a linear layer, or the embedding that it shares its weights with."""
        if not self.config.text.tie_word_embeddings:
            return self.lm_head
        embedding = self.model.embed_tokens
        return embedding.head if isinstance(embedding, Int8Embedding) and embedding.head else embedding

    @property
    def head_device(self) -> torch.device:
        """Of the output layer: the embedding's where they share weights, else that of the final norm."""
        return self.device if self.config.text.tie_word_embeddings else self.model.norm.weight.device

    def encode(
        self, patches: Tensor, grids: Sequence[Grid], between_blocks: Callable[[], None] | None = None
    ) -> Tensor:
        """Patches (N, 1176) in block order -> merged tokens (N / 4, C), in raster order of the merged grid.

        Still images may be given by one of their two equal frames, in the order of pixels: (N, 588).
        """
        return self.visual(patches.to(self.device, self.dtype), grids, between_blocks)

    def embed(self, input_ids: Tensor, vision: Tensor | None = None) -> Tensor:
        """Ids (B, L) -> embeddings (B, L, C), with the merged tokens in place of the placeholders, in order."""
        embeddings = self.model.embed_tokens(input_ids)
        places = (input_ids == self.config.image_token_id) | (input_ids == self.config.video_token_id)
        found, given = int(places.sum()), 0 if vision is None else len(vision)
        if found != given:
            raise ValueError(f"the prompt has {found} placeholders but {given} merged tokens were given")
        if vision is not None:
            embeddings = embeddings.masked_scatter(places[..., None], vision.to(embeddings.dtype))
        return embeddings

    def forward(
        self,
        embeddings: Tensor,
        position_ids: Tensor,
        cache: KVCache | None = None,
        between_layers: Callable[[], None] | None = None,
        capture: Capture | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Embeddings (B, L, C) at position_ids (3, B, L) -> hidden states (B, L, C), or (B, 1, C) with `last_only`.

        The arguments are those of LanguageModel.
        """
        return self.model(embeddings, position_ids, cache, between_layers, capture, last_only)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., vocabulary)."""
        head = self.head
        hidden = hidden.to(self.head_device)
        logits: Tensor = F.linear(hidden, head.weight) if isinstance(head, nn.Embedding) else head(hidden)
        return logits.to(self.device)
