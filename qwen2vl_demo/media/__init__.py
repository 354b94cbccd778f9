"""Opens what visitors send: pictures, PDFs and videos, by content, within limits, without the network.

Everything that can be wrong with a file is a `UserError` of one sentence that names the file. What comes out is
plain RGB; resizing pictures, cutting patches and counting tokens is for others.
"""

from qwen2vl_demo.media.file_type import Kind, kind_of
from qwen2vl_demo.media.images import open_image
from qwen2vl_demo.media.pdf import open_pdf
from qwen2vl_demo.media.source import MediaLimits, Source
from qwen2vl_demo.media.thumbnail import load_thumbnail
from qwen2vl_demo.media.video import Clip, read_video

__all__ = ["Clip", "Kind", "MediaLimits", "Source", "load_thumbnail", "kind_of", "open_image", "open_pdf", "read_video"]
