"""The bench: rows and table, both sides on one set of weights, and the work that reuse saves.

Times depend on the load of the machine, the number of computed tokens does not, so tests of reuse count tokens.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qwen2vl_demo.bench import answers, models, run
from qwen2vl_demo.bench.first_update import CHROMIUM
from qwen2vl_demo.bench.measure import HEADER, BenchRow, Series, alternate, table
from qwen2vl_demo.cli import main
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.patches import patchify

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return models.random_model("small", CPU, torch.float32)


@pytest.fixture
def engine(model):
    """One that has computed nothing yet."""
    return models.engine_of(model)


def work(engine, monkeypatch, messages):
    """(patches encoded, tokens read by the language model) until the first token of an answer."""
    done = {"patches": 0, "tokens": 0}
    encode, read = engine.model.encode, type(engine.model.model).forward

    def encoding(patches, *rest):
        done["patches"] += len(patches)
        return encode(patches, *rest)

    def reading(self, embeddings, *rest, **named):
        done["tokens"] += embeddings.shape[1]
        return read(self, embeddings, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(engine.model, "encode", encoding)
        patched.setattr(type(engine.model.model), "forward", reading)
        result = models.our_answer(engine, messages, 1)
    return done["patches"], done["tokens"], result.prompt_tokens


def test_both_sides_choose_the_same_tokens_on_the_same_tensors(model, engine):
    peer = models.transformers_of(model)
    ours, theirs = model.model.embed_tokens.weight, peer.model.language_model.embed_tokens.weight
    assert ours.data_ptr() == theirs.data_ptr(), "the weights are held twice"
    messages = answers.second_turn(models.picture(0, (112, 140)))
    inputs = models.peer_inputs(engine, messages)
    (medium,) = engine.prompt(messages, GenerationOptions()).media
    inputs["pixel_values"] = patchify(medium.frames, model.config.vision, engine.processor.image)
    expected = models.peer_answer(peer, inputs, 6).tokens
    assert models.our_tokens(engine, messages, 6) == expected
    assert len(set(expected)) > 1


def test_a_second_turn_computes_a_tenth_of_the_first_one(engine, monkeypatch):
    """448x448 is 1024 patches and 256 merged tokens, of a prompt of about 300; the follow-up adds about 30 tokens."""
    image = models.picture(5, (448, 448))
    patches, tokens, length = work(engine, monkeypatch, answers.first_turn(image))
    assert (patches, tokens) == (1024, length)
    again, new, longer = work(engine, monkeypatch, answers.second_turn(image))
    assert (again, new) == (0, longer - length), "only what stands behind the first prompt is read"
    assert new * 5 < tokens


def test_with_another_system_prompt_the_picture_is_not_encoded_again_but_all_is_read(engine, monkeypatch):
    image = models.picture(6, (448, 448))
    work(engine, monkeypatch, answers.first_turn(image))
    patches, tokens, length = work(engine, monkeypatch, answers.second_turn(image, "Answer in one word."))
    assert patches == 0
    assert 0.9 * length < tokens <= length


def test_turns_read_about_as_much_each_however_long_the_chat_has_become(engine, monkeypatch):
    from qwen2vl_demo.processing.messages import Message

    messages, read = answers.first_turn(models.picture(7, (280, 280))), []
    for _ in range(5):
        read.append(work(engine, monkeypatch, messages)[1])
        messages = [*messages, Message("assistant", "A red circle."), Message("user", "And what else is there?")]
    assert max(read[1:]) == min(read[1:]) < read[0] / 3


def test_a_shape_has_the_size_it_is_called_by():
    """2.2 and 8.3 billion, as the released checkpoints, counted without making them."""
    from qwen2vl_demo.model.qwen2vl import Qwen2VL

    for shape, billions in (("2b", 2.21), ("7b", 8.29)):
        with torch.device("meta"):
            count = sum(p.numel() for p in Qwen2VL(models.shape_config(shape)).parameters())
        assert count / 1e9 == pytest.approx(billions, abs=0.01)


def test_a_ratio_is_how_many_times_better_whatever_the_unit():
    def row(unit, ours, peer):
        return BenchRow("x", Series((ours,)), Series((peer,)) if peer else None, 2.0, unit, "somebody", "equal")

    assert row("s", 1.0, 3.0).ratio == 3 and row("tokens/s", 30.0, 10.0).ratio == 3
    assert row("s", 1.0, 3.0).reached and not row("tokens/s", 10.0, 10.0).reached
    assert row("ms", 1.0, None).ratio is None and row("ms", 1.0, None).reached and not row("ms", 3.0, None).reached


def test_sides_alternate_after_one_run_each_that_is_not_timed():
    ran = []
    times = alternate(3, lambda: ran.append("ours"), lambda: ran.append("peer"))
    assert ran == ["ours", "peer"] * 4
    assert [len(series.values) for series in times] == [3, 3]


@pytest.mark.slow
def test_the_command_prints_the_rows_named(capsys):
    """A real run on the small shape. Its numbers are checked for presence, not for speed."""
    rows = ["turn1_448", "turn2_prefix", "decode_int8"]
    assert main(["bench", "--shape", "small", "--rounds", "1", "--json", "--rows", ",".join(rows)]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert "load average" in record["machine"]
    assert sorted(row["row"] for row in record["rows"]) == sorted(rows)
    for row in record["rows"]:
        assert {"row", "ours", "peer", "ratio", "goal", "unit", "rounds"} <= row.keys()
        assert row["ours"] > 0 and row["peer"] > 0 and row["rounds"] == 1
        assert "greedy tokens" in row["check"]
    assert HEADER in err and table(record["rows"]).splitlines()[-1] in err


@pytest.mark.slow
def test_our_side_alone_needs_no_transformers_and_has_no_goal(capsys, monkeypatch):
    """What a GPU runs, here on a CPU: the step is not captured, the picture is smaller and the context shorter."""
    monkeypatch.setattr(models, "transformers_of", None)
    rows = ["load", "capture", "picture_large", "decode_long", "turn1_448"]
    argv = ["bench", "--shape", "small", "--rounds", "1", "--json", "--no-peer", "--rows", ",".join(rows)]
    assert main(argv) == 0
    found = {row["row"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert set(found) == set(rows)
    assert all(row["ours"] > 0 and row["goal"] is row["peer"] is row["ratio"] is None for row in found.values())
    assert "not captured" in found["capture"]["check"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["--rows", "turn3"], "turn3"), (["--rounds", "0"], "--rounds"), (["--device", "cuda"], "no device cuda")],
)
def test_what_cannot_be_measured_is_one_sentence(argv, words, capsys):
    if "cuda" in argv and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["bench", *argv]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("device", sorted(answers.DECODE_GOALS))
def test_every_goal_of_decoding_is_a_row(device):
    assert sorted(run.DECODE) == sorted(f"decode_{kind}" for kind in answers.DECODE_GOALS[device])


def test_every_row_is_measured_once(monkeypatch):
    """A name that no job has would be accepted and never measured; nothing is measured here."""
    made = []
    for room, job in [
        (run.devices, "alone"),
        *((run.answers, name) for name in ("host", "decode", "turns")),
        *((run.media, name) for name in ("preprocess", "video")),
        *((run, name) for name in ("_page", "_panel", "_long_chat")),
    ]:
        monkeypatch.setattr(room, job, lambda *arguments, job=job: iter(made.append(job) or ()))
    monkeypatch.setattr(run.gc, "collect", lambda: 0)
    assert len(run.ROWS) == len(set(run.ROWS))
    for row in run.ROWS:
        made.clear()
        assert list(run.measured([row], "small", CPU, 1)) == [] and len(made) == 1, row


@pytest.mark.slow
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium")
def test_the_panel_of_a_large_photograph_travels_small_and_pointing_asks_nothing():
    """A true run in a process of its own (this one may hold another browser). The bytes are those on the wire, whatever
    the machine does beside it; the run itself fails if pointing makes a request."""
    command = [sys.executable, "-m", "qwen2vl_demo", "bench", "--rounds", "1", "--json", "--rows", "panel_bytes"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)["rows"]
    assert row["unit"] == "kB" and 50 < row["ours"] <= row["goal"] == 500
    assert row["check"] == "1 photograph, 3136 tokens each, no request while pointing"
