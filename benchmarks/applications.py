"""What a VAE is for: the numbers of notebooks 8 and 9 over three seeds.

    python benchmarks/applications.py            a few minutes; writes benchmarks/APPLICATIONS.md

Runs the notebooks' own source, their assertions included, with another first line of randomness: `seed = 0` becomes 1, then 2.
What a notebook leaves in its dict `results`, {row: {column: number}}, is what the tables show.
"""

import argparse
import contextlib
import io
import os
import time
from itertools import groupby
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"  # figures are made and not drawn

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "notebooks"
SEED_LINE = "\nseed = 0\n"

PROTOCOL = """\
# What a VAE is for, and how to choose it: the numbers

    python benchmarks/applications.py

writes this page from the source of two notebooks, run with the seeds {seeds}. Each number is the mean over the seeds and, after
±, their standard deviation; a number without ± does not depend on the seed. The seed decides the initial weights, batches, noise,
masks, folds and draws. It does not decide the 360 test digits: a mean over them has a sampling error of its own, which the
notebooks print; an accuracy of 0.93 has 0.013. Compare two methods by the paired differences there.
"""

CHAPTERS = {
    "08_applications": """\
## What a VAE is for

Notebook [08_applications](../notebooks/08_applications.ipynb). The bundled digits, grey, 1,437 to train on, the last 360 to test
on, nearly all by other writers. VAE and autoencoder: 64-64-64-Z-64-64-64, tanh, Gaussian likelihood with one learned sigma, Adam at
0.003, 150 epochs of batch 64; no setting was tuned for a single row. PCA has the same number of dimensions, Z, where nothing else
is said; Z is 10 where nothing is said.

- *Squared error*: summed over the 64 pixels, mean over the test digits. *Hidden*: the same after restoration; seen pixels count 0.
  PCA: the minimum with its prior; least squares: without it.
- *Accuracy*: of the test digits, by a classifier trained on the codes of the training digits.
- *AUROC*: one digit left out of training, 10 times; VAE: score -ELBO, PCA: squared error, nearest neighbor: distance in pixels.
- *Distance*: to the nearest training digit. *Copies*: the reconstructions of training digits. *Halfway*: between two test digits.
- *Log density*: of the test digits, nats; the ELBO for the VAE, exact for probabilistic PCA. *Kernel distance*: MMD squared.
- *With 100 labels*: ten labelled digits of each kind, 20 draws; added to each are ten variants by the VAE (trained on all digits,
  without labels) or ten moves by a pixel.
""",
    "09_choosing": """\
## Choosing beta and the latent size

Notebook [09_choosing](../notebooks/09_choosing.ipynb). Digits black where grey is at least 1/2. 64-64-64-Z-64-64-64, tanh,
Bernoulli, Adam at 0.006, 100 epochs of batch 128. Five folds of the training digits, each held out once: means over the folds.
Nats per digit. Validation loss: reconstruction + beta KL. ELBO: at beta = 1. Log-likelihood: the bound with 200 samples, 1,000 in
the last row. Accuracy: nearest neighbor by posterior means. Z = 10 where beta varies, beta = 1 where Z varies. The last row:
trained on all training digits, measured on the 360 test digits.
""",
}


def run(name, seed):
    """The notebook's results with this seed: {row: {column: number}}."""
    path = NOTEBOOKS / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    if source.count(SEED_LINE) != 1:
        raise ValueError(f"{path} must have one line `seed = 0`.")
    names = {"__name__": name}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source.replace(SEED_LINE, f"\nseed = {seed}\n"), path, "exec"), names)
    plt.close("all")
    return names["results"]


def cell(values):
    """Mean and standard deviation over the seeds; the mean alone if all are the same."""
    spread = f" ± {np.std(values, ddof=1):.3f}" if np.ptp(values) > 0 else ""
    return f"{np.mean(values):.3f}{spread}"


def tables(runs):
    """Markdown: neighboring rows with the same columns make a table."""
    parts = []
    for columns, rows in groupby(runs[0], key=lambda row: tuple(runs[0][row])):
        lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        lines += [f"| {row} | {' | '.join(cell([r[row][c] for r in runs]) for c in columns)} |" for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--out", type=Path, default=HERE / "APPLICATIONS.md", help="(default: benchmarks/APPLICATIONS.md)")
    args = parser.parse_args()
    page = [PROTOCOL.format(seeds=", ".join(map(str, args.seeds)))]
    for name, protocol in CHAPTERS.items():
        runs = []
        for seed in args.seeds:
            start = time.perf_counter()
            runs.append(run(name, seed))
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        page += [protocol, tables(runs) + "\n"]
    args.out.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
