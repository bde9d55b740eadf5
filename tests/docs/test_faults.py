"""Every fault that `tests/faults.py` seeds fits its file, which a change of the line can break."""

from __future__ import annotations

import pytest

from faults import FAULTS, Fault, misfit


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_its_file(fault: Fault) -> None:
    assert misfit(fault) is None
