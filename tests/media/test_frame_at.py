"""One frame of a clip, by its time."""

from pathlib import Path

import av
import numpy as np
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.frame_at import frame_at


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of 64x96 px at 2 frames a second, frame n of brightness 30 n."""
    path = tmp_path_factory.mktemp("clips") / "brighter.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 30 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("seconds", "number"), [(0, 0), (1.6, 3), (1.8, 4), (3.5, 7), (99, 7), (-1, 0)])
def test_the_frame_nearest_to_a_time_is_read(clip: Path, seconds: float, number: int) -> None:
    frame = frame_at(clip, seconds, 1600)
    assert frame.shape == (64, 96, 3)
    assert abs(float(frame.mean()) - 30 * number) < 6


def test_it_is_reduced(clip: Path) -> None:
    assert frame_at(clip, 0, 48).shape == (32, 48, 3)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("words")
    with pytest.raises(UserError):
        frame_at(tmp_path / "words.mp4", 0, 100)
