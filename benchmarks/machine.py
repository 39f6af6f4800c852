"""What the figures were taken on: processor, versions, and the BLAS kernels, which decide more than anything else."""

import os
import pathlib
import platform

import numpy as np

from benchmarks.compare import quartiles, ratio
from benchmarks.peer import NotInstalled, Peer, PeerError

KERNELS = ("Haswell", "SkylakeX", "Zen", "Cooperlake", "SapphireRapids")  # OpenBLAS' names for processors of these years
WORTH = 0.9  # other kernels than OpenBLAS' own choice must need less than this part of its time
UNKNOWN = "unknown (pip install threadpoolctl)"
MODULES = ("numpy_peer", "torch_peer", "jax_peer", "autograd_peer")


def describe(options):
    """Name -> text: processor, cores, kernels, versions of all peers that are installed."""
    versions = {}
    for module in MODULES[:1] if options.own else MODULES:
        try:
            with Peer(module, options.cores, options.kernels) as peer:
                versions |= peer.versions()
        except NotInstalled:
            pass
    return {
        "processor": processor(),
        "cores": f"{options.cores} of {os.cpu_count()}",
        "OPENBLAS_CORETYPE": options.kernels or "not set",
        "python": platform.python_version(),
        **versions,
    }


def processor():
    """Its name, as the system gives it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def kernel_times(cores, turns=7):
    """Name of kernels (None: OpenBLAS' own choice) -> seconds, turn by turn, for the matrix products of a step.

    Kernels that this processor cannot run, or that are known to be the same as others, are left out."""
    peers, times, seen = {}, {}, set()
    try:
        for name in (None, *KERNELS):
            peer = Peer("numpy_peer", cores, name)
            try:
                used = peer.versions()["BLAS kernels"]
                peer.prepare("matrix products", model="784-400-20", batch=128)
                peer.burst("matrix products", 0.1)
            except PeerError:  # an illegal instruction
                peer.close()
                continue
            if used in seen and used != UNKNOWN:
                peer.close()
                continue
            seen.add(used)
            peers[name], times[name] = peer, []
        for _ in range(turns):
            for name, peer in peers.items():
                times[name].append(peer.burst("matrix products", 0.1))
    finally:
        for peer in peers.values():
            peer.close()
    return times


def suited(times):
    """Of what `kernel_times` gives: the OPENBLAS_CORETYPE that suits best, or None if that is OpenBLAS' own choice.

    Others must be a tenth faster in three quarters of the turns."""
    best = min(times, key=lambda name: quartiles(times[name])[1])
    return best if ratio(times, best, None)[2] < WORTH else None


def blas_kernels():
    """What NumPy's BLAS runs on in this very process, e.g. "OpenBLAS 0.3.31, SkylakeX, 2 threads"."""
    np.ones((2, 2)) @ np.ones((2, 2))
    try:
        import threadpoolctl
    except ModuleNotFoundError:
        return UNKNOWN
    blas = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return "; ".join(
        f"{info['internal_api']} {info['version']}, {info.get('architecture', '')}, {info['num_threads']} threads" for info in blas
    )
