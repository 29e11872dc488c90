"""What a launcher such as ``torchrun`` tells the process of each rank."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

RUN_ID = "windtunnel"


def of_rank(rank: int, ranks: int, local_ranks: int) -> dict[str, str]:
    """The environment of one of ``ranks`` processes, ``local_ranks`` on each host."""
    local, host = rank % local_ranks, rank // local_ranks
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(local_ranks),
        "GROUP_RANK": str(host),
        "GROUP_WORLD_SIZE": str(-(-ranks // local_ranks)),
        "ROLE_RANK": str(rank),
        "ROLE_WORLD_SIZE": str(ranks),
        "ROLE_NAME": "default",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": RUN_ID,
        # what waits for other processes would wait for ever
        "TORCH_DIST_INIT_BARRIER": "0",
    }


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set in this process's environment while entered."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
