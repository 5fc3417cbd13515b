"""Arithmetic on formats: what a dot product is when products are exact and the sum is what hardware makes of it.

Accumulators and orders are descriptions (accumulate.py); `matmul` runs them (reference.py says what they mean).

    nf.matmul(a, b, a_format="e4m3fn", b_format="e4m3fn", accumulator=nf.FloatChain("float16"))
"""
