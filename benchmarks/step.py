"""A training step: forward, backward, Adam; npvae, its bare matrix products, PyTorch, JAX and autograd."""

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.tables import lines, timing_table
from benchmarks.workloads import MODELS

TITLE = "A training step"
NOTE = (
    "Milliseconds, and how many times npvae's time is of it (quartiles of the turns in brackets). Forward, backward, Adam and the "
    "drawing of the noise; cross-entropy on logits, float32, batches of images in memory."
)
BATCHES = (20, 32, 128, 512)
CONTESTANTS = {
    "npvae": ("numpy_peer", "step", {}),
    "its matrix products": ("numpy_peer", "matrix products", {}),
    "PyTorch": ("torch_peer", "step", {}),
    "PyTorch, fused Adam": ("torch_peer", "step", {"fused": True}),
    "torch.compile, fused": ("torch_peer", "step", {"fused": True, "compiled": True}),
    "JAX, jit": ("jax_peer", "step", {}),
    "autograd": ("autograd_peer", "step", {}),
}


def measure(options):
    """-> a case for every model and batch size."""
    models, sizes = (["784-400-20"], [128]) if options.quick else (MODELS, BATCHES)
    cases = []
    for model in models:
        for batch in sizes:
            about = {"case": f"{model}, batch {batch}", "model": model, "batch": batch}
            if options.only in about["case"]:
                options.say(about["case"])
                cases.append({**about, **compare(contestants(model, batch), options)})
    return cases


def contestants(model, batch):
    """Label -> Contestant. The matrix products share npvae's process."""
    return {
        label: Contestant(module, workload, {"model": model, "batch": batch, **more}, "npvae" if module == "numpy_peer" else None)
        for label, (module, workload, more) in CONTESTANTS.items()
    }


def table(cases):
    """Markdown."""
    return timing_table(cases, "npvae")


def picture(cases):
    """Milliseconds against the batch size, a panel a model."""
    panels = {}
    for case in cases:
        series = panels.setdefault(case["model"], {})
        for label, times in case["times"].items():
            series.setdefault(label, []).append((case["batch"], quartiles(times)[1] * 1e3))
    return lines(panels, "batch size", "milliseconds a step")
