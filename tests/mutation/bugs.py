"""Classes of bugs: those on record in other libraries, and those this code invites."""

from __future__ import annotations

TIE = "tie at an edge"  # of a binade, of the subnormals, of formats without trailing bits
STICKY = "sticky bits lost"
CLAMP = "clamp before rounding"
TOP = "top of the range"  # of formats whose top binade holds numbers
SIGN = "sign of zero or NaN"
LOG = "logarithm in floats"
DOUBLE = "double rounding"
NAN = "NaN through a clamp"
RECIPROCAL = "reciprocal or quotient"  # one where the other is meant
OWNER = "owner of a tie"
INDEX = "index off by one"
ORDER = "order of bits and bytes"
RANDOM = "random bits"
POLICY = "overflow policy"
E8M0 = "ends of E8M0"
ZERO = "zero block"
PLACE = "blocks, tiles, padding"
SUBNORMAL = "subnormal input"
SEED = "seed and place"
GRADIENT = "where gradients stop"

OF_RECORD = (TIE, STICKY, CLAMP, TOP, SIGN, LOG, DOUBLE, NAN, RECIPROCAL)
