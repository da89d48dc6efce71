import base64
import gzip
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def unpack() -> Callable[[dict[str, list[Any]], str], dict[str, np.ndarray]]:
    """What reads the arrays of a page, written apart from what packs them."""

    def unpacked(directory: dict[str, list[Any]], packed: str) -> dict[str, np.ndarray]:
        raw = gzip.decompress(base64.b64decode(packed))
        arrays = {}
        for name, (kind, at, n) in directory.items():
            size = int(kind[1])
            data = raw[at : at + n * size]
            if kind[0] == "u":
                steps = [sum(data[k * n + i] << (8 * k) for k in range(size)) for i in range(n)]
                total, values = 0, []
                for step in steps:
                    total = (total + step) % (1 << (8 * size))
                    values.append(total)
                arrays[name] = np.array(values, dtype=np.int64)
            else:
                arrays[name] = np.frombuffer(data, dtype=f"<{kind}")
        return arrays

    return unpacked
