"""Processing elements of the papers, as compositions of the leaves. One file a PE or a family of them.

What the units of a row of the array share is an "edge" module with registers of its own; the rest is the "cell".
"""
