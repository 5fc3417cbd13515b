"""Questions, each a script: parameters -> table on disk -> figure.

A study is a module here with a `QUESTION` and a `run(out, args)`; `draw(csv_path, out)` redraws its figures from the
table alone. `common` has tables with provenance and progress lines, `plots` the look of the figures.

    python -m studies list
    python -m studies quickstart --out out/quickstart
"""
