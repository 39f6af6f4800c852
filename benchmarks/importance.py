"""L_5000 of MNIST's test images, the importance-weighted bound of log p(x): npvae with one worker, with several, and PyTorch."""

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.peers.numpy_importance import MODEL, K
from benchmarks.tables import bars, figures, markdown, ratio_text

TITLE = "Importance-sampled log-likelihood"
NOTE = (
    f"L_{K} of black and white test images of MNIST under a {MODEL} model, in float32: images a second, the seconds that all "
    "10,000 would take, how many times the time of npvae (with one worker, with several) is that of the row, and the peak memory "
    "of the process, the reading of MNIST included; quartiles of the turns in brackets. With workers, BLAS has one thread. "
    "`PyTorch` takes `binary_cross_entropy_with_logits` of every pixel, as its users write it; the product is "
    "x . l - sum softplus(l), the form that npvae uses."
)
ALL, BURST = 10_000, 0.5  # images; seconds, some 20 images


def measure(options):
    """-> the one case, for the images a second."""
    options.say(f"L_{K}")
    return compare(contestants(options), options, seconds=BURST)


def contestants(options):
    """Label -> Contestant. As many workers as cores, if there are several."""
    ours, workers = ("numpy_importance", "importance"), options.cores
    several = {f"npvae, {workers} workers": Contestant(*ours, {"workers": workers}, threads=1)} if workers > 1 else {}
    return {
        "npvae": Contestant(*ours, {}),
        **several,
        "PyTorch": Contestant("torch_importance", "importance", {}),
        "PyTorch, product": Contestant("torch_importance", "importance", {"as_product": True}),
    }


def table(case):
    """Markdown: a row a contestant."""
    times, ours = case["times"], [label for label in case["times"] if label.startswith("npvae")]
    rows = []
    for label, seconds in times.items():
        low, middle, high = (1 / t for t in reversed(quartiles(seconds)))
        rows.append([label, f"{figures(middle)} ({figures(low)} to {figures(high)})", figures(ALL / middle)])
        rows[-1] += ["" if other == label else ratio_text(times, other, label) for other in ours]
        rows[-1].append(figures(case["memory"][label]))
    head = ["", "images a second", f"s for {ALL:,}", *(f"time of {label} / of this" for label in ours), "peak memory, MB"]
    notes = "".join(f"\n\n{label}: {why}" for label, why in case["missing"].items())
    return markdown(head, rows) + notes


def picture(case):
    """Bars: images a second, and megabytes."""
    speed = {label: [1 / t for t in reversed(quartiles(seconds))] for label, seconds in case["times"].items()}
    memory = {label: (megabytes,) * 3 for label, megabytes in case["memory"].items()}
    return bars({f"Images a second, L_{K}": speed, "Peak memory of the process, MB": memory}, "")
