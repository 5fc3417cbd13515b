"""The library's functions in the gate simulator give what the energy simulation gives."""

import random

import numpy as np
import pytest

from hwsim.liberty.energy import energy_per_cycle
from hwsim.liberty.models import functions
from hwsim.rtl.gates import GateSimulator
from tests.hwsim.liberty import tiny
from tests.hwsim.liberty.test_energy import random_circuit


def test_usable_cells_have_a_model() -> None:
    models = functions(tiny.library())
    assert set(models) == {"INV", "BUF", "NAND", "NAND_X2", "XOR", "DFF", "TIE1"}
    assert models["NAND"].outputs == {"Y": "(A B)'"}
    flip_flop = models["DFF"].flip_flop
    assert flip_flop is not None
    assert (flip_flop.next_state, flip_flop.state, flip_flop.clear, flip_flop.preset) == ("D", "IQ", "!R", "0")


@pytest.mark.parametrize("seed", range(4))
def test_both_simulators_see_the_same_outputs(seed: int) -> None:
    rng = random.Random(100 + seed)
    circuit = random_circuit(rng, 30, 1 + seed)
    values = [rng.randrange(16) for _ in range(30)]
    found = energy_per_cycle(circuit, tiny.library(), {"a": values})
    gates = GateSimulator(circuit, functions(tiny.library()))
    # The energy simulation settles the first vector, and the register keeps 0 until the edge after it.
    expected = gates.run({"a": np.array(values)[:, None]})
    for port, bits in found.outputs.items():
        packed = bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))
        assert (packed == expected[port][:, 0]).all(), port
