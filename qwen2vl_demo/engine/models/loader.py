"""Loads the models that `--models` lists, and says before what each would take. What visitors read of a failure names
neither folders of this machine nor addresses; the operator finds both in the log."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.find import NotFetched, find_checkpoint
from qwen2vl_demo.checkpoint.load import check_weights
from qwen2vl_demo.checkpoint.lora import CONFIG as ADAPTER
from qwen2vl_demo.checkpoint.memory_needed import bytes_free
from qwen2vl_demo.checkpoint.placement import bytes_needed, find_devices
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.models.offers import Offer, offers_of
from qwen2vl_demo.engine.models.pool import Say
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.memory import give_back
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.settings import Settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 20.0  # that a server may take to answer while a visitor waits


class ListedModels:
    """Loads what `--models` lists, where and how the other settings say. Implements `pool.Loader`."""

    def __init__(self, settings: Settings, decoding: Decoding | None = None) -> None:
        """Raises UserError for a list with something on it that is no model."""
        self._settings, self._decoding = settings, decoding
        self._limits = MediaLimits.for_uploads(
            settings.max_file_mb, max_image_mp=settings.max_image_mp, max_pdf_pages=settings.max_pdf_pages
        )
        self.offers()

    def offers(self) -> Sequence[Offer]:
        """All of the list but the model that is loaded anyhow."""
        settings = self._settings
        first = _place(settings.model) if settings.engine_url is None and settings.adapter is None else ""
        return tuple(offer for offer in offers_of(settings.models or "") if _place(offer.source) != first)

    def need(self, offer: Offer) -> int | None:
        if offer.kind == "server":
            return 0
        directory = _directory(offer)
        if directory is None:
            return None
        with _for_visitors(offer):
            settings = self._settings
            return bytes_needed(directory, settings.device, settings.dtype, settings.quantize)

    def free(self) -> int | None:
        free = [bytes_free(device) for device in find_devices(self._settings.device)[0]]
        known = [size for size in free if size is not None]
        return sum(known) if len(known) == len(free) else None

    def check(self, offer: Offer) -> None:
        if offer.kind == "server":
            return
        with _for_visitors(offer):
            directory = find_checkpoint(offer.source, weights=False)  # of the hub, whose size is not known before
            if not (directory / "config.json").is_file() and (directory / ADAPTER).is_file():
                raise UserError(f"{offer.name} is an adapter and no whole model; choose another one.")
            Processor.from_directory(directory)
            if offer.kind != "hub":  # whose weights may not be there yet
                check_weights(directory)

    def load(self, offer: Offer, say: Say) -> Engine:
        settings = self._settings
        with _for_visitors(offer):
            if offer.kind == "server":
                say("Asking its server", None)
                return RemoteEngine.connect(
                    offer.source,
                    offer.served or None,
                    timeout=settings.engine_timeout,
                    wait=CONNECT_SECONDS,
                    limits=self._limits,
                    decoding=self._decoding,
                )
            say("Downloading" if offer.kind == "hub" else "Opening", None)
            return LocalEngine.load(
                offer.source,
                name=offer.name,
                device=settings.device,
                dtype=settings.dtype,
                quantize=settings.quantize,
                limits=self._limits,
                decoding=self._decoding,
                progress=lambda share: say("Loading", share),
            )

    def collect(self) -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        give_back()


def _directory(offer: Offer) -> Path | None:
    """Where it lies on this machine; None for one that would have to be downloaded first."""
    if offer.kind != "hub":
        return find_checkpoint(offer.source, weights=False)
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(offer.source, "config.json")
    return Path(config).parent if isinstance(config, str) else None


def _place(model: str) -> str:
    """The same for the same directory, however it is written."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else model


@contextlib.contextmanager
def _for_visitors(offer: Offer) -> Iterator[None]:
    """Raises a UserError anew with the model's name in place of where it is."""
    try:
        yield
    except UserError as problem:
        log.warning("%s cannot be loaded: %s", offer.source, problem.for_operator)
        if offer.kind == "server":
            raise UserError(f"The server of {offer.name} does not answer; choose another model.") from None
        if isinstance(problem, NotFetched):
            raise UserError(
                f"{offer.name} is not on this machine, and cannot be fetched from the hub now; choose another model."
            ) from None
        sentence = str(problem)
        for place in sorted(_places(offer) - {offer.name}, key=len, reverse=True):
            sentence = sentence.replace(place, offer.name)
        raise UserError(sentence) from None


def _places(offer: Offer) -> set[str]:
    """How a sentence may name the place of a model on this machine."""
    if offer.kind != "hub":
        return {offer.source, str(Path(offer.source).expanduser().resolve())}
    from huggingface_hub import constants

    directory = _directory(offer)
    return {constants.HF_HUB_CACHE} if directory is None else {str(directory), constants.HF_HUB_CACHE}
