"""The parts of a training step: forward, likelihood, backward, Adam."""

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.tables import bars, timing_table

TITLE = "The parts of a step"
NOTE = (
    "Milliseconds, and how many times npvae's time is of it. The model is 784-400-20. `forward` ends at the logits (PyTorch "
    "records its graph meanwhile), `likelihood` is the cross-entropy and its gradient, `backward` leads from there to the "
    "gradient of all parameters. Adam as printed is `npvae.core.optimizers.adam_update` on each array."
)
MODEL = "784-400-20"
BATCHES = (32, 128, 512)
ADAMS = {
    "npvae": ("numpy_parts", {}),
    "PyTorch": ("torch_parts", {}),
    "PyTorch, foreach": ("torch_parts", {"foreach": True}),
    "PyTorch, fused": ("torch_parts", {"fused": True}),
    "as printed": ("numpy_parts", {"literal": True}),
}


def measure(options):
    """-> a case for every part, and batch size where it matters."""
    cases = []
    for name, contestants in all_cases((128,) if options.quick else BATCHES):
        if options.only in name:
            options.say(name)
            cases.append({"case": name, **compare(contestants, options)})
    return cases


def all_cases(batches):
    """Yield name, contestants."""
    for batch in batches:
        for which in ("forward", "likelihood", "backward"):
            arguments = {"model": MODEL, "batch": batch, "which": which}
            both = {"npvae": "numpy_parts", "PyTorch": "torch_parts"}
            yield f"{which}, batch {batch}", {label: Contestant(module, "part", arguments) for label, module in both.items()}
    yield "Adam", {label: Contestant(module, "adam", {"model": MODEL, **how}) for label, (module, how) in ADAMS.items()}


def table(cases):
    """Markdown."""
    return timing_table(cases, "npvae")


def picture(cases):
    """Bars of milliseconds."""
    return bars(
        {c["case"]: {label: [1e3 * q for q in quartiles(t)] for label, t in c["times"].items()} for c in cases}, "milliseconds"
    )
