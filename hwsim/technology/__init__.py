"""Technologies: what synthesis with one standard-cell library measured, and the coefficients fitted to it.

    from hwsim.technology import technology
    technology("ihp130").area_um2("mac_i8i8")     # 6620 um2 (5627..7613, tested)

Data: measured.json (synthesis), technologies.json (its provenance), coefficients.json (`python -m
    hwsim.technology.fit`).
"""

from hwsim.technology.tables import Row, Technology, technologies, technology

__all__ = ["Row", "Technology", "technologies", "technology"]
