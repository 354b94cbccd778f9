"""Reading data: URLs (RFC 2397), which hold a file in the address itself."""

from __future__ import annotations

import base64
import binascii
import os
from urllib.parse import unquote_to_bytes

from qwen2vl_demo.errors import UserError


def data_url_content(url: str) -> bytes:
    """The content, which may be in base64 or percent-encoded. Raises UserError."""
    head, comma, content = url.partition(",")
    if not comma:
        raise UserError("A data: address needs a comma before its content, as in data:image/png;base64,iVBORw...")
    data = unquote_to_bytes(os.fsencode(content))
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(b"".join(data.split()) + b"==")
    except binascii.Error:
        raise UserError("The data: address says base64, but its content is not; copy it again.") from None
