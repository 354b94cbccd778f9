"""Where a checkpoint is: the shipped one, a directory, or a repository of the hub, which is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from qwen2vl_demo.checkpoint.kinds import (
    GGUF,
    PICKLES,
    gguf_file_refusal,
    gguf_refusal,
    pickle_refusal,
    refuse_other_kinds,
)
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.resources import NANO

SMALL_FILES = ["*.json", "*.jinja"]  # of a repository: enough to prepare prompts
FILES = [*SMALL_FILES, "*.safetensors"]  # ... and to generate answers
Answer = TypeVar("Answer")


class NotFetched(UserError):
    """A repository of the hub is not on this machine, and cannot be brought here."""


def find_checkpoint(model: str, *, weights: bool = True, flag: str = "--model") -> Path:
    """The directory of a checkpoint: "nano", a directory, or a hub id, which is downloaded. Raises UserError.

    With `weights=False` a hub id is downloaded without them, which is enough for a processor. Otherwise models of
    another kind than Qwen2-VL are refused, with what answers instead. `flag` is what `model` was given as.
    """
    if model == "nano":
        return NANO
    path = Path(model).expanduser()
    if path.is_dir():
        if weights:
            refuse_other_kinds(path, model)
        return path
    if path.is_file() and is_gguf(path):
        raise UserError(gguf_file_refusal(path))
    if path.exists():
        raise UserError(f"{model} is a file; point {flag} at the directory that holds config.json.")
    if not is_hub_id(model):
        raise UserError(
            f'There is no directory {model}. {flag} takes "nano", a checkpoint directory, '
            'or a hub id such as "Qwen/Qwen2-VL-2B-Instruct".'
        )
    if not weights:
        return _download(model, SMALL_FILES, flag)
    # The small files come first: they tell whether the large ones are worth the time.
    directory = _download(model, SMALL_FILES, flag)
    if not any((directory / name).exists() for name in ("config.json", "adapter_config.json")):
        _refuse_files(model)
    refuse_other_kinds(directory, model)
    _check_disk(model)
    directory = _download(model, FILES, flag)
    if not any(directory.glob("*.safetensors")):
        _refuse_files(model)
    return directory


def is_hub_id(model: str) -> bool:
    """Whether what was given as a model can only be a repository of the hub."""
    return not model.startswith((".", "/", "~")) and model.count("/") == 1 and not Path(model).exists()


def find_preprocessing(processor: str | None) -> Path | None:
    """The directory of what `--processor` names, if it names one. Raises UserError."""
    return None if processor is None else find_checkpoint(processor, weights=False, flag="--processor")


def hub_files(hub_id: str) -> dict[str, int]:
    """The files of a repository of the hub and their bytes. Raises UserError."""
    from huggingface_hub import HfApi

    found = _ask_hub(hub_id, "--model", lambda: HfApi().model_info(hub_id, files_metadata=True))
    return {file.rfilename: file.size or 0 for file in found.siblings or []}


def _check_disk(hub_id: str) -> None:
    """Raises UserError where the disk has no room for the weights that are still to be downloaded, as far as is known:
    without a network nothing is downloaded."""
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        files = hub_files(hub_id)
    except UserError:
        return
    weights = {name: size for name, size in files.items() if name.endswith(".safetensors")}
    needed = sum(size for name, size in weights.items() if not try_to_load_from_cache(hub_id, name))
    cache = Path(constants.HF_HUB_CACHE)
    while not cache.exists():
        cache = cache.parent
    if needed > (free := shutil.disk_usage(cache).free):
        raise NotFetched(
            f"The weights of {hub_id} take {format_bytes(needed)} more on the disk, and {format_bytes(free)} are "
            f"free in {cache}; make room there, or have HF_HOME name a folder on a larger disk."
        )


def is_gguf(path: Path) -> bool:
    """Whether a file is one of llama.cpp's, by its content."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _refuse_files(hub_id: str) -> None:
    try:
        files = hub_files(hub_id)
    except UserError:
        return  # what the directory lacks is said where it is read
    refuse_files(hub_id, files)


def refuse_files(hub_id: str, files: Iterable[str]) -> None:
    """Raises UserError for a repository, given by the names of its files, whose weights are GGUF or pickles."""
    names = sorted(files)
    if any(name.endswith(GGUF) for name in names):
        raise UserError(gguf_refusal(hub_id, f"-hf {hub_id}"))
    if pickles := [name for name in names if name.endswith(PICKLES)]:
        raise UserError(pickle_refusal(hub_id, pickles[0], hub_id.split("/")[1]))


def _download(hub_id: str, patterns: list[str], flag: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(_ask_hub(hub_id, flag, lambda: snapshot_download(hub_id, allow_patterns=patterns)))


def _ask_hub(hub_id: str, flag: str, question: Callable[[], Answer]) -> Answer:
    """The hub's answer. Raises UserError for whatever can go wrong."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return question()
    except GatedRepoError:
        raise NotFetched(f"{hub_id} asks for a licence: accept it on its page, then set HF_TOKEN.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise NotFetched(f"The hub has no model {hub_id} (or it is private: set HF_TOKEN); check {flag}.") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise NotFetched(
            f"{hub_id} is not on this machine and the hub cannot be reached ({type(error).__name__}). Go online, or "
            f"download it elsewhere and pass its directory as {flag}, or use --model nano."
        ) from None
