"""Where a checkpoint is: the shipped one, a directory, or a repository of the hub, which is downloaded."""

from __future__ import annotations

from pathlib import Path

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.resources import NANO

SMALL_FILES = ["*.json", "*.jinja"]  # of a repository: enough to prepare prompts
FILES = [*SMALL_FILES, "*.safetensors"]  # ... and to generate answers


def find_checkpoint(model: str, *, weights: bool = True) -> Path:
    """The directory of a checkpoint: "nano", a directory, or a hub id, which is downloaded. Raises UserError.

    With `weights=False` a hub id is downloaded without them, which is enough for a processor.
    """
    if model == "nano":
        return NANO
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{model} is a file; point --model at the directory that holds config.json.")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(
            f'There is no directory {model}. --model takes "nano", a checkpoint directory, '
            'or a hub id such as "Qwen/Qwen2-VL-2B-Instruct".'
        )
    return _download(model, FILES if weights else SMALL_FILES)


def _download(hub_id: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except GatedRepoError:
        raise UserError(f"{hub_id} asks for a licence: accept it on its page, then set HF_TOKEN.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(f"The hub has no model {hub_id} (or it is private: set HF_TOKEN); check --model.") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{hub_id} is not on this machine and the hub cannot be reached ({type(error).__name__}). Go online, or "
            "download it elsewhere and pass its directory as --model, or use --model nano."
        ) from None
