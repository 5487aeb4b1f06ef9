"""Files of tensors with facts beside them, and the hash that tells networks apart."""

from __future__ import annotations

import hashlib
import json
import struct

import torch
from safetensors import safe_open
from torch import nn

from ella.files import module_hash, write_tensors


def test_tensors_and_facts_come_back_from_a_folder_that_was_not_there(tmp_path):
    file = tmp_path / "a" / "b" / "t.safetensors"
    for value in (1.0, 2.0):  # the second takes the place of the first
        tensors = {"t": torch.full((2, 3), value).T}
        write_tensors(file, tensors, {"step": 3, "about": "x"})
        with safe_open(file, "pt") as opened:
            assert torch.equal(opened.get_tensor("t"), tensors["t"])
            assert opened.metadata() == {"ella": json.dumps({"about": "x", "step": 3})}
    assert list(file.parent.iterdir()) == [file]


def test_a_networks_hash_is_of_names_types_shapes_and_values():
    """By hand: runs that were begun are continued only with the networks of this very hash."""
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, -2.0]]))
        network.bias.fill_(0.5)
    said = b"bias torch.float32 (1,)\n" + struct.pack("<f", 0.5)
    said += b"weight torch.float32 (1, 2)\n" + struct.pack("<2f", 1, -2)
    assert module_hash(network) == hashlib.sha256(said).hexdigest()[:32]
    assert module_hash(network.half()) != hashlib.sha256(said).hexdigest()[:32]
