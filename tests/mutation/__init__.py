"""Does the suite notice? Defects put into the formats one at a time, each to be failed by a test.

`python -m tests.mutation` runs them and writes tests/mutation/results.csv; `--list` and `--only NAME` as they say.
The defects are data: tests/mutation/defects.py.
"""
