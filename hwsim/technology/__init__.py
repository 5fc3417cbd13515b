"""Technologies: what synthesis with one standard-cell library gave, and the coefficients fitted to it.

    from hwsim.technology import technology
    technology("ihp130").rows["mac_int8_int8_fixed32"].area_um2

Data, all written by `python -m hwsim.characterise` and `... .fit`: one table a library, cmos_gates.json (yosys
without a library) and coefficients.json. technologies.json says where the libraries come from; they are not shipped.
"""

from hwsim.technology.tables import Row, Technology, add_technology, technologies, technology

__all__ = ["Row", "Technology", "add_technology", "technologies", "technology"]
