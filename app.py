"""Starts the page: `python app.py`, or a Hugging Face Space. `python app.py --help` lists the settings."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from qwen2vl_demo import __version__
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.settings import Settings


def main(argv: Sequence[str]) -> int:
    """Serves the page until Ctrl-C. Exit status 2, and one line, for whatever the caller can change."""
    try:
        serve(Settings.from_args(argv))
    except UserError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def serve(settings: Settings) -> None:
    """Loads the engine, builds the page and blocks. Raises UserError."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    from qwen2vl_demo.engine.start import engine_of, options_of
    from qwen2vl_demo.ui.demo import build_demo, launch_options

    print(f"qwen2vl-demo {__version__}", flush=True)
    engine = engine_of(settings)
    print(f"Model: {engine.name}, {engine.description}", flush=True)
    demo = build_demo(
        engine,
        data_dir=Path(settings.data_dir).expanduser() if settings.data_dir else None,
        defaults=options_of(settings),
    )
    try:
        _, url, public = demo.launch(
            **launch_options(max_file_mb=settings.max_file_mb),
            server_name=settings.host,  # None leaves it to GRADIO_SERVER_NAME and _PORT, as a Space sets them
            server_port=settings.port,
            auth=settings.credentials,
            share=settings.share,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UserError(f"The page cannot listen there ({error}); change --host or --port.") from None
    print(f"Open {public or url}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
