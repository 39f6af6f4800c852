"""A peer: one library in a process of its own, which does work when it is told to, and says how long it took.

    python -m benchmarks.peer numpy_peer 2         on two cores: reads a request (a line of JSON) from stdin, answers, and so on

Processes of their own, since the idle threads of one library would disturb another. Whoever wants to compare libraries starts one
`Peer` each, prepares the same workload in all of them, has them agree on its result, and lets them work in turn.
"""

import importlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAUSE = 0.05  # seconds between two bursts, in which the threads of the last one go to sleep
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class PeerError(RuntimeError):
    """A peer ended, or refused a request; the message holds what it wrote."""


class NotInstalled(PeerError):
    """The peer's library is not there."""


class Peer:
    """The parent's side.

    name: a module of benchmarks/peers, or the dotted name of one elsewhere; cores: how many it may use; threads of its library:
    as many, unless told otherwise; kernels: OPENBLAS_CORETYPE, None for OpenBLAS' own choice."""

    def __init__(self, name, cores=2, kernels=None, threads=None):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115    closed in close()
        command = [sys.executable, "-m", "benchmarks.peer", name, str(cores)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(threads or cores, kernels), text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip

    def ask(self, **request):
        """-> the answer.  Raises NotInstalled, PeerError."""
        time.sleep(PAUSE)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; what it answered at its start can still be read
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"the peer {self.name} ended\n{self._written()}"}
        if "missing" in answer:
            raise NotInstalled(f"{answer['missing']} is not installed: pip install '.[bench]'")
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer

    def prepare(self, workload, **arguments):
        """Have `workload` ready, under its own name -> what it computes (plain data), for the comparison with others."""
        return self.ask(do="prepare", workload=workload, arguments=arguments)["result"]

    def burst(self, workload, seconds=0.3):
        """Work for about so long, warmed -> seconds a call."""
        return self.ask(do="burst", workload=workload, seconds=seconds)["seconds"]

    def memory(self):
        """Peak memory of the process so far, in megabytes."""
        return self.ask(do="memory")["megabytes"]

    def versions(self):
        """Name -> version of what the peer stands on."""
        return self.ask(do="versions")["versions"]

    def _written(self):
        """The end of what it wrote to stderr, once it has ended."""
        self.process.wait()
        self.errors.seek(0)
        return self.errors.read()[-2000:]

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def environment(threads, kernels=None):
    """The environment of a peer with so many threads, and OpenBLAS kernels of that name."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    env.pop("OPENBLAS_CORETYPE", None)
    return {**env, "OPENBLAS_CORETYPE": kernels} if kernels else env


def restrict(cores):
    """Keep this process to the first so many cores, where the system can do that (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


# --- the child's side ------------------------------------------------------------------------------------------------------------


class Workload:
    """Something to do: run(n) does it n times; `result` is what it computes, for the comparison with others."""

    def __init__(self, run, result=None):
        self.run, self.result = run, result

    def burst(self, seconds):
        """-> seconds a call, over about so many seconds; warmed first. A call that is longer is measured alone, and not warmed."""
        calls, elapsed = 1, self._timed(1)
        if elapsed >= seconds:
            return elapsed
        while elapsed < seconds / 10:
            calls *= 2
            elapsed = self._timed(calls)
        calls = max(1, round(seconds * calls / elapsed))
        return self._timed(calls) / calls

    def _timed(self, calls):
        start = time.perf_counter()
        self.run(calls)
        return time.perf_counter() - start


def repeated(f):
    """A function run(n) that calls f n times."""

    def run(n):
        for _ in range(n):
            f()

    return run


def serve(name, requests, answer):
    """Answer request after request."""
    name = name if "." in name else f"benchmarks.peers.{name}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.startswith(error.name):
            raise  # there is no such peer
        return answer({"missing": error.name})
    ready = {}
    for line in requests:
        request = json.loads(line)
        match request["do"]:
            case "prepare":
                workload = module.WORKLOADS[request["workload"]](**request["arguments"])
                ready[request["workload"]] = workload
                answer({"result": workload.result})
            case "burst":
                answer({"seconds": ready[request["workload"]].burst(request["seconds"])})
            case "memory":
                answer({"megabytes": peak_megabytes()})
            case "versions":
                answer({"versions": module.versions()})


def peak_megabytes():
    """The peak memory of this process. Linux counts what the parent held into ru_maxrss; VmHWM starts afresh with the program."""
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else kilobytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main():
    """What the child does. Its stdout is kept for the answers; whatever a library prints goes to stderr."""
    name, cores = sys.argv[1:]
    restrict(int(cores))  # before any library counts them
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def answer(content):
            answers.write(json.dumps(content) + "\n")
            answers.flush()

        serve(name, sys.stdin, answer)


if __name__ == "__main__":
    main()
