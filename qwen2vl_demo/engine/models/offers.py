"""What `--models` lists: nano, checkpoint directories or folders of them, hub ids and addresses of servers.

Each is an `Offer`. The page names it by its key, which is looked up in this list and never becomes a path. Its name
says nothing of where on this machine or at which address it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from qwen2vl_demo.checkpoint.find import is_hub_id
from qwen2vl_demo.checkpoint.lora import is_adapter
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.settings import NANO

MAX_OFFERS = 200
MAX_NAME = 80  # characters
DEPTH = 2  # of checkpoints below a folder: FOLDER/model and FOLDER/owner/model

Kind = Literal["shipped", "directory", "hub", "server"]


@dataclass(frozen=True)
class Offer:
    """One model that may be chosen."""

    key: str  # by which the page asks for it
    kind: Kind
    source: str  # "nano", a directory, a hub id or an address; for the operator's eyes
    served: str = ""  # of a server: the model's name there; "" for the only one

    @property
    def name(self) -> str:
        """What visitors see."""
        return self.key


def offers_of(models: str) -> tuple[Offer, ...]:
    """What a value of `--models` offers now; folders are looked at anew. Raises UserError for an item that is
    nothing of the kind."""
    found: list[Offer] = []
    taken: set[str] = set()
    for item in filter(None, map(str.strip, models.split(","))):
        for offer in _offers(item):
            key, again = offer.key[:MAX_NAME], 1
            while key in taken:
                again += 1
                key = f"{offer.key[:MAX_NAME]} ({again})"
            taken.add(key)
            found.append(replace(offer, key=key))
    if len(found) > MAX_OFFERS:
        raise UserError(f"--models offers {len(found)} models, and {MAX_OFFERS} fit into the menu; name fewer.")
    return tuple(found)


def _offers(item: str) -> Iterator[Offer]:
    if item == NANO:
        yield Offer(NANO, "shipped", NANO)
        return
    if item.startswith(("http://", "https://")):
        address, _, served = item.partition("#")
        if not urlsplit(address).hostname:
            raise UserError(
                f"--models names {item}, which is no address; a server looks like http://localhost:8000/v1."
            )
        yield Offer(served or "model of a server", "server", address, served)
        return
    folder = Path(item).expanduser()
    if folder.is_dir():
        if _is_checkpoint(folder):
            yield Offer(folder.resolve().name, "directory", str(folder))
        else:
            yield from (Offer(str(p.relative_to(folder)), "directory", str(p)) for p in _checkpoints(folder, DEPTH))
        return
    if not is_hub_id(item):
        raise UserError(
            f'--models names {item}, which is not there. It takes "nano", checkpoint directories or folders of them, '
            "hub ids and addresses of servers, with commas between them."
        )
    yield Offer(item, "hub", item)


def _checkpoints(folder: Path, depth: int) -> Sequence[Path]:
    """The checkpoint directories below a folder, in the order of their names."""
    found: list[Path] = []
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # a folder that may not be read offers nothing
        return found
    for path in below:
        if _is_checkpoint(path):
            found.append(path)
        elif depth > 1:
            found += _checkpoints(path, depth - 1)
    return found


def _is_checkpoint(folder: Path) -> bool:
    """Whether it looks like a whole checkpoint. An adapter would bring a base that is not on the list."""
    return (folder / "config.json").is_file() and not is_adapter(folder)
