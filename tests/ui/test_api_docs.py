"""The calls that docs/api.md shows, run against a page with nano; and the tools, called by a client of MCP."""

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio.mcp
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.resources import EXAMPLES
from qwen2vl_demo.serve import check_mcp
from qwen2vl_demo.settings import Settings
from qwen2vl_demo.ui.app import build_demo, launch_options
from tests import asynchronous
from tests.fake_models import FakeLoader

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text("utf-8")
PLACE = "http://localhost:7860/"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, flags=re.M | re.S)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with nano, another model to choose and its MCP server."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setattr(gradio.mcp, "DEFAULT_TEMP_DIR", str(folder / "uploads"))
        engine, loader = LocalEngine.load("nano", device="cpu"), FakeLoader({"tiny": 1})
        demo = build_demo(engine, data_dir=folder, examples=[], loader=loader)
        options = launch_options(demo, mcp=True)
        _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **options)
        yield address
        demo.close(verbose=False)


def test_the_calls_of_the_documentation_run(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLES)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block.replace(PLACE.rstrip("/"), url.rstrip("/")), "docs/api.md", "exec"), names)
    assert len(names["answer"]) > 20
    medium = names["record"]["media"][0]
    assert medium["merged_tokens"] <= 16 and str(medium["grid_thw"]) in capsys.readouterr().out


def test_the_call_of_the_documentation_runs_without_a_client(url: str) -> None:
    body = re.search(r"-d '(.*)'", blocks("bash")[1])
    assert body is not None
    place = f"{url}gradio_api/call/ask"
    request = urllib.request.Request(place, body[1].encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answered:
        event = json.load(answered)["event_id"]
    with urllib.request.urlopen(f"{place}/{event}") as stream:
        pieces = [json.loads(line[6:]) for line in stream.read().decode().splitlines() if line.startswith("data: [")]
    assert pieces and pieces[-1][0].endswith(".")


def test_a_program_chooses_a_model_of_the_menu_by_its_name(url: str) -> None:
    page = Client(url, verbose=False)
    parameters = page.view_api(return_format="dict")["named_endpoints"]["/ask"]["parameters"]
    (documented,) = [each for each in parameters if each["parameter_name"] == "model"]
    assert documented["parameter_has_default"] and documented["python_type"]["type"] == "str"
    assert page.predict(question="Who are you?", model="tiny", api_name="/ask").startswith("In turn 1 I see 0 files")
    with pytest.raises(AppError, match=r"There is no model big here\. Leave model empty for nano\. Others are: tiny\."):
        page.predict(question="Who are you?", model="big", api_name="/inspect")


def test_a_client_of_mcp_finds_both_tools_and_calls_them(url: str) -> None:
    picture = "data:image/png;base64," + base64.b64encode((EXAMPLES / "cat.png").read_bytes()).decode()

    async def call() -> tuple[list[Any], Any, Any, Any, Any]:
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            answer = await session.call_tool("ask", {"question": "What is in the picture?", "files": [picture]})
            record = await session.call_tool("inspect", {"files": [picture], "max_tokens": 16})
            address = await session.call_tool("ask", {"question": "?", "files": ["http://example.com/cat.png"]})
            other = await session.call_tool("ask", {"question": "Who are you?", "model": "tiny"})
            return tools, answer, record, address, other

    tools, answer, record, address, other = asynchronous.run(call())
    assert [tool.name for tool in tools] == ["ask", "inspect"]
    assert all("menu" in tool.inputSchema["properties"]["model"]["description"] for tool in tools)
    assert not answer.isError and "cat" in answer.content[0].text
    assert not record.isError and "'original_size': [420, 560]" in record.content[0].text
    assert address.isError and "not opened" in address.content[0].text
    assert not other.isError and "was asked: Who are you?" in other.content[0].text  # as only the other model says it


def test_passwords_and_tools_exclude_each_other() -> None:
    with pytest.raises(UserError, match="--auth"):
        check_mcp(Settings(auth="ann:secret", mcp=True))
    check_mcp(Settings(mcp=True))
