"""Records what a real server answers, for tests on machines without one.

    python -m tests.engine.remote.record_answers http://127.0.0.1:8123 vllm-0.32
    python -m tests.engine.remote.record_answers http://127.0.0.1:8211 transformers-5.23 /path/to/assets/nano

The server runs nano in float32. The engine talks to it through a proxy on this machine that keeps every response; they
go into recorded/answers/NAME.json. Requests are not kept, but for the names of their fields.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.resources import NANO
from tests.engine.remote.scenarios import SCENARIOS, outcome

RECORDED = Path(__file__).parent / "recorded" / "answers"
SHOWN_PATH = "/models/nano"  # in a recording, in place of where the checkpoint lies on the machine that recorded
MAX_BODY = 20_000  # characters of a response that are kept


class Proxy(BaseHTTPRequestHandler):
    """Forwards everything and keeps the responses."""

    target = ""
    kept: list[dict[str, Any]]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.forward(None)

    def do_POST(self) -> None:
        self.forward(self.rfile.read(int(self.headers["Content-Length"])))

    def forward(self, body: bytes | None) -> None:
        headers = {"Content-Type": "application/json"}
        response = httpx.request(self.command, self.target + self.path, content=body, headers=headers, timeout=300)
        record = {"method": self.command, "path": self.path}
        if body is not None:
            sent = json.loads(body)
            record |= {"fields": sorted(sent)} if "messages" in sent else {"prompt": sent.get("prompt")}
        kind = response.headers.get("content-type", "")
        self.kept.append(record | {"status": response.status_code, "type": kind, "body": response.text[:MAX_BODY]})
        self.send_response(response.status_code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)


def record(target: str, model: str | None) -> dict[str, Any]:
    """{"scenarios": {name: {"exchanges": [...], "outcome": {...}}}}"""
    scenarios: dict[str, Any] = {}
    for name, scenario in SCENARIOS.items():
        handler = type("Recorder", (Proxy,), {"target": target, "kept": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # vLLM tokenizes for us; any other server needs the checkpoint here.
        checkpoint = str(NANO) if model else "nano"
        engine = RemoteEngine.connect(
            f"http://127.0.0.1:{server.server_port}", scenario.model or model, checkpoint=checkpoint
        )
        found = outcome(engine, scenario)
        server.shutdown()
        server.server_close()
        scenarios[name] = {"exchanges": handler.kept, "outcome": found}  # type: ignore[attr-defined]
        print(name, found)
    return {"model": model, "scenarios": scenarios}


if __name__ == "__main__":
    where, label, *named = sys.argv[1:]
    RECORDED.mkdir(exist_ok=True)
    recorded = json.dumps(record(where, named[0] if named else None), indent=1, ensure_ascii=False)
    recorded = recorded.replace(named[0], SHOWN_PATH) if named else recorded
    (RECORDED / f"{label}.json").write_text(recorded, encoding="utf-8")
