"""Register-transfer level: netlists, the tools that make them, and the proof that they compute what they should."""
