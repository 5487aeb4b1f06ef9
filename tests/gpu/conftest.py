"""The device of the golden values: a GPU where there is one, without TF32."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module")
def device() -> Iterator[str]:
    name = "cuda" if torch.cuda.is_available() else "cpu"
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield name
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
