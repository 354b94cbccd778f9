"""Rows about media: from a picture to patches, and from a clip to sampled frames.

Peers are the two image processors of transformers (the fast one needs torchvision) and qwen-vl-utils for clips. Without
qwen-vl-utils, the peer decodes the whole clip with PyAV, and the row says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import torch

from qwen2vl_demo.bench.measure import BenchRow, Unequal, alternate
from qwen2vl_demo.bench.models import SHAPES, picture
from qwen2vl_demo.bench.packages import let_torchvision_load, needed
from qwen2vl_demo.geometry import sample_indices
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.image import ImageConfig, VisionInput, load_image, load_video
from qwen2vl_demo.processing.messages import Image, MediaOptions, Video
from qwen2vl_demo.processing.patches import patchify

VISION = SHAPES["2b"][0]
CONFIG = ImageConfig(max_pixels=1280 * 28 * 28)  # transformers' own default
FITTING = (700, 1400)  # px, multiples of 28 within the budget: not resized, only cut and normalised
RESIZED = (1080, 1920)  # px, resized to about a megapixel first
CLIP = (360, 640)  # px
RATE = 30  # frames a second


def peer_processors() -> dict[str, Any]:
    """The image processors of transformers that can be imported, by row; the fast one first."""
    transformers = needed("transformers")
    budget = {"shortest_edge": CONFIG.min_pixels, "longest_edge": CONFIG.max_pixels}
    found: dict[str, Any] = {}
    try:
        import torchvision  # noqa: F401

        found["preprocess_fast"] = transformers.Qwen2VLImageProcessor(size=budget)
    except (ImportError, RuntimeError):  # not installed, or built for another torch
        pass
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    found["preprocess_pil"] = Qwen2VLImageProcessorPil(size=budget)
    return found


def preprocess(row: str, rounds: int) -> Iterator[BenchRow]:
    """preprocess_fast or preprocess_pil, of a picture that fits or (`..._resize`) of one that must be resized first.

    Yields nothing if torchvision is missing. Ours resizes with PIL, to the same pixels as the reference.
    """
    base = row.removesuffix("_resize")
    peer = peer_processors().get(base)
    if peer is None:
        return
    size = FITTING if row == base else RESIZED
    image = picture(0, size)

    def ours() -> torch.Tensor:
        loaded = load_image(Image(image), VISION, CONFIG, MediaOptions(), MediaLimits(), "picture")
        return patchify(loaded.frames, VISION, CONFIG, once=True)

    def theirs() -> torch.Tensor:
        return peer(images=image, return_tensors="pt")["pixel_values"]

    # Ours stores a still image once, with channels last; the peer stores channels first and both slices of a patch.
    mine, other = ours().unflatten(1, (-1, 3)).mT[:, :, None], theirs().unflatten(1, (3, 2, -1))
    if mine.shape[0] != other.shape[0] or mine.shape[-1] != other.shape[-1]:
        raise Unequal(f"{row}: ours are {tuple(mine.shape)} patches and transformers' {tuple(other.shape)}.")
    most, average = float((mine - other).abs().max()), float((mine - other).abs().mean())
    # torchvision has its own bicubic filter; 1/255 of a channel is 0.015 after normalisation
    if most > 1e-5 and (row != "preprocess_fast_resize" or average > 0.002):
        raise Unequal(f"{row}: patches differ by {most:.2g} at most and {average:.2g} on average; nothing was timed.")
    mine_times, their_times = alternate(rounds, ours, theirs)
    goal = 2.0 if base == "preprocess_fast" else 3.5
    shown = f"{size[1]}x{size[0]}"
    check = f"patches differ by {most:.1e} at most, {average:.1e} on average"
    yield BenchRow(row, mine_times, their_times, goal, "s", f"transformers' {type(peer).__name__}, {shown}", check)


def video(row: str, rounds: int) -> Iterator[BenchRow]:
    """video_dense: 10 s at two frames per second. video_sparse: 16 frames of 120 s with a key frame every second."""
    dense = row == "video_dense"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, frames=(10 if dense else 120) * RATE, key_every=250 if dense else RATE)
        options = MediaOptions(fps=2.0, max_frames=768 if dense else 16)

        def ours() -> VisionInput:
            return load_video(Video(path), VISION, ImageConfig(), options, MediaLimits(), "clip")

        loaded = ours()
        name, theirs = _peer_of_clips(path, loaded)
        difference = float(np.abs(theirs().astype(np.float32) - loaded.frames).mean())
        if difference > 3:
            raise Unequal(f"{row}: frames differ by {difference:.2f} of 255 on average; nothing was timed.")
        mine, other = alternate(rounds, ours, theirs)
        check = f"{len(loaded.frames)} frames differ by {difference:.2f} of 255 on average"
        yield BenchRow(row, mine, other, 2.5 if dense else 2.0, "s", name, check)


def _peer_of_clips(path: Path, ours: VisionInput) -> tuple[str, Callable[[], np.ndarray]]:
    """The name of the peer, and a function that reads the same frames at the same size."""
    height, width = ours.resized_size
    let_torchvision_load()
    try:
        from qwen_vl_utils import vision_process
    except (ImportError, RuntimeError):
        return "all of the clip decoded by PyAV, resized by PIL", lambda: _decode_all(path, ours)
    request = {"video": str(path), "nframes": len(ours.frames), "resized_height": height, "resized_width": width}

    def fetch() -> np.ndarray:
        frames = vision_process.fetch_video(request)
        frames = frames[0] if isinstance(frames, tuple) else frames
        return frames.permute(0, 2, 3, 1).clamp(0, 255).round().byte().numpy()

    return f"qwen-vl-utils with {vision_process.get_video_reader_backend()}", fetch


def _decode_all(path: Path, ours: VisionInput) -> np.ndarray:
    height, width = ours.resized_size
    with av.open(str(path)) as box:
        frames = [frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)]
    chosen = sample_indices(len(frames), len(ours.frames))
    return np.stack(
        [
            np.asarray(PIL.Image.fromarray(frames[i]).resize((width, height), PIL.Image.Resampling.BICUBIC))
            for i in chosen.tolist()
        ]
    )


def write_clip(path: Path, *, frames: int, key_every: int) -> None:
    """A picture that moves sideways, in H.264."""
    wide = np.asarray(picture(1, (CLIP[0], CLIP[1] + 2 * RATE)))
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=Fraction(RATE), options={"preset": "ultrafast", "g": str(key_every)})
        stream.width, stream.height, stream.pix_fmt = CLIP[1], CLIP[0], "yuv420p"
        for index in range(frames):
            shift = index % (2 * RATE)
            still = np.ascontiguousarray(wide[:, shift : shift + CLIP[1]])
            for packet in stream.encode(av.VideoFrame.from_ndarray(still, format="rgb24")):
                box.mux(packet)
        for packet in stream.encode(None):
            box.mux(packet)
