"""mPLUG-large for visual question answering, the judge of DPG-Bench, in PyTorch alone.

`load_mplug` gives the judge of a folder in ModelScope's layout. What is listed in `__all__` is
public; the modules beside this one are not. Nothing here imports the rest of `dpgbench`.
"""

from dpgbench.mplug.checkpoint import file_hashes
from dpgbench.mplug.config import MplugConfig, SearchRules
from dpgbench.mplug.errors import CheckpointError
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.processing import MplugProcessor
from dpgbench.mplug.tiny import write_tiny_checkpoint
from dpgbench.mplug.vqa import MplugVqa, VqaAnswer, load_mplug

__all__ = [
    "CheckpointError",
    "Mplug",
    "MplugConfig",
    "MplugProcessor",
    "MplugVqa",
    "SearchRules",
    "VqaAnswer",
    "file_hashes",
    "load_mplug",
    "write_tiny_checkpoint",
]
