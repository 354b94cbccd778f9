"""An OpenAI-compatible server: its address, its model, and the HTTP client with which it is asked."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from qwen2vl_demo.errors import UserError

CONNECT_SECONDS = 10.0  # to connect
WRITE_SECONDS = 60.0  # during which the server may accept none of the request
MAX_REDIRECTS = 3
# Redirects that repeat the request as it is; the others would turn a question into a GET.
REPEATING = (httpx.codes.TEMPORARY_REDIRECT, httpx.codes.PERMANENT_REDIRECT)

Software = Literal["vLLM", "SGLang", "llama.cpp", "Ollama", "LM Studio", "transformers", ""]

# `owned_by` of the entries of /models, by which servers give away what they are.
SOFTWARE: dict[str, Software] = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "organization_owner": "LM Studio",
}


@lru_cache(maxsize=1)
def trusted_certificates() -> ssl.SSLContext:
    """Reading them takes a tenth of a second, so they are read once."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Server:
    """A server: its address, its model, and what it accepts."""

    url: str  # the base, in front of /chat/completions; usually ends in /v1
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 300.0  # seconds without any data from the server
    context_length: int | None = None  # positions; None if the server does not tell
    software: Software = ""  # "" where it is not known
    listed: tuple[str, ...] = ()  # the models that it says it serves
    certificates: ssl.SSLContext = field(default_factory=trusted_certificates, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """The address without a password that it may contain, for whoever runs the program."""
        return shown(self.url)

    @property
    def model_name(self) -> str:
        """The model as visitors may see it: of a directory on the server, its name alone."""
        path = self.model.replace("\\", "/").rstrip("/")
        is_path = path.startswith(("/", "~", ".")) or path[1:3] == ":/"
        return path.rpartition("/")[2] if is_path else self.model

    @property
    def root(self) -> str:
        """The address in front of /v1, where servers have what is not OpenAI's."""
        return self.url.removesuffix("/v1")


def base_url(url: str) -> str:
    """The base URL: `http://host:8000` and `.../v1/chat/completions` both mean `.../v1`."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def shown(url: str) -> str:
    """A URL without the password that it may contain."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def checked_key(key: str | None) -> str | None:
    """The key without the spaces around it. Raises UserError for one that no HTTP header can carry."""
    key = (key or "").strip()
    if odd := next((letter for letter in key if not "!" <= letter <= "~"), None):
        raise UserError(
            f"The key of the server holds {odd!r}, and keys are ASCII letters, digits and signs without spaces; copy "
            "it again into --engine-key or QWEN2VL_ENGINE_KEY."
        )
    return key or None


def client_options(server: Server) -> dict[str, Any]:
    """Arguments of every httpx client. A proxy from the environment is never used for this machine itself."""
    headers = {"Accept-Encoding": "identity"}  # a few compressed bytes could be gigabytes
    if server.key:
        headers["Authorization"] = f"Bearer {server.key}"
    local = urlsplit(server.url).hostname in ("localhost", "127.0.0.1", "::1")
    return {"headers": headers, "trust_env": not local, "verify": server.certificates}


def redirected(url: str, response: httpx.Response) -> str | None:
    """Where the same request should be sent instead; None if it is no redirect to the same host.

    A redirect to another host is not followed, since the conversation and the key would go there.
    """
    if response.status_code not in REPEATING:
        return None
    try:
        target = urljoin(url, response.headers.get("location", ""))
        same = urlsplit(target).hostname == urlsplit(url).hostname and urlsplit(target).scheme in ("http", "https")
    except ValueError:
        return None
    return target if same and target != url else None
