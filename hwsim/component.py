"""Component: a named tree of primitives. Its area is exactly the sum of its leaves', in rational arithmetic.

adder = leaf("accumulate", "adder", width=32)
unit = tree("unit", adder, leaf("hold", "register", width=32))
unit.area_um2("ihp130"), unit.breakdown("ihp130")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hwsim.cost import Cost
from hwsim.primitives import Features, features
from hwsim.technology import Technology, technology
from hwsim.technology.coefficients import Quantity, coefficients


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A leaf of a tree: where it is ("pe/multiply/product"), what it is, and how many copies the whole tree has."""

    path: str
    primitive: str
    parameters: tuple[tuple[str, int], ...]
    count: int

    @property
    def features(self) -> Features:
        """The textbook gates of one copy."""
        return features(self.primitive, dict(self.parameters))


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A primitive with its parameters, or children; `count` copies side by side.

    critical: whether it lies on the longest path of its parent: delays of critical children add, the others are
        assumed to be hidden behind them. Copies work in parallel and do not add delay.
    """

    name: str
    primitive: str | None = None
    parameters: tuple[tuple[str, int], ...] = ()
    children: tuple[Component, ...] = ()
    count: int = 1
    critical: bool = True

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"Component: a name is not empty and has no '/', got {self.name!r}")
        if self.count < 0:
            raise ValueError(f"Component {self.name!r}: count must be 0 or more, got {self.count}")
        if self.primitive is not None:
            if self.children:
                raise ValueError(f"Component {self.name!r}: give a primitive or children, not both")
            features(self.primitive, dict(self.parameters))
        elif self.parameters:
            raise ValueError(f"Component {self.name!r}: parameters belong to a primitive, and none is given")

    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf once, with the copies of all its ancestors multiplied in."""
        return tuple(self._leaves("", 1))

    def _leaves(self, prefix: str, copies: int) -> Iterator[Leaf]:
        path, copies = f"{prefix}{self.name}", copies * self.count
        if self.primitive is not None:
            yield Leaf(path=path, primitive=self.primitive, parameters=self.parameters, count=copies)
        for child in self.children:
            yield from child._leaves(f"{path}/", copies)

    def times(self, count: int) -> Component:
        """`count` copies of this tree."""
        return Component(
            name=self.name,
            primitive=self.primitive,
            parameters=self.parameters,
            children=self.children,
            count=self.count * count,
            critical=self.critical,
        )

    def area_um2(self, tech: str | Technology) -> Cost:
        """Area by the structural estimate."""
        return self._cost("area", technology(tech))

    def energy_pj(self, tech: str | Technology) -> Cost:
        """Energy of one use of every leaf, by the structural estimate. Raises ValueError where there are no figures."""
        technology(tech).check_energy()
        return self._cost("energy", technology(tech))

    def delay_ns(self, tech: str | Technology) -> Cost:
        """Delay of the critical path, by the structural estimate."""
        return self._cost("delay", technology(tech))

    def breakdown(self, tech: str | Technology, quantity: Quantity = "area") -> dict[str, Cost]:
        """Area (um2) or energy (pJ) of every leaf, all copies together, by path."""
        if quantity == "delay":
            raise ValueError("breakdown: delays do not add over leaves; ask for 'area' or 'energy'")
        model = technology(tech)
        parts: dict[str, Fraction] = {}
        for leaf in self.leaves():
            parts[leaf.path] = parts.get(leaf.path, Fraction(0)) + leaf_exact(leaf, quantity, model)
        return {path: estimated(part, quantity, model) for path, part in parts.items()}

    def _cost(self, quantity: Quantity, tech: Technology) -> Cost:
        return estimated(exact(self, quantity, tech), quantity, tech)


def leaf(name: str, primitive: str, *, count: int = 1, critical: bool = True, **parameters: int) -> Component:
    """A leaf component; `parameters` are the primitive's own, checked by it."""
    ordered = tuple(sorted(parameters.items()))
    return Component(name=name, primitive=primitive, parameters=ordered, count=count, critical=critical)


def tree(name: str, *children: Component | None, count: int = 1, critical: bool = True) -> Component:
    """A component of children; None children are left out, so that a datapath can say `part if needed else None`."""
    return Component(
        name=name, children=tuple(child for child in children if child is not None), count=count, critical=critical
    )


def exact(component: Component, quantity: Quantity, tech: Technology) -> Fraction:
    """The structural estimate in um2, pJ or ns as a rational number: sums of leaves have no rounding."""
    if quantity == "delay":
        return _path(component, tech)
    return sum((leaf_exact(part, quantity, tech) for part in component.leaves()), Fraction(0))


def leaf_exact(part: Leaf, quantity: Quantity, tech: Technology) -> Fraction:
    """Area or energy of all copies of one leaf."""
    model = coefficients(tech, quantity)
    gates = part.features.gates if quantity == "area" else part.features.activity
    return part.count * gates * Fraction(model.per_family[part.features.family])


def _path(component: Component, tech: Technology) -> Fraction:
    if component.count == 0 or not component.critical:
        return Fraction(0)
    if component.primitive is not None:
        part = features(component.primitive, dict(component.parameters))
        return part.levels * Fraction(coefficients(tech, "delay").per_family[part.family])
    return sum((_path(child, tech) for child in component.children), Fraction(0))


def estimated(value: Fraction, quantity: Quantity, tech: Technology) -> Cost:
    """A structural estimate as a Cost, with the interval of designs whose whole family was kept from the fit."""
    model = coefficients(tech, quantity)
    return model.cost(value, "structural")
