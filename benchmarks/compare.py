"""Who is faster: contestants work in turn, each in its process, after they have agreed on what they compute.

A machine that others use, too, drifts by half within minutes. So every contestant has a short burst in every turn, and what is
compared are the ratios within a turn: what slows the whole turn down falls out of them.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.peer import NotInstalled, Peer
from benchmarks.turns import quiet_turns
from benchmarks.workloads import disagreement

OURS = "numpy_"  # how the modules of npvae's own peers begin
TOLERANCE = 1e-4  # relative, of loss and gradient: float32, summed in other orders


class Contestant(NamedTuple):
    """module of benchmarks/peers, its workload, the workload's arguments; contestants of one `process` share it. threads: of its
    library, if not as many as cores."""

    module: str
    workload: str
    arguments: dict
    process: str | None = None
    threads: int | None = None


class Disagreement(RuntimeError):
    """Two contestants do not compute the same."""


def compare(contestants, options, seconds=0.3):
    """Label -> Contestant: let them work in turn -> {"times": {label: [seconds a call, ...]}, "memory", "missing", "steal"}.

    options: cores, repeats, kernels, own (npvae alone). The first contestant is the one that the others must agree with.
    Raises Disagreement, PeerError. Those whose library is not there are left out, and named under "missing"."""
    peers, missing, results = {}, {}, {}
    try:
        for label, (module, workload, arguments, process, threads) in contestants.items():
            if options.own and not module.startswith(OURS):
                continue
            key = process or label
            try:
                if key not in peers:
                    peers[key] = Peer(module, options.cores, options.kernels, threads)
                results[label] = peers[key].prepare(workload, **arguments)
            except NotInstalled as error:
                missing[label] = str(error)
                peers.pop(key).close()  # it has ended
        check_agreement(results)
        at_work = {label: peers[contestants[label].process or label] for label in results}

        def turn():
            return {label: peer.burst(contestants[label].workload, seconds) for label, peer in at_work.items()}

        turns, steal = quiet_turns(turn, options.repeats, options.cores)
        memory = {label: peer.memory() for label, peer in at_work.items()}
    finally:
        for peer in peers.values():
            peer.close()
    times = {label: [turn[label] for turn in turns] for label in results}
    return {"times": times, "memory": memory, "missing": missing, "steal": steal}


def check_agreement(results):
    """Raises Disagreement if one is further than TOLERANCE from the first that computes anything."""
    given = {label: result for label, result in results.items() if result is not None}
    for label, result in given.items():
        first = next(iter(given))
        off = disagreement(result, given[first])
        if not off <= TOLERANCE:
            raise Disagreement(f"{label} computes something else than {first}: {off:.1e} apart, more than {TOLERANCE:g}.")


def quartiles(values):
    """(lower quartile, median, upper quartile) as floats."""
    return tuple(float(q) for q in np.percentile(values, (25, 50, 75)))


def ratio(times, of, to):
    """Quartiles of `of` / `to`, turn by turn."""
    return quartiles(np.divide(times[of], times[to]))
