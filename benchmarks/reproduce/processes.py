"""Commands side by side, as many at once as there are cores; if one fails, or all are to stop, the others keep what they have."""

import os
import subprocess
import time

POLL = 0.1  # seconds


class RunFailed(RuntimeError):
    """A run ended with an error, which it has printed itself."""


def in_processes(commands, cores):
    """Run them all.  Raises RunFailed, after the others have kept what they have."""
    waiting, working = list(commands), []  # in sessions of their own, so that a Ctrl-C reaches each once: from here
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # two processes with two threads each would wait for each other
    try:
        while waiting or working:
            while waiting and len(working) < cores:
                working.append(subprocess.Popen(waiting.pop(0), env=environment, start_new_session=True))
            time.sleep(POLL)
            for process in [p for p in working if p.poll() is not None]:
                working.remove(process)
                if process.returncode:
                    how = "with an error" if process.returncode > 0 else f"by signal {-process.returncode}"
                    raise RunFailed(f"a run ended {how}: {' '.join(process.args[1:])}")
    finally:
        for process in working:  # none, unless something went wrong
            process.terminate()
        for process in working:
            process.wait()
