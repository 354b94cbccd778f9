"""What one batch teaches: the loss of its answers, and of all that is asked beside them.

Contract: `Lesson` listens to some layers of a language model and holds the heads (heads.py) that ask them; `loss` knows
no optimizer and changes no weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.language import Attention
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.training.auxiliary_heads import BoxHead, DenseHead, PlaceHead, looking_loss
from qwen2vl_demo.nano.training.batches import IGNORED, Batch

DENSE_WEIGHT = 0.3  # of the dense labels' loss beside the answers'
BOX_WEIGHT = 10.0  # of the error of the boxes that the layer behind it is asked for
LOOK_WEIGHT = 0.3  # of the loss that asks one head to look at what an answer is about
# Which layers are asked what, counted from 0: each needs what the one before it found.
PLACE_LAYER = 1  # where merged tokens lie, which their position ids alone tell, for the layers behind to use
LOOKING_LAYER = 2  # what the answer is about; the size of the grid
BOX_LAYER = 3  # where that lies in shares of the picture's sides


def multiplies_bfloat16(device: str) -> bool:
    """Whether products of bfloat16 matrices are faster there than those of float32."""
    return device != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Lesson:
    def __init__(self, model: Qwen2VL, token_of: Callable[[str], int | None], device: str) -> None:
        """`token_of` gives the id of a word that is one token."""
        self.model, self.device = model, device
        hidden = model.config.text.hidden_size
        self.dense = DenseHead(model.config.vision.out_dim, token_of).to(device)
        self.place, self.box = PlaceHead(hidden).to(device), BoxHead(hidden).to(device)
        self.heads = nn.ModuleDict({"dense": self.dense, "place": self.place, "box": self.box})
        self._half = partial(
            torch.autocast, torch.device(device).type, torch.bfloat16, enabled=multiplies_bfloat16(device)
        )
        self._looking: list[tuple[Tensor, ...]] = []
        model.model.layers[LOOKING_LAYER].get_submodule("self_attn").register_forward_pre_hook(
            lambda module, given: self._looking.append(given[:3])
        )
        self._outputs: dict[int, Tensor] = {}
        for number in (PLACE_LAYER, LOOKING_LAYER, BOX_LAYER):
            model.model.layers[number].register_forward_hook(partial(self._keep, number))

    def loss(self, batch: Batch, dense: bool, frozen: bool = False) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, of the vision transformer alone if `dense`, without it if `frozen`; and its parts."""
        model, device = self.model, self.device
        report: dict[str, float] = {}
        vision: Tensor | None = None
        loss = torch.zeros((), device=device)
        if batch.grids:
            with torch.set_grad_enabled(not frozen):
                with self._half():
                    vision = model.encode(batch.patches.to(device), batch.grids)
                vision = vision.float()
            dense_loss, right = self.dense(vision, batch, model.model.embed_tokens.weight)
            loss = loss + dense_loss * (1.0 if dense else DENSE_WEIGHT)
            report |= right
        if dense:
            return loss, report
        self.forget()
        input_ids, targets = batch.input_ids.to(device), batch.targets.to(device)
        with self._half():
            hidden = model(model.embed(input_ids, vision), batch.position_ids.to(device)).float()
        seen = (input_ids == model.config.image_token_id) | (input_ids == model.config.video_token_id)
        if batch.grids:
            place_loss, right = self.place(self._outputs[PLACE_LAYER], self._outputs[LOOKING_LAYER], seen, batch)
            loss = loss + place_loss * DENSE_WEIGHT
            report |= right
        if len(batch.looks):
            attention = model.model.layers[LOOKING_LAYER].get_submodule("self_attn")
            assert isinstance(attention, Attention)
            looking, cos, sin = self._looking.pop()
            look_loss, report["look"] = looking_loss(attention, looking, cos, sin, batch)
            box_loss, off = self.box(self._outputs[BOX_LAYER], seen, batch)
            loss = loss + look_loss * LOOK_WEIGHT + box_loss * BOX_WEIGHT
            report |= off
        learnt = targets != IGNORED
        answer_loss = F.cross_entropy(model.logits(hidden[learnt]), targets[learnt])
        report[batch.kind] = answer_loss.item()
        return loss + answer_loss, report

    def forget(self) -> None:
        """Drop what the hooks kept of an earlier pass."""
        self._outputs.clear()
        self._looking.clear()

    def _keep(self, layer: int, module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        self._outputs[layer] = output
