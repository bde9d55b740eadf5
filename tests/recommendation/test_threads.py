"""The number of threads, on which the last bits of a fit would depend."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_PROGRAM = """
import json, threadpoolctl
import muniment_recommendation.fitting.fit
with threadpoolctl.threadpool_limits(1):
    from muniment_recommendation.models import als, ease, item_knn, text, transitions
    print(json.dumps([pool["num_threads"] for pool in threadpoolctl.threadpool_info()]))
"""


def test_no_family_loads_a_library_with_more_threads_than_the_limit() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "2"}  # the tests set it to 1
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )

    threads = json.loads(result.stdout)

    assert len(threads) >= 2  # the libraries of numpy and of scipy
    assert set(threads) == {1}
