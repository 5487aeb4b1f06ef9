import subprocess
import sys
from pathlib import Path

import pytest

import ella


def test_every_public_name_is_there_and_documented():
    for name in ella.__all__:
        assert getattr(ella, name).__doc__ or name == "Length"
    assert sorted(ella.__all__) == ella.__all__
    assert set(ella.__all__) <= set(dir(ella))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ella' has no attribute 'EllaXL'"):
        _ = ella.EllaXL


def test_importing_ella_alone_imports_nothing_heavy():
    code = "import sys, ella; print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(ella.__file__).parents[1],
    )
    assert run.stdout.strip() == "set()"
