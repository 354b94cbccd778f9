"""Opening pictures, PDFs and videos: identified by content, within limits, without network access.

Whatever is wrong with a file is raised as a `UserError` of one sentence that names the file. Decoded pixels are RGB,
uint8. To add a format, see `IMAGE_ENDINGS` and `VIDEO_ENDINGS` in `file_type.py`.
"""

from qwen2vl_demo.media.documents import open_document
from qwen2vl_demo.media.file_type import ENDINGS, FileType, Kind, identify_file, kind_of
from qwen2vl_demo.media.images import notices, open_image, original_size
from qwen2vl_demo.media.pages import FIRST_PAGES, Document, PageChoice, first_pages_only, page_name
from qwen2vl_demo.media.pdf import open_pdf
from qwen2vl_demo.media.source import DEFAULT_LIMITS, MediaLimits, Source
from qwen2vl_demo.media.thumbnail import image_thumbnail
from qwen2vl_demo.media.time_range import WHOLE_CLIP, TimeRange
from qwen2vl_demo.media.video import Clip, read_video

__all__ = [
    "DEFAULT_LIMITS",
    "ENDINGS",
    "FIRST_PAGES",
    "WHOLE_CLIP",
    "Clip",
    "Document",
    "FileType",
    "Kind",
    "MediaLimits",
    "PageChoice",
    "Source",
    "TimeRange",
    "first_pages_only",
    "identify_file",
    "image_thumbnail",
    "kind_of",
    "notices",
    "open_document",
    "open_image",
    "open_pdf",
    "original_size",
    "page_name",
    "read_video",
]
