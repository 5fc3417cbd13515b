"""Real models and real text for the studies: what the fidelity numbers are measured on.

corpus.py   standard-library files, listed by sha256, none of them trained on; windows of bytes and pairs of sentences
byte_lm.py  a byte-level Llama-style model of 918,656 parameters whose weights ship with the package
minilm.py   all-MiniLM-L6-v2 with its published weights, when the package that carries them is installed
scores.py   paired differences with standard errors; agreement of two sets of embeddings

    >>> from studies.workloads import corpus
    >>> corpus.load().n_bytes
    262144
"""
