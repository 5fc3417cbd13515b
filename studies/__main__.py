"""`python -m studies list | NAME [--out DIR] [--redraw DIR]`: lists the studies, runs one, or redraws its figures.

A study is a module studies/NAME.py that assigns a string to `QUESTION`. It defines `run(out, args)`, which writes its
table NAME.csv and its figures into the folder `out`; `draw(csv_path, out)`, which makes the figures from that table
alone; and, if it has options of its own, `add_arguments(parser)`. Listing reads the source and imports no study.
"""

import argparse
import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

STUDIES_FOLDER = Path(__file__).parent
USAGE = "python -m studies list | NAME [--out DIR] [--redraw DIR] [options of the study]"


def read_question(path: Path) -> str | None:
    """The string that the module at `path` assigns to QUESTION at its top level; None where it does not."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        if "QUESTION" in names and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return node.value.value
    return None


def find_studies(folder: Path = STUDIES_FOLDER) -> dict[str, str]:
    """Name -> question of every study in `folder`, by name; nothing is imported."""
    questions = {path.stem: read_question(path) for path in sorted(folder.glob("*.py"))}
    return {name: question for name, question in questions.items() if question is not None}


def list_text(studies: dict[str, str]) -> str:
    """The studies as `list` prints them: a line each, the name and the question."""
    if not studies:
        return f"no studies in {STUDIES_FOLDER}"
    width = max(map(len, studies))
    return "\n".join(f"{name:<{width}}  {question}" for name, question in studies.items())


def unknown_study_text(name: str, studies: dict[str, str]) -> str:
    """What to say when `name` is no study: near names, and how to see them all."""
    near = difflib.get_close_matches(name, studies, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(studies) or 'none'}."
    return f"no study named {name!r}; {hint} `python -m studies list` says what each one asks"


def run_study(name: str, question: str, arguments: Sequence[str]) -> None:
    """Import study `name`, parse its options from `arguments`, and run it or redraw it.

    Raises SystemExit with status 2 for wrong options and where --redraw finds no NAME.csv, and ImportError where a
    package of an extra is not installed.
    """
    module = importlib.import_module(f"studies.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m studies {name}", description=question)
    parser.add_argument("--out", type=Path, help=f"folder for the table and figures (default: {Path('out') / name})")
    parser.add_argument("--redraw", type=Path, metavar="DIR", help=f"only redraw the figures, from DIR/{name}.csv")
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    args = parser.parse_args(arguments)
    out: Path = args.out or args.redraw or Path("out") / name
    if args.redraw is None:
        out.mkdir(parents=True, exist_ok=True)
        module.run(out, args)
        return
    if not hasattr(module, "draw"):
        parser.error(f"--redraw: study {name} draws no figures")
    csv_path = args.redraw / f"{name}.csv"
    if not csv_path.is_file():
        parser.error(f"--redraw {args.redraw}: there is no table {csv_path}; run `python -m studies {name}` first")
    out.mkdir(parents=True, exist_ok=True)
    module.draw(csv_path, out)


def main(arguments: Sequence[str]) -> int:
    """Run the command line `arguments` (without the program's name); the exit status."""
    studies = find_studies()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {USAGE}\n\n{list_text(studies)}")
        return 0
    name, *rest = arguments
    if name == "list":
        if rest:
            print(f"list takes no arguments, got {' '.join(rest)}; usage: {USAGE}", file=sys.stderr)
            return 2
        print(list_text(studies))
        return 0
    if name not in studies:
        print(unknown_study_text(name, studies), file=sys.stderr)
        return 2
    try:
        run_study(name, studies[name], rest)
    except ImportError as error:
        if "bitcost[" not in str(error):
            raise  # not a missing extra: the traceback is wanted
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
