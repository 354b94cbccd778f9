"""Serves the page: `python app.py`, `qwen2vl-demo serve`, or a Hugging Face Space, which runs app.py."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from qwen2vl_demo import console
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import limit_arenas, settle
from qwen2vl_demo.settings import Settings
from qwen2vl_demo.version import __version__

if TYPE_CHECKING:
    from qwen2vl_demo.engine.zerogpu.messages import Lend

# The modules whose functions open files.
DECODERS = (
    "qwen2vl_demo.processing.image",
    "qwen2vl_demo.media.browser_files",
    "qwen2vl_demo.media.cutout",
    "qwen2vl_demo.media.overview",
    "qwen2vl_demo.media.playable_copy",
)


def main(argv: Sequence[str]) -> int:
    """`python app.py ARGV`: serves the page until Ctrl-C and returns the exit status.

    A wrong setting is one line on standard error and status 2.
    """

    def start() -> int:
        serve(Settings.from_args(argv))
        return 0

    return console.run(start)


def serve(settings: Settings) -> None:
    """Loads the engine, builds the page, launches it and blocks until SIGINT or SIGTERM. Raises UserError.

    Nothing of what visitors left is there afterwards.
    """
    if sys.stdout is None:  # a server may run without one, but uvicorn's log does not expect that
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    os.umask(0o077)  # files of visitors are for this user of the machine alone
    lend = _zerogpu(os.environ)
    from qwen2vl_demo.decoding import decoding_for_strangers
    from qwen2vl_demo.engine.factory import engine_of, loader_of, options_of
    from qwen2vl_demo.ui.app import build_demo, default_data_dir, launch_options
    from qwen2vl_demo.ui.workspace import UPLOADS, Workspace

    console.write(f"qwen2vl-demo {__version__}")
    limit_arenas()
    check_address(settings.host, settings.port)
    if settings.mcp:
        check_mcp(settings)
    logins = logins_of(settings)
    decoding = decoding_for_strangers(settings.decode_seconds, settings.max_image_mp, DECODERS)
    workspace: Workspace | None = None
    try:
        engine = engine_of(settings, decoding, lend)
        console.write(f"Model: {engine.name}, {engine.description}")
        loader = loader_of(settings, decoding)
        workspace = Workspace(Path(settings.data_dir).expanduser() if settings.data_dir else default_data_dir())
        os.environ["GRADIO_TEMP_DIR"] = str(workspace.folder / UPLOADS)
        signal.signal(signal.SIGTERM, _terminate)
        demo = build_demo(
            engine,
            data_dir=workspace.folder,
            max_file_mb=settings.max_file_mb,
            visitor_files_mb=settings.visitor_files_mb,
            all_files_mb=settings.all_files_mb,
            max_pdf_pages=settings.max_pdf_pages,
            max_image_mp=settings.max_image_mp,
            defaults=options_of(settings),
            decoding=decoding,
            share_cache=settings.share_cache,
            loader=loader,
            keep_chats=Path(settings.keep_chats).expanduser() if settings.keep_chats else None,
            keep_chats_mb=settings.keep_chats_mb,
        )
        _, url, public = demo.launch(
            **launch_options(demo, max_file_mb=settings.max_file_mb, mcp=settings.mcp),
            server_name=settings.host,  # None leaves it to GRADIO_SERVER_NAME and _PORT, as a Space sets them
            server_port=settings.port,
            auth=logins,
            share=settings.share,
            quiet=True,
            prevent_thread_lock=True,
        )
        console.write(f"Open {public or url}")
        if settings.mcp:
            console.write(f"MCP server: {(public or url).rstrip('/')}/gradio_api/mcp/")
        settle()
        try:
            demo.block_thread()
        finally:
            demo.close(verbose=False)
    finally:
        decoding.close()
        if workspace is not None:
            workspace.close()


def _zerogpu(environ: Mapping[str, str]) -> Lend | None:
    """What lends GPUs on a Space with ZeroGPU, elsewhere None. Call it before torch is imported: `spaces` replaces what
    would initialise CUDA in this process, which has no GPU."""
    if environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):  # as `spaces` reads it
        return None
    try:
        import spaces
    except ImportError:
        raise UserError(
            "This Space is on ZeroGPU, which needs the package spaces; add it to requirements.txt."
        ) from None
    lend: Lend = spaces.GPU
    return lend


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def check_mcp(settings: Settings) -> None:
    """Raises UserError where there can be no MCP server."""
    if settings.auth:
        raise UserError("--mcp has no passwords, so it cannot be used with --auth; leave one of them out.")
    if find_spec("mcp") is None:
        raise UserError('--mcp needs the package mcp; install it with `pip install "mcp<2"`.')


def logins_of(settings: Settings) -> list[tuple[str, str]] | None:
    """The names and passwords that `--auth` lets in; None: everybody. Raises UserError for a file that is none of
    them."""
    if settings.auth_file is None:
        return [settings.credentials] if settings.credentials else None
    try:
        lines = Path(settings.auth_file).expanduser().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--auth names the file {settings.auth_file}, which cannot be read.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, _, password = line.strip().partition(":")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not name or not password or name in found:
            raise UserError(f"Line {number} of {settings.auth_file} must be a name of its own, a colon and a password.")
        found[name] = password
    if not found:
        raise UserError(f"There is no user in {settings.auth_file}; write one USER:PASS on each line.")
    return list(found.items())


def check_address(host: str | None, port: int | None) -> None:
    """Raises UserError if the address cannot be bound, before a model is loaded.

    Gradio itself would try a hundred ports of a wrong host before it reports one.
    """
    if host is None and port is None:
        return
    name = host or "127.0.0.1"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
            probe.bind(address)
    except OSError as error:
        where, flag = (f"{name}, port {port}", "--port") if port else (name, "--host")
        raise UserError(f"The page cannot listen on {where} ({error.strerror}); choose another {flag}.") from None
