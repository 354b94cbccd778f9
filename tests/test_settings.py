"""Settings: each field is a flag and a variable; an invalid value is one sentence that names the flag."""

import dataclasses

import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.settings import Parser as SettingsParser
from qwen2vl_demo.settings import Settings, add_flags, flag_name, table, variable_name


def settings(*argv: str, **environ: str) -> Settings:
    return Settings.from_args(argv, environ)


def test_without_flags_and_variables_every_default_holds() -> None:
    assert settings() == Settings()
    assert (Settings().model, Settings().device, Settings().dtype) == ("nano", "auto", "auto")


def test_host_and_port_are_not_forced_so_that_a_space_can_set_them() -> None:
    """A Space sets GRADIO_SERVER_NAME and GRADIO_SERVER_PORT; a default of ours would win over them."""
    assert settings(GRADIO_SERVER_NAME="0.0.0.0", GRADIO_SERVER_PORT="7861").host is None
    assert settings().port is None


def test_every_flag_and_every_variable_sets_its_field() -> None:
    """The values differ from the defaults, so that a field that is not connected is found."""
    wanted = {
        "model": ("some/dir", "some/dir"),
        "models": ("nano,some/dir", "nano,some/dir"),
        "adapter": ("some/lora", "some/lora"),
        "processor": ("other/dir", "other/dir"),
        "device": ("cuda:0,1", "cuda:0,1"),
        "dtype": ("float32", "float32"),
        "quantize": ("int8", "int8"),
        "engine_url": ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        "engine_model": ("qwen", "qwen"),
        "engine_key": ("secret", "secret"),
        "engine_timeout": ("12.5", 12.5),
        "host": ("0.0.0.0", "0.0.0.0"),
        "port": ("8080", 8080),
        "auth": ("ann:a:b", "ann:a:b"),
        "keep_chats": ("/tmp/chats", "/tmp/chats"),
        "keep_chats_mb": ("7", 7),
        "share": ("1", True),
        "max_file_mb": ("9", 9),
        "visitor_files_mb": ("90", 90),
        "all_files_mb": ("900", 900),
        "max_pdf_pages": ("40", 40),
        "share_cache": ("1", True),
        "mcp": ("1", True),
        "max_image_mp": ("40", 40),
        "decode_seconds": ("20", 20),
        "data_dir": ("/tmp/somewhere", "/tmp/somewhere"),
        "min_pixels": ("784", 784),
        "max_pixels": ("1_003_520", 1003520),
        "fps": ("1", 1.0),
        "max_frames": ("16", 16),
        "time_stamps": ("1", True),
        "max_new_tokens": ("7", 7),
        "temperature": ("0.5", 0.5),
    }
    assert set(wanted) == {f.name for f in dataclasses.fields(Settings)}
    argv = [
        w
        for name, (text, _) in wanted.items()
        for w in ([flag_name(name)] + [text] * (name not in ("share", "share_cache", "mcp", "time_stamps")))
    ]
    environ = {variable_name(name): text for name, (text, _) in wanted.items()}
    expected = Settings(**{name: value for name, (_, value) in wanted.items()})
    assert Settings.from_args(argv, {}) == expected
    assert Settings.from_args([], environ) == expected


def test_a_flag_wins_over_its_variable_and_an_empty_variable_counts_as_unset() -> None:
    assert settings("--port", "8001", QWEN2VL_PORT="8002").port == 8001
    assert settings(QWEN2VL_PORT="8002").port == 8002
    assert settings(QWEN2VL_PORT=" ", QWEN2VL_ENGINE_URL="").port is None


@pytest.mark.parametrize(("value", "share"), [("true", True), ("YES", True), ("on", True), ("0", False), ("no", False)])
def test_a_switch_reads_the_usual_words(value: str, share: bool) -> None:
    assert settings(QWEN2VL_SHARE=value).share is share


def test_credentials_split_at_the_first_colon_only() -> None:
    assert settings("--auth", "ann:a:b").credentials == ("ann", "a:b")
    assert settings().credentials is None


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        (["--device", "tpu"], {}, ["--device", "tpu", "cuda"]),
        (["--device", "cuda:"], {}, ["--device", "cuda:1 and cuda:0,1"]),
        (["--device", "cpu:1"], {}, ["--device", "cuda:1 and cuda:0,1"]),
        (["--dtype", "float16"], {}, ["--dtype", "bfloat16"]),
        ([], {"QWEN2VL_QUANTIZE": "int2"}, ["QWEN2VL_QUANTIZE", "int8", "int4"]),
        ([], {"QWEN2VL_DEVICE": "gpu"}, ["QWEN2VL_DEVICE", "gpu"]),
        (["--port", "x"], {}, ["--port", "whole number"]),
        (["--port", "70000"], {}, ["--port", "65535"]),
        ([], {"QWEN2VL_PORT": "7860.5"}, ["QWEN2VL_PORT", "whole number"]),
        ([], {"QWEN2VL_SHARE": "maybe"}, ["QWEN2VL_SHARE", "1 or 0"]),
        (["--max-file-mb", "0"], {}, ["--max-file-mb"]),
        (["--max-pdf-pages", "0"], {}, ["--max-pdf-pages", "1000"]),
        (["--fps", "nan"], {}, ["--fps", "a number"]),
        (["--fps", "0"], {}, ["--fps"]),
        (["--temperature", "-1"], {}, ["--temperature"]),
        (["--temperature", "9"], {}, ["--temperature"]),
        (["--max-new-tokens", "0"], {}, ["--max-new-tokens"]),
        (["--max-frames", "1"], {}, ["--max-frames"]),
        (["--min-pixels", "100"], {}, ["--min-pixels", "784"]),
        (["--max-pixels", "100"], {}, ["--max-pixels", "784"]),
        (["--min-pixels", "5000", "--max-pixels", "4000"], {}, ["--max-pixels", "5000"]),
        (["--engine-url", "localhost:8000"], {}, ["--engine-url", "http://"]),
        (["--engine-model", "x"], {}, ["--engine-model", "--engine-url"]),
        ([], {"QWEN2VL_ENGINE_KEY": "x"}, ["--engine-key", "--engine-url"]),
        (["--engine-url", "http://a", "--engine-timeout", "0"], {}, ["--engine-timeout"]),
        (["--auth", "ann"], {}, ["--auth", "colon"]),
        (["--model", " "], {}, ["--model"]),
        (["--processor", "x"], {}, ["--processor", "--model"]),
        (["--processor", "x", "--model", "none"], {}, ["--processor", "--model"]),
        (["--mdel", "nano"], {}, ["--mdel", "--help"]),
        (["--mod", "nano"], {}, ["--mod"]),  # no abbreviations: a new flag must not change what an old line means
        (["--port"], {}, ["--port"]),
    ],
)
def test_what_cannot_work_is_one_sentence_that_names_the_flag(
    argv: list[str], environ: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        Settings.from_args(argv, environ)
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and sentence.endswith(".")


def test_secrets_are_not_in_the_printed_form() -> None:
    assert "hunter2" not in repr(Settings(auth="ann:hunter2", engine_url="http://a", engine_key="hunter2"))


def test_help_names_every_flag_its_variable_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        Settings.from_args(["--help"], {})
    printed = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for flag, variable, default, _ in table():
        assert flag in printed and variable in printed
        assert not default or default == "off" or f"{variable}, default {default}" in printed


def test_a_command_can_take_some_of_the_flags_only() -> None:
    parser = SettingsParser(prog="x")
    add_flags(parser, ["model", "max_pixels"])
    given = parser.parse_args(["--max-pixels", "10000"])
    assert vars(given) == {"model": None, "max_pixels": 10000}
    assert Settings.from_namespace(given, {"QWEN2VL_MODEL": "dir"}) == Settings(model="dir", max_pixels=10000)
    with pytest.raises(UserError, match="--port"):
        parser.parse_args(["--port", "1"])
