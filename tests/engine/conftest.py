"""A Ray cluster of two machines that are simulated on this one, for all tests of a module."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

VARIABLES = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines, each with room for two workers; its `address` is for ``--address``."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(VARIABLES)
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": 2**27},
    )
    made.add_node(num_cpus=2, object_store_memory=2**27)
    yield made
    with warnings.catch_warnings():  # of Ray: it does not wait for the processes that it ends
        warnings.simplefilter("ignore", ResourceWarning)
        made.shutdown()
        del made
        gc.collect()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
