"""Who may import whom, read off the syntax trees: rooms, circles, inheritance, and files that are read across rooms;
and how little the package itself loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "qwen2vl_demo"

LEAVES = {
    "errors",
    "box_forms",
    "config",
    "data_url",
    "json_values",
    "yarn",
    "geometry",
    "trace",
    "attention_trace",
    "settings",
    "released",
    "resources",
    "lru_cache",
    "memory",
    "version",
}
BELOW_ENGINE = LEAVES | {"decoding", "media", "processing", "model", "checkpoint"}
BELOW_UI = BELOW_ENGINE | {"engine", "viz", "nano", "report"}


@dataclass(frozen=True)
class Room:
    """What the modules of one room may import: rooms (or single modules) of the package, and third-party packages."""

    own: set[str]
    third: set[str]


ROOMS = {
    **{leaf: Room(LEAVES, {"numpy"}) for leaf in LEAVES},
    "lru_cache": Room(set(), {"cachetools"}),
    "memory": Room(set(), set()),
    "positions": Room(LEAVES | {"positions"}, {"numpy"}),
    "media": Room(LEAVES | {"media"}, {"PIL", "av", "numpy", "pillow_heif", "pypdfium2"}),
    "decoding": Room({"errors", "decoding"}, set()),
    "processing": Room(LEAVES | {"decoding", "media", "processing"}, {"numpy", "torch", "tokenizers", "jinja2", "PIL"}),
    "model": Room({"errors", "config", "geometry", "yarn", "model"}, {"torch", "numpy"}),
    "checkpoint": Room(
        {"errors", "config", "json_values", "memory", "resources", "model", "checkpoint"},
        {"torch", "safetensors", "huggingface_hub"},
    ),
    "engine": Room(
        BELOW_ENGINE | {"engine"},
        {"torch", "numpy", "PIL", "tokenizers", "safetensors", "huggingface_hub", "httpx", "av"},
    ),
    "viz": Room(
        {"errors", "trace", "attention_trace", "box_forms", "geometry", "yarn", "lru_cache", "positions", "viz"},
        {"numpy", "plotly", "PIL"},
    ),
    "report": Room(LEAVES | {"viz"}, {"numpy"}),
    "ui": Room(
        LEAVES | {"engine", "viz", "decoding", "media", "processing.messages", "nano.drawn_questions", "ui"},
        {"gradio", "plotly", "numpy", "PIL", "spaces", "jinja2", "markupsafe", "markdown_it", "starlette"},
    ),
    "nano": Room(
        BELOW_UI,
        {
            *("torch", "numpy", "PIL", "av", "tokenizers", "safetensors", "jinja2", "resvg_py", "fontTools"),
            *("skimage", "pypdfium2", "playwright", "matplotlib"),  # evaluation/real_print.py
        },
    ),
    "bench": Room(
        BELOW_UI | {"bench", "console", "serve", "ui"},
        {
            "torch",
            "numpy",
            "PIL",
            "av",
            "pillow_heif",
            "httpx",
            "transformers",
            "torchvision",
            "qwen_vl_utils",
            "playwright",
        },
    ),
    "console": Room({"errors"}, set()),
    "media_arguments": Room({"console", "data_url", "errors", "media"}, set()),
    "cli": Room(BELOW_UI | {"bench", "serve", "console", "media_arguments"}, set()),
    "__main__": Room({"cli"}, set()),
    "__init__": Room({"version"}, set()),
    "serve": Room({"console", "errors", "memory", "settings", "version", "decoding", "engine", "ui"}, {"spaces"}),
    "app": Room({"serve"}, set()),
}


def modules() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py")) + [p for p in [ROOT / "app.py"] if p.exists()]


def dotted(path: Path) -> str:
    """`qwen2vl_demo/engine/protocol.py` -> `qwen2vl_demo.engine.protocol`; a package is called by its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if len(parts) > 1 else parts[0]


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: the body of `if TYPE_CHECKING:` is left out, functions are not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield other
                yield from running_nodes(other)
            continue
        yield node
        yield from running_nodes(node)


def imported(path: Path, source: str, *, for_types_too: bool = False) -> set[str]:
    """Dotted names of everything that a module imports; `from a import b` counts as `a.b` where that is a module."""
    names: set[str] = set()
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    tree = ast.parse(source)
    for node in ast.walk(tree) if for_types_too else running_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                inner = ROOT.joinpath(*origin.split("."), alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                names.add(f"{origin}.{alias.name}" if is_module else origin)
    return names


def offences(path: Path, source: str) -> list[str]:
    room = ROOMS.get(room_of(path))
    if room is None:
        return [f"{path.relative_to(ROOT)} is in no room of this table"]
    found = []
    for name in sorted(imported(path, source)):
        root, _, inside = name.partition(".")
        if root == PACKAGE:
            allowed = any(inside == own or inside.startswith(own + ".") for own in room.own) or not inside
        else:
            allowed = root in sys.stdlib_module_names or root in room.third
        if not allowed:
            found.append(f"{path.relative_to(ROOT)} must not import {name}")
    return found


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    assert offences(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "line", "forbidden"),
    [
        ("geometry.py", "import torch", True),
        ("geometry.py", "from qwen2vl_demo import trace", False),
        ("geometry.py", "from qwen2vl_demo.media import open_image", True),
        ("model/rope.py", "from PIL import Image", True),
        ("model/rope.py", "def f():\n    from ..processing import chat", True),
        ("processing/chat.py", "from ..model import rope", True),
        ("processing/chat.py", "from .. import media", False),
        ("viz/theme.py", "import plotly.graph_objects as go", False),
        ("viz/theme.py", "import torch", True),
        ("engine/protocol.py", "import gradio as gr", True),
        ("engine/protocol.py", "import transformers", True),
        ("ui/chat/controller.py", "from qwen2vl_demo.processing import messages", False),
        ("ui/chat/controller.py", "from qwen2vl_demo.model import qwen2vl", True),
        ("ui/chat/controller.py", "import torch", True),
        ("errors.py", "if TYPE_CHECKING:\n    import torch\nelse:\n    import gradio", True),
        ("errors.py", "if TYPE_CHECKING:\n    import torch", False),
        ("surprise.py", "import os", True),
    ],
)
def test_the_walls_hold_against_a_wrong_import(module: str, line: str, forbidden: bool) -> None:
    """The checker itself: without this, a checker that sees nothing would pass every module."""
    assert bool(offences(ROOT / PACKAGE / module, line)) is forbidden


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import one another in a circle (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            group = set(stack[at:])
            del stack[at:]
            if len(group) > 1 or name in graph[name]:
                found.append(group)

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def import_graph() -> dict[str, set[str]]:
    """Of every module, the modules of the package that it imports: at the top, in functions and for types alike."""
    names = {dotted(path): path for path in modules()}
    return {
        name: imported(path, path.read_text(encoding="utf-8"), for_types_too=True) & set(names)
        for name, path in names.items()
    }


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles(import_graph()) == []


def test_a_circle_would_be_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [{"a", "b", "c"}]


def read_rooms(source: str) -> set[str]:
    """Packages whose data files a module reads: the first argument of `files(...)` and `PackageLoader(...)`; "?" for
    one that finds files by its own place on the disk."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "__file__":
            rooms.add("?")
        if isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("files", "PackageLoader") and node.args:
                argument = node.args[0]
                rooms.add(argument.value if isinstance(argument, ast.Constant) else "?")
    return rooms


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_reads_data_files_of_its_own_room_only(path: Path) -> None:
    """Files that ship beside the code are found through `resources.py`; a room's own through its own package."""
    room = room_of(path)
    allowed = {PACKAGE} if room == "resources" else {f"{PACKAGE}.{room}"}
    rooms = {name for name in read_rooms(path.read_text(encoding="utf-8")) if name == "?" or name.startswith(PACKAGE)}
    assert rooms <= allowed


def test_a_file_read_across_rooms_would_be_seen() -> None:
    assert read_rooms('files("qwen2vl_demo.ui") / "static"') == {"qwen2vl_demo.ui"}
    assert read_rooms('jinja2.PackageLoader("qwen2vl_demo.ui", "templates")') == {"qwen2vl_demo.ui"}
    assert read_rooms("Path(__file__).parents[2]") == {"?"}


def test_classes_of_the_page_are_composed_and_not_inherited() -> None:
    """In ui/ no class inherits from another class of ours; Protocol, Exception and the like are not ours."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules()}
    classes = [
        (path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    ours = {node.name for _, node in classes}
    inherited = [
        f"{node.name}({ast.unparse(base)})"
        for path, node in classes
        if room_of(path) == "ui"
        for base in node.bases
        if ast.unparse(base).split(".")[-1].partition("[")[0] in ours
    ]
    assert inherited == []


def test_transformers_is_for_tests_and_the_bench_only() -> None:
    using = [p for p in modules() if any(n.split(".")[0] == "transformers" for n in imported(p, p.read_text("utf-8")))]
    assert [dotted(p) for p in using if room_of(p) != "bench"] == []


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in sys.modules after a statement, in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "gradio", "numpy", "PIL", "av", "plotly", "tokenizers", "transformers", "httpx"}
    assert not loaded_by("import qwen2vl_demo; qwen2vl_demo.__version__; import qwen2vl_demo.settings") & heavy


def test_the_names_of_a_conversation_load_neither_torch_nor_gradio() -> None:
    statement = "from qwen2vl_demo import GenerationOptions, Image, MediaOptions, Message, Text, UserError, Video"
    assert not loaded_by(statement) & {"torch", "gradio", "plotly", "transformers", "httpx"}


def test_what_a_worker_process_imports_is_light() -> None:
    """It is started while the app starts, and each of its megabytes is there as often as there are workers."""
    from qwen2vl_demo.serve import DECODERS

    statement = f"import qwen2vl_demo.decoding.fork_server, {', '.join(DECODERS)}"
    assert not loaded_by(statement) & {"torch", "gradio", "tokenizers", "jinja2", "plotly", "transformers", "httpx"}


def test_public_names_are_what_they_say_and_a_wrong_one_is_an_attribute_error() -> None:
    import qwen2vl_demo
    from qwen2vl_demo.engine import load_engine
    from qwen2vl_demo.engine.protocol import GenerationOptions

    assert qwen2vl_demo.GenerationOptions is GenerationOptions
    assert qwen2vl_demo.load_engine is load_engine
    assert set(qwen2vl_demo.__all__) <= set(dir(qwen2vl_demo))
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = qwen2vl_demo.nothing_here
