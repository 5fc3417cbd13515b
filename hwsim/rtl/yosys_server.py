"""A process that has yosys loaded and runs each job in a fork of itself. Run as a script; not imported.

A fork a job, because yosys ends its process at the first error, and because it numbers what it creates: a second
design in the same process would get other names, hence other orders, than in a fresh one.

Lines on standard input: {"folder": path, "commands": [...], "seconds": limit}; each is answered by one line on standard
output {"status": exit code}. A job runs in its folder and leaves there log.txt (all that yosys prints) and errors.txt.
"""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    try:
        from pyosys import libyosys
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return 1
    print(json.dumps({"version": libyosys.yosys_maybe_version()}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(libyosys, job)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), file=answers, flush=True)
    return 0


def _run(libyosys: object, job: dict[str, object]) -> None:
    """The child: never returns."""
    status = 1
    try:
        signal.alarm(int(str(job["seconds"])))  # its default action ends the process: status -SIGALRM
        folder = Path(str(job["folder"]))
        os.chdir(folder)
        os.environ["TMPDIR"] = str(folder)
        os.dup2(os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
        os.dup2(os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
        design = libyosys.Design()  # type: ignore[attr-defined]
        commands = job["commands"]
        assert isinstance(commands, list)
        for command in commands:
            libyosys.run_pass(command, design)  # type: ignore[attr-defined]
        status = 0
    except BaseException as error:
        os.write(2, f"ERROR: {error}\n".encode())
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
