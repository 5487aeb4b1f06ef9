import json

import numpy as np
import pytest
import torch

from ella import Ella, tiny
from tests.helpers import GOLDEN


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny networks gain nothing from a second thread, and lose much where it must wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden():
    """Golden files by name: JSON as it is, arrays as a dict."""

    def read(name):
        path = GOLDEN / "ella" / name
        if path.suffix == ".json":
            return json.loads(path.read_text())
        with np.load(path) as arrays:
            return dict(arrays)

    return read


@pytest.fixture
def pipeline():
    return tiny.tiny_pipeline()


@pytest.fixture(scope="session")
def connector():
    return tiny.tiny_connector()


@pytest.fixture(scope="session")
def text_encoder():
    return tiny.tiny_text_encoder()


@pytest.fixture(scope="session")
def ella(connector, text_encoder):
    return Ella(connector, text_encoder)


@pytest.fixture
def watch():
    """Record what a network is shown: a list that fills with (timestep, encoder_hidden_states)."""
    handles = []

    def start(network):
        seen = []

        def record(_module, args, kwargs):
            seen.append((float(args[1]), kwargs["encoder_hidden_states"].clone()))

        handles.append(network.register_forward_pre_hook(record, with_kwargs=True))
        return seen

    yield start
    for handle in handles:
        handle.remove()


@pytest.fixture
def seeded():
    return lambda *seeds: [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def expected_tokens(ella):
    """Straight from the connector, without anything of ella.pipeline: [neg..., pos...] at t."""

    @torch.no_grad()
    def tokens(timestep, texts, length="fixed"):
        features = ella.text_encoder.encode(texts, length)
        return torch.cat([ella.connector(feature[None], timestep) for feature in features])

    return tokens
