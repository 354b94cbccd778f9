"""The training objective: the language modelling loss of the answers plus the auxiliary losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.language import Attention
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.training.auxiliary_heads import BoxHead, DenseLabelHead, PositionHead, attention_loss
from qwen2vl_demo.nano.training.batches import PRINTED, Batch

DENSE_WEIGHT = 0.3  # of the dense-label and position losses beside the answers'
BOX_WEIGHT = 10.0  # of the box loss
ATTENTION_WEIGHT, READING_WEIGHT = 0.3, 0.5  # of the attention loss; READING: of that of print
# The layers, counted from 0, that have an auxiliary loss. Each builds on the result of the one before.
POSITION_LAYER = 1  # the row and column of each merged token, for later layers to use
ATTENTION_LAYER = 2  # what the answer is about; the size of the grid
BOX_LAYER = 3  # the box of that, in shares of the picture's sides
READING_LAYER = 4  # where the next characters of open text are printed, after what was read so far


def bfloat16_is_fast(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices faster than float32 ones."""
    return device != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class TrainingLoss:
    """The loss of a model on a batch, with the auxiliary heads and the forward hooks that feed them.

    `heads` holds the heads' parameters, to be optimized along with the model's.
    """

    def __init__(self, model: Qwen2VL, token_of: Callable[[str], int | None], device: str) -> None:
        """Registers hooks on `model`. `token_of` gives the id of a word that is a single token."""
        self.model, self.device = model, torch.device(device)
        hidden = model.config.text.hidden_size
        self.dense = DenseLabelHead(model.config.vision.out_dim, token_of).to(device)
        self.place, self.box = PositionHead(hidden).to(device), BoxHead(hidden).to(device)
        self.heads = nn.ModuleDict({"dense": self.dense, "place": self.place, "box": self.box})
        self._autocast = partial(torch.autocast, self.device.type, torch.bfloat16, enabled=bfloat16_is_fast(device))
        self._attention_inputs: dict[int, tuple[Tensor, ...]] = {}
        for number in (ATTENTION_LAYER, READING_LAYER):
            model.model.layers[number].get_submodule("self_attn").register_forward_pre_hook(
                partial(self._capture_attention, number)
            )
        self._outputs: dict[int, Tensor] = {}
        for number in (POSITION_LAYER, ATTENTION_LAYER, BOX_LAYER):
            model.model.layers[number].register_forward_hook(partial(self._capture, number))

    def loss(self, batch: Batch, dense: bool, frozen: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch on the device, and its parts and accuracies by name for the log: scalars, NaN for none.

        `dense`: only the dense-label loss of the vision transformer. `frozen`: no gradient for the vision transformer.
        """
        model = self.model
        report: dict[str, Tensor] = {}
        vision: Tensor | None = None
        loss = torch.zeros((), device=self.device)
        if batch.grids:
            with torch.set_grad_enabled(not frozen):
                with self._autocast():
                    vision = model.encode(batch.patches(model.config.vision, self.device), batch.grids)
                vision = vision.float()
            dense_loss, right = self.dense(vision, batch, model.model.embed_tokens.weight)
            loss = loss + dense_loss * (1.0 if dense else DENSE_WEIGHT)
            report |= right
        if dense:
            return loss, report
        self.clear_captured()
        embeddings = model.model.embed_tokens(batch.input_ids)
        if vision is not None:  # as in `Qwen2VL.embed`, which counts the placeholders
            embeddings = embeddings.flatten(0, 1).index_copy(0, batch.merged, vision).view_as(embeddings)
        with self._autocast():
            hidden = model(embeddings, batch.position_ids).float()
        if batch.grids:
            place_loss, right = self.place(self._outputs[POSITION_LAYER], self._outputs[ATTENTION_LAYER], batch)
            loss = loss + place_loss * DENSE_WEIGHT
            report |= right
        if len(batch.attention_queries):
            reading = batch.kind in PRINTED
            layer = READING_LAYER if reading else ATTENTION_LAYER
            attention = model.model.layers[layer].get_submodule("self_attn")
            assert isinstance(attention, Attention)
            inputs, cos, sin = self._attention_inputs[layer]
            attending, mass = attention_loss(attention, inputs, cos, sin, batch)
            loss = loss + attending * (READING_WEIGHT if reading else ATTENTION_WEIGHT)
            report["reading" if reading else "attention"] = mass
            if not reading:
                box_loss, error = self.box(self._outputs[BOX_LAYER], batch)
                loss = loss + box_loss * BOX_WEIGHT
                report |= error
        logits = model.logits(hidden.flatten(0, 1).index_select(0, batch.answers))
        answer_loss = F.cross_entropy(logits, batch.targets.flatten()[batch.answers])
        report[batch.kind] = answer_loss.detach()
        return loss + answer_loss, report

    def clear_captured(self) -> None:
        """Drop the activations captured in an earlier forward pass."""
        self._outputs.clear()
        self._attention_inputs.clear()

    def _capture_attention(self, layer: int, module: nn.Module, given: tuple[Any, ...]) -> None:
        self._attention_inputs[layer] = given[:3]

    def _capture(self, layer: int, module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        self._outputs[layer] = output
