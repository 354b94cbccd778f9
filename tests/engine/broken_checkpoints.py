"""Checkpoint directories that are broken or hostile, each made from nano by one change."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.resources import NANO

Change = Callable[[Path], None]
HUGE = 10**30
LONG = 10**4000  # more than a float holds
LONG_TEMPLATES = (
    *("loops and writes", "branches", "cycles", "rounds", "slices", "lorem", "json", "wraps", "doubles a list"),
    *("raises a lot", "powers later", "joins", "replaces"),
)
DEEP = "[" * 100_000 + "]" * 100_000


@dataclass(frozen=True)
class Broken:
    name: str
    change: Change  # spoils a directory in which every file of nano is
    loads: bool = False  # odd, but can be run
    slow: bool = False


def copy_of_nano(directory: Path) -> Path:
    """Small files are copied, the weights are linked."""
    directory.mkdir()
    for file in NANO.iterdir():
        if file.is_file() and file.suffix in (".json", ".safetensors"):
            if file.suffix == ".safetensors":
                os.link(file, directory / file.name) if _same_device(file, directory) else _copy(file, directory)
            else:
                _copy(file, directory)
    return directory


def _same_device(file: Path, directory: Path) -> bool:
    return file.stat().st_dev == directory.stat().st_dev


def _copy(file: Path, directory: Path) -> None:
    (directory / file.name).write_bytes(file.read_bytes())


def _set(name: str, *path: Any, value: Any) -> Change:
    """Sets a key of a JSON file; a path of keys and indices leads to it."""

    def change(directory: Path) -> None:
        content = json.loads((directory / name).read_text())
        place = content
        for key in path[:-1]:
            place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
        place[path[-1]] = value
        _write(directory / name, json.dumps(content).replace('"DEEP"', DEEP).replace('"LONG"', str(LONG)[:4500]))

    return change


def _write(path: Path, text: str | bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _file(name: str, text: str | bytes) -> Change:
    return lambda directory: _write(directory / name, text)


def _fifo(name: str) -> Change:
    def change(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        os.mkfifo(directory / name)

    return change


def _link(name: str, target: str) -> Change:
    def change(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(target)

    return change


def _folder(name: str) -> Change:
    def change(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        (directory / name).mkdir()

    return change


def _sparse(name: str, size: int) -> Change:
    def change(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        with open(directory / name, "wb") as file:
            file.truncate(size)

    return change


def _weights(header: dict[str, Any] | bytes, data: int = 0, length: int | None = None) -> Change:
    """A safetensors file with this header and `data` bytes of holes behind it."""

    def change(directory: Path) -> None:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = directory / "model.safetensors"
        path.unlink()
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text) if length is None else length) + text)
            file.truncate(8 + len(text) + data)

    return change


def _retyped(kind: str, itemsize: int) -> Change:
    """All tensors of nano's shapes, as numbers of another type, zeros."""

    def change(directory: Path) -> None:
        content = (directory / "model.safetensors").read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        header, at = json.loads(content[8 : 8 + size]), 0
        header.pop("__metadata__", None)
        for entry in header.values():
            count = 1
            for side in entry["shape"]:
                count *= side
            entry |= {"dtype": kind, "data_offsets": [at, at + count * itemsize]}
            at += count * itemsize
        _weights(header, at)(directory)

    return change


def _template(source: str) -> Change:
    return _file("chat_template.json", json.dumps({"chat_template": source + "<|image_pad|>"}))


def _index(content: Any) -> Change:
    return _file("model.safetensors.index.json", json.dumps(content))


def cases() -> Iterator[Broken]:
    """All of them. Names are unique."""
    yield Broken("nothing", lambda directory: None, loads=True)
    yield from _files()
    yield from _configs()
    yield from _preprocessors()
    yield from _generation_configs()
    yield from _weight_files()
    yield from _tokenizers()
    yield from _templates()


def _files() -> Iterator[Broken]:
    """What any file can be instead of its content."""
    small = ("config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json")
    optional = ("tokenizer_config.json", "chat_template.json")
    for name in (*small, *optional, "model.safetensors.index.json"):
        yield Broken(f"{name} is empty", _file(name, ""))
        yield Broken(f"{name} is cut", _file(name, '{"a": [1, 2'))
        yield Broken(f"{name} is a list", _file(name, "[]"))
        yield Broken(f"{name} is nested", _file(name, f'{{"a": {DEEP}}}'))
        yield Broken(f"{name} is UTF-16", _file(name, '{"a": 1}'.encode("utf-16")))
        yield Broken(f"{name} is binary", _file(name, bytes(range(256))))
        yield Broken(f"{name} holds NaN", _file(name, '{"a": NaN}'))
        yield Broken(f"{name} holds a number of many digits", _file(name, f'{{"a": {"9" * 10_000}}}'))
        yield Broken(f"{name} is a pipe", _fifo(name))
        yield Broken(f"{name} is /dev/zero", _link(name, "/dev/zero"))
        yield Broken(f"{name} is a folder", _folder(name))
        needed = name in ("config.json", "preprocessor_config.json", "tokenizer.json")
        yield Broken(f"{name} is a loop of links", _link(name, name), loads=not needed)  # the others may be missing
        yield Broken(f"{name} is huge", _sparse(name, 10 * 2**30))
    yield Broken("config.json has a byte order mark", _bom("config.json"), loads=True)
    yield Broken("no tokenizer_config.json", lambda d: (d / "tokenizer_config.json").unlink(), loads=True)
    yield Broken("no generation_config.json", lambda d: (d / "generation_config.json").unlink(), loads=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        yield Broken(f"no {name}", lambda d, name=name: (d / name).unlink())
    yield Broken("no preprocessor_config.json", lambda d: (d / "preprocessor_config.json").unlink(), loads=True)


def _bom(name: str) -> Change:
    return lambda directory: _write(directory / name, b"\xef\xbb\xbf" + (directory / name).read_bytes())


def _configs() -> Iterator[Broken]:
    wrong: tuple[Any, ...] = (0, -1, True, "192", [192], {"a": 1}, 1.5, HUGE, "DEEP", "LONG", "x" * 1_000_000)
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        for value in wrong:
            yield Broken(f"config {key} {str(value)[:12]}", _set("config.json", key, value=value))
    for key in ("num_key_value_heads", "intermediate_size", "max_position_embeddings", "image_token_id"):
        for value in (-1, "6", HUGE, [], 2**31):
            yield Broken(f"config {key} {str(value)[:12]}", _set("config.json", key, value=value))
    for key in ("depth", "embed_dim", "num_heads", "mlp_ratio", "hidden_size", "patch_size", "spatial_merge_size"):
        for value in (0, "8", HUGE, 1e300, []):
            yield Broken(f"vision {key} {str(value)[:12]}", _set("config.json", "vision_config", key, value=value))
    for key, value in (("temporal_patch_size", 7), ("in_channels", 4), ("in_channels", HUGE), ("patch_size", 15)):
        yield Broken(f"vision {key} {str(value)[:12]} too", _set("config.json", "vision_config", key, value=value))
    for key in ("rope_theta", "rms_norm_eps"):
        for value in (0, -1, "1", HUGE, 1e300, True, "LONG"):
            yield Broken(f"config {key} {str(value)[:12]}", _set("config.json", key, value=value))
    for value in (
        [8, 12],
        [8, 12, 12, 0],
        [8, 12, HUGE],
        [-8, 28, 12],
        "8",
        None,
        [[8], 12, 12],
        [True, 19, 12],
        "DEEP",
    ):
        yield Broken(
            f"mrope_section {str(value)[:16]}", _set("config.json", "rope_scaling", "mrope_section", value=value)
        )
    for key in ("vision_config", "rope_scaling", "text_config"):
        for value in ([], "x", 7, {"hidden_size": "x"}, "DEEP"):
            if (key, value) != ("text_config", []) and (key, value) != ("rope_scaling", []):
                yield Broken(f"{key} {str(value)[:16]}", _set("config.json", key, value=value))
    yarn = {"type": "yarn", "mrope_section": [8, 12, 12], "factor": 4}
    yield Broken("YaRN", _set("config.json", "rope_scaling", value=yarn), loads=True)
    for key in ("factor", "attention_factor", "beta_fast", "truncate", "original_max_position_embeddings", "mscale"):
        for value in ("x", HUGE, -1, [], "LONG", "DEEP"):
            changed = {**yarn, "mscale_all_dim": 1, key: value}
            yield Broken(f"YaRN's {key} {str(value)[:12]}", _set("config.json", "rope_scaling", value=changed))
    for key in ("hidden_act", "layer_types", "head_dim", "use_sliding_window"):
        for value in ("x", HUGE, ["x"], {}, "DEEP", "LONG"):
            yield Broken(f"config {key} {str(value)[:12]}", _set("config.json", key, value=value))
    for key in ("architectures", "rope_parameters"):
        for value in (7, [7], [["x"]], "DEEP", {"type": [1]}):
            yield Broken(
                f"config {key} {str(value)[:12]}",
                _set("config.json", key, value=value),
                loads=key != "rope_parameters" and value != "DEEP",
            )
    for value in ("false", 1, [], {}):
        yield Broken(f"tie_word_embeddings {value}", _set("config.json", "tie_word_embeddings", value=value))
    for value in ("llama", None, 7, ["qwen2_vl"], "x" * 1_000_000, "\ud800"):
        yield Broken(f"model_type {str(value)[:12]!r}", _set("config.json", "model_type", value=value))
    yield Broken("more layers than weights", _set("config.json", "num_hidden_layers", value=200))
    yield Broken("a vocabulary wider than the weights", _set("config.json", "vocab_size", value=2**20))
    yield Broken("an untied head", _set("config.json", "tie_word_embeddings", value=False), loads=True)
    yield Broken("unknown keys", _set("config.json", "unknown", value={"a": [1] * 100}), loads=True)


def _preprocessors() -> Iterator[Broken]:
    name = "preprocessor_config.json"
    for key in ("min_pixels", "max_pixels"):
        for value in (0, -5, "many", HUGE, 1e300, [1], "LONG", 10**9):
            yield Broken(f"preprocessor {key} {str(value)[:12]}", _set(name, key, value=value))
    for key in ("image_mean", "image_std"):
        for value in ([0.5], 0.5, "abc", [0.5, 0.5, "x"], [0.5, 0.5, 1e300], [None] * 3, "DEEP", [0.5, 0.5, "LONG"]):
            yield Broken(f"preprocessor {key} {str(value)[:24]}", _set(name, key, value=value))
    yield Broken("preprocessor image_std 0", _set(name, "image_std", value=[0.5, 0, 0.5]))
    yield Broken("preprocessor image_std tiny", _set(name, "image_std", value=[1e-300] * 3))
    for value in (0, -1, "x", HUGE, 1e-300, []):
        if value != 1e-300:
            yield Broken(f"preprocessor rescale_factor {str(value)[:12]}", _set(name, "rescale_factor", value=value))
    for key, value in (("patch_size", 16), ("merge_size", "DEEP"), ("resample", []), ("size", 7), ("size", "DEEP")):
        yield Broken(f"preprocessor {key} {str(value)[:12]}", _set(name, key, value=value))
    yield Broken("processor_config without its part", _swap(name, "processor_config.json", '{"image_processor": [1]}'))


def _swap(old: str, new: str, text: str) -> Change:
    def change(directory: Path) -> None:
        (directory / old).unlink()
        _write(directory / new, text)

    return change


def _generation_configs() -> Iterator[Broken]:
    for value in ("x", [1, "x"], 1.5, -1, HUGE, [1652, 10**9], {"a": 1}, True, "DEEP", "LONG", [[1]]):
        yield Broken(f"eos_token_id {str(value)[:16]}", _set("generation_config.json", "eos_token_id", value=value))
    yield Broken("no eos_token_id", _set("generation_config.json", "eos_token_id", value=None), loads=True)


def _weight_files() -> Iterator[Broken]:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield Broken("weights are empty", _file("model.safetensors", b""))
    yield Broken("weights are text", _file("model.safetensors", b"no weights at all, only words"))
    yield Broken("weights are a pipe", _fifo("model.safetensors"))
    yield Broken("weights are /dev/zero", _link("model.safetensors", "/dev/zero"))
    yield Broken("weights have a huge header", _weights(b"{}", length=2**62))
    yield Broken("weights have a header of 200 MB", _weights(b"{}" + b" " * 100, 300 * 2**20, length=200 * 2**20))
    yield Broken("weights nest", _weights(DEEP.encode()))
    yield Broken("weights without tensors", _weights({}))
    yield Broken("weights of one tensor", _weights({"model.norm.weight": tensor}, 8))
    yield Broken("weights overlap", _weights({"a": tensor, "b": tensor}, 8))
    yield Broken("weights end early", _weights({"a": {**tensor, "data_offsets": [0, 800]}}, 8))
    yield Broken("weights go backwards", _weights({"a": {**tensor, "data_offsets": [8, 0]}}, 8))
    yield Broken("weights of a huge shape", _weights({"a": {**tensor, "shape": [2**40, 2**40]}}, 8))
    yield Broken("weights of an unknown type", _weights({"a": {**tensor, "dtype": "Q4"}}, 8))
    yield Broken("weights with a long name", _weights({"x" * 1_000_000: tensor}, 8))
    yield Broken("weights with a strange name", _weights({"../../etc/passwd": tensor}, 8))
    for kind, itemsize in (("I64", 8), ("BOOL", 1), ("U8", 1), ("F8_E4M3", 1)):
        yield Broken(f"weights of the type {kind}", _retyped(kind, itemsize))
    for kind, itemsize in (("F64", 8), ("BF16", 2)):
        yield Broken(f"weights of the type {kind}", _retyped(kind, itemsize), loads=True)
    for weight_map in (7, [], {"a": 7}, {"a": None}, {"a": ["model.safetensors"]}, {}):
        yield Broken(f"weight_map {weight_map}", _index({"weight_map": weight_map}))
    for path in (
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "",
        "\x00",
        "x" * 5000 + ".safetensors",
        "..",
    ):
        yield Broken(f"index names {path[:20]!r}", _index({"weight_map": {"model.norm.weight": path}}))
    yield Broken("index names what is missing", _index({"weight_map": {"a": "model-1.safetensors"}}))
    yield Broken("index names many", _index({"weight_map": {str(i): f"m{i}.safetensors" for i in range(50_000)}}))
    twice = {"a": "model.safetensors", "b": "again.safetensors"}
    yield Broken("tensors are there twice", _both(_index({"weight_map": twice}), _second_copy))


def _both(*changes: Change) -> Change:
    def change(directory: Path) -> None:
        for each in changes:
            each(directory)

    return change


def _second_copy(directory: Path) -> None:
    os.link(directory / "model.safetensors", directory / "again.safetensors")


def _tokenizers() -> Iterator[Broken]:
    name = "tokenizer.json"
    evil = "(a+)+$"  # takes 2 ** n steps
    model: tuple[tuple[str, Any], ...] = (
        ("vocab", []),
        ("vocab", {}),
        ("vocab", {"a": -1}),
        ("vocab", {"a": "x"}),
        ("vocab", {"a": HUGE}),
        ("vocab", {"a": 2**32}),
        ("vocab", {"a": 1, "b": 1}),
        ("vocab", {"a": "DEEP"}),
        ("vocab", {"x" * 1_000_000: 0}),
        ("merges", {}),
        ("merges", ["a"]),
        ("merges", [["a"]]),
        ("merges", [[1, 2]]),
        ("merges", [["no", "such"]]),
        ("merges", "DEEP"),
        ("type", "Unigram"),
        ("type", "WordPiece"),
        ("type", "DEEP"),
        ("unk_token", "<unk>"),
        ("dropout", 0.5),
        ("byte_fallback", True),
        ("continuing_subword_prefix", "##"),
    )
    for key, value in model:
        yield Broken(f"tokenizer model {key} {str(value)[:20]}", _set(name, "model", key, value=value))
    multiply = {"type": "Replace", "pattern": {"String": ""}, "content": "x" * 100_000}
    nested: dict[str, Any] = {"type": "NFC"}
    for _ in range(200):
        nested = {"type": "Sequence", "normalizers": [nested, nested] if _ < 12 else [nested]}
    for value in (multiply, nested, {"type": "Prepend", "prepend": "x" * 1_000_000}, "NFC", 7, "DEEP"):
        yield Broken(f"tokenizer normalizer {str(value)[:24]}", _set(name, "normalizer", value=value))
    split = {"type": "Split", "pattern": {"Regex": evil}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    for label, value in (
        ("an evil expression", {"type": "Sequence", "pretokenizers": [split, byte_level]}),
        ("no list", {"type": "Sequence", "pretokenizers": 7}),
        ("nothing", None),
        ("words", {"type": "Whitespace"}),
        ("nesting", "DEEP"),
        ("a prefix", {**byte_level, "add_prefix_space": True}),
    ):
        yield Broken(f"tokenizer splits by {label}", _set(name, "pre_tokenizer", value=value))
    for value in (None, {"type": "WordPiece"}, [], "DEEP", {"type": "Sequence", "decoders": []}):
        yield Broken(f"tokenizer decoder {str(value)[:20]}", _set(name, "decoder", value=value))
    added: tuple[Any, ...] = (
        7,
        {},
        ["x"],
        [{"id": 1}],
        [{"id": "1", "content": "x"}],
        [{"id": -1, "content": "x"}],
        [{"id": HUGE, "content": "x"}],
        [{"id": 2**32, "content": "x"}],
        [{"id": 1664, "content": ""}],
        [{"id": 1664, "content": "\ud800"}],
        [{"id": 1664, "content": 7}],
        [{"id": 1664, "content": "x" * 1_000_000}],
        [{"id": 1664 + i, "content": f"<{i}>"} for i in range(50_000)],
        "DEEP",
    )
    for value in added:
        yield Broken(f"added tokens {str(value)[:40]}", _set(name, "added_tokens", value=value))
    yield Broken("an added token in a place of its own", _set(name, "added_tokens", 0, "id", value=1670))
    for value in (
        7,
        [],
        {"x": {"content": "y"}},
        {"1": 7},
        {str(HUGE): {"content": "y"}},
        {"9" * 5000: {"content": "y"}},
    ):
        yield Broken(
            f"added_tokens_decoder {str(value)[:30]}",
            _set("tokenizer_config.json", "added_tokens_decoder", value=value),
            loads=value == [],
        )
    # What is not used does no harm.
    padding: dict[str, Any] = {
        "strategy": {"Fixed": 10**9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
    }
    yield Broken(
        "tokenizer pads to 10^9",
        _set(name, "padding", value={**padding, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}),
        loads=True,
    )
    truncation = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    yield Broken("tokenizer truncates to 1", _set(name, "truncation", value=truncation), loads=True)
    yield Broken("tokenizer post-processor", _set(name, "post_processor", value={"type": "nonsense"}), loads=True)


def _templates() -> Iterator[Broken]:
    nine = "{% for a in range(99999) %}"
    sources = {
        "loops": nine * 3 + "{% endfor %}" * 3,
        "loops and writes": nine * 2 + "xxxxxxxxxx" + "{% endfor %}" * 2,
        "ranges": "{% for a in range(10**12) %}{% endfor %}",
        "multiplies": "{{ 'x' * 10**10 }}",
        "multiplies a list": "{{ ([0] * 10**10) | length }}",
        "doubles": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "doubles a list": "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "powers": "{{ 9 ** 9 ** 9 }}",
        "powers later": "{% set n = messages | length + 8 %}{{ n ** n ** n }}",
        "rounds": "{{ 1 | round(10**9, 'ceil') }}",
        "formats": "{{ '%1000000000d' % 1 }}",
        "formats with a method": "{{ '{:1000000000}'.format(1) }}",
        "centers": "{{ 'x' | center(10**10) }}",
        "justifies": "{{ 'x'.ljust(10**10) }}",
        "replaces": "{{ ('x' * 100000).replace('', 'y' * 100000) }}",
        "indents": "{{ ('\n' * 100000) | indent(100000, true, true) }}",
        "batches": "{{ [1] | batch(10**10, 'x') | list }}",
        "slices": "{{ [1] | slice(10**10) | list }}",
        "joins": "{{ range(99999) | join('x' * 99999) }}",
        "recurses": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "branches": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "nests": "{% if 1 %}" * 20_000 + "{% endif %}" * 20_000,
        "nests parentheses": "{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}",
        "lorem": "{{ lipsum(n=10**6) }}",
        "cycles": "{% set c = cycler('a') %}" + nine * 2 + "{{ c.next() }}" + "{% endfor %}" * 2,
        "wraps": "{{ ('x ' * 10**6) | wordwrap(1) }}",
        "urls": "{{ ('(' * 200000) | urlize }}",
        "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "globals": "{{ cycler.__init__.__globals__ }}",
        "includes": "{% include '/etc/passwd' %}",
        "imports": "{% import 'os' as os %}",
        "extends": "{% extends 'x' %}",
        "no syntax": "{% for %}",
        "unclosed": "{{ messages",
        "long": "{# " + "x" * 1_000_000 + " #}",
        "raises": "{{ raise_exception('no') }}",
        "raises a lot": "{{ raise_exception('no' * 10**7) }}",
        "date": "{{ strftime_now('%Y' * 10**6) }}",
        "json": "{{ ([[1] * 1000] * 10000) | tojson(indent=1000) }}",
        "says nothing": "",
    }
    for label, source in sources.items():  # some are stopped by the second of processor time that they have
        yield Broken(f"template {label}", _template(source), slow=label in LONG_TEMPLATES)
    for value in (7, ["x"], {"a": 1}):
        content = json.dumps({"chat_template": value})
        yield Broken(f"template is {value}", _file("chat_template.json", content), loads=True)
    yield Broken("template in Latin-1", _file("chat_template.jinja", "é<|image_pad|>".encode("latin-1")))
    yield Broken("template is a pipe", _fifo("chat_template.jinja"))
    yield Broken("template is /dev/zero", _link("chat_template.jinja", "/dev/zero"))
