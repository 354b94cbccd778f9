"""The index of a checkpoint in several files."""

import pytest

from qwen2vl_demo.checkpoint.weight_files import weight_files
from qwen2vl_demo.errors import UserError


@pytest.mark.parametrize("content", ["[]", "null", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{"])
def test_a_broken_index_is_named(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        weight_files(tmp_path)
