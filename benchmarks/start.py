"""What a user waits for before anything happens: importing npvae, its help, its demonstration, beside what others need to start."""

import subprocess
import sys
import tempfile

from benchmarks.compare import quartiles, ratio
from benchmarks.peer import NotInstalled, PeerError, environment, restrict
from benchmarks.tables import bars, figures, markdown
from benchmarks.turns import quiet_turns

TITLE = "Start"
NOTE = (
    "Whole processes from start to end, files warm in the system's cache, medians with quartiles, and how many times "
    "`import numpy` that is within one turn. Memory is the peak of the process. The demonstration loads the bundled digits, trains "
    "120 epochs, writes model and pictures."
)
REFERENCE = "import numpy"
DEMO = "npvae demo"
HELP = "npvae --help"
HELP_LIMIT = 0.3  # seconds
COMMANDS = {  # what comes after `python`
    "import npvae": ["-c", "import npvae"],
    HELP: ["-m", "npvae", "--help"],
    DEMO: ["-m", "npvae", "demo", "--quiet"],  # into the folder that it is started in
    "python -c pass": ["-c", "pass"],
    REFERENCE: ["-c", "import numpy"],
    "import torch": ["-c", "import torch"],
    "import jax": ["-c", "import jax"],
}
OTHERS = ("torch", "jax")

# Starts a process, waits, writes its seconds, peak memory and exit code. A process of its own and a small one: Linux counts the
# memory of whoever starts a process as the started one's, up to the moment at which the new program takes over.
LAUNCHER = """
import os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - start, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
MAXRSS = 2**20 if sys.platform == "darwin" else 2**10  # units of ru_maxrss in a megabyte


def measure(options):
    """-> {"times": {label: [seconds, ...]}, "megabytes": {label: [...]}, "missing": {label: why}}; all take turns."""
    names = [name for name in COMMANDS if not (options.own and name.split()[-1] in OTHERS)]
    missing = {}

    def turn():
        found = {}
        for name in [name for name in names if name not in missing]:
            try:
                found[name] = run(COMMANDS[name], options)
            except NotInstalled as error:
                missing[name] = str(error)
        return found

    options.say(f"{options.repeats} turns")
    turns, steal = quiet_turns(turn, options.repeats, options.cores)  # the first, uncounted, fills the system's cache
    there = [name for name in names if name not in missing]
    return {
        "times": {name: [turn[name][0] for turn in turns] for name in there},
        "megabytes": {name: [turn[name][1] for turn in turns] for name in there},
        "missing": missing,
        "steal": steal,
    }


def run(command, options):
    """python with these arguments, in an empty folder -> seconds, peak megabytes.  Raises NotInstalled, PeerError."""
    env = environment(options.cores, options.kernels)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # a program that was installed is compiled; where this is set, ours never would be
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, sys.executable, *command], cwd=folder, text=True, capture_output=True,
            env=env, preexec_fn=lambda: restrict(options.cores),
        )  # fmt: skip
    if done.returncode != 0:
        raise PeerError(f"python {' '.join(command)} could not be started:\n{done.stderr[-2000:]}")
    seconds, peak, code = done.stdout.split()
    if int(code) != 0:
        absent = [name for name in OTHERS if f"No module named '{name}'" in done.stderr]
        if absent:
            raise NotInstalled(f"{absent[0]} is not installed: pip install '.[bench]'")
        raise PeerError(f"python {' '.join(command)} ended with exit code {code}:\n{done.stderr[-2000:]}")
    return float(seconds), int(peak) / MAXRSS


def table(data):
    """Markdown."""
    times = data["times"]
    rows = []
    for name in times:
        milliseconds = spread([figures(q) for q in scaled(times[name], 1e3)])
        of_numpy = spread([figures(q) for q in ratio(times, name, REFERENCE)]) if name != REFERENCE else "1"
        rows.append([name, milliseconds, of_numpy, figures(quartiles(data["megabytes"][name])[1])])
    notes = [f"{name}: {why}" for name, why in data["missing"].items()]
    return "\n\n".join([markdown(["", "milliseconds", f"times `{REFERENCE}`", "peak megabytes"], rows), verdict(times), *notes])


def spread(texts):
    """The median, with the quartiles in brackets."""
    low, middle, high = texts
    return f"{middle} ({low} to {high})"


def verdict(times):
    """Whether the help comes as soon as it must."""
    middle = quartiles(times[HELP])[1]
    return f"`{HELP}` within {HELP_LIMIT:g} s: {'holds' if middle <= HELP_LIMIT else '**does not hold**'} ({middle:.2f} s)."


def picture(data):
    """Bars: time, the demonstration apart since it takes so much longer; and peak memory."""
    times = {name: scaled(values, 1e3) for name, values in data["times"].items() if name != DEMO}
    groups = {"milliseconds": times, "seconds": {DEMO: scaled(data["times"][DEMO], 1)}}
    groups["peak memory, megabytes"] = {name: quartiles(values) for name, values in data["megabytes"].items()}
    return bars(groups, "")


def scaled(seconds, scale):
    """Quartiles in another unit."""
    return tuple(scale * q for q in quartiles(seconds))
