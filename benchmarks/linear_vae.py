"""How close plain training comes to the exact optimum: the linear VAE on all 1,797 digits, whose best ELBO is known in closed form.

    python benchmarks/linear_vae.py            a few minutes on one core; writes benchmarks/LINEAR_VAE.md

First, Gaussian with a learned sigma: the ELBO after training, without sampling noise, against the log-likelihood of probabilistic
PCA. Then with a fixed sigma^2: how many latents stay active, against the prediction lambda_i > sigma^2.
"""

import argparse
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from npvae import VAE, Adam, Gaussian, fit, load_digits
from npvae.evaluation import active_units, exact
from npvae.training.schedules import cosine

HERE = Path(__file__).resolve().parent
BATCH, LR = 512, 0.02
STEPS = 4  # an epoch: three batches of 512 and the rest

PAGE = """\
# The linear VAE reaches its closed form

    {command}

All 1,797 digits, x = pixel / 16. `VAE.dense(64, (), q, Gaussian(learn=True))`: one Dense layer each way, float32, Glorot
initialization, sigma from 1. `fit` with Adam, batch {batch}, learning rate from {lr} to 0 along half a cosine, {steps:,} steps.
Seeds: {seeds}.

The ELBO is the mean over all digits, in nats, its expectation over q(z|x) in closed form (`exact.linear_elbo`). No model of this
kind can exceed the log-likelihood of probabilistic PCA (`exact.ppca`); the gap is what training left on the table.

| q | exact optimum | ELBO after training | gap | seconds a run |
|---:|---:|---:|---:|---:|
{reached}

## Posterior collapse, counted

The same with q = 20 and sigma^2 held fixed. Predicted: latent i is active if and only if lambda_i > sigma^2
(`exact.active_latents`). Counted: the latents whose mean has a variance of more than 0.01 over the digits (`active_units`, the
rule of Burda et al., 2016). At the optimum that variance is 1 - sigma^2 / lambda_i, and the latent is worth
(lambda_i / sigma^2 - 1 - log(lambda_i / sigma^2)) / 2 nats; both are given for the weakest active latent. The last column is the
loss of the trained model less that of the optimum (`exact.linear_optimum`), in nats.

| sigma^2 | predicted | counted | variance of the weakest | its worth | gap |
|---:|---:|---:|---:|---:|---:|
{collapsed}

The counts differ at the edge only, by latents worth as little as the gap: at 0.2 the seventh direction is not found in 30,000
steps; where more are counted (seed 2), several latents share the weakest direction, of which the optimum needs one. In the other
runs, what the prediction calls collapsed is collapsed.
"""


def digits():
    """All 1,797 rows, in [0, 1]."""
    data = load_digits()
    return np.concatenate([data.train, data.test]) / 16


def trained(x, q, likelihood, seed, steps):
    """The VAE after plain training, and the seconds it took."""
    rng = np.random.default_rng(seed)
    vae = VAE.dense(64, (), q, likelihood, rng=rng)
    start = time.perf_counter()
    fit(vae, x, optimizer=Adam(), epochs=math.ceil(steps / STEPS), batch_size=BATCH, rng=rng, lr=cosine(LR), progress=False)
    return vae, time.perf_counter() - start


def reach(x, seeds, steps):
    """The rows of the first table."""
    for q in (2, 5, 10):
        best = exact.ppca(x, q).log_likelihood
        runs = [trained(x, q, Gaussian(learn=True), seed, steps) for seed in seeds]
        elbos = [exact.linear_elbo(vae, x).mean() for vae, _ in runs]
        gaps = ", ".join(f"{best - value:.5f}" for value in elbos)
        row = f"| {q} | {best:.6f} | {', '.join(f'{value:.5f}' for value in elbos)} | {gaps} "
        yield row + f"| {np.median([seconds for _, seconds in runs]):.0f} |"


def collapse(x, seeds, steps):
    """The rows of the second table."""
    for sigma2 in (0.5, 0.2, 0.1):
        best = exact.linear_optimum(x, 20, sigma2)
        models = [trained(x, 20, Gaussian(math.sqrt(sigma2)), seed, steps)[0] for seed in seeds]
        counted = ", ".join(str(int(active_units(vae, x).sum())) for vae in models)
        gaps = ", ".join(f"{best.elbo - exact.linear_elbo(vae, x).mean():.5f}" for vae in models)
        ratio = exact.ppca(x, 20).eigenvalues[best.active.sum() - 1] / sigma2
        weakest = f"{1 - 1 / ratio:.3f} | {(ratio - 1 - math.log(ratio)) / 2:.5f}"
        yield f"| {sigma2} | {int(best.active.sum())} | {counted} | {weakest} | {gaps} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--steps", type=int, default=30_000, help="of each training (default: 30,000)")
    parser.add_argument("--out", type=Path, default=HERE / "LINEAR_VAE.md", help="(default: benchmarks/LINEAR_VAE.md)")
    args = parser.parse_args()
    x, tables = digits(), []
    for rows in (reach, collapse):
        tables.append([])
        for row in rows(x, args.seeds, args.steps):
            print(row, flush=True)
            tables[-1].append(row)
    command = "python benchmarks/linear_vae.py"
    if args.seeds != [0, 1, 2] or args.steps != 30_000:
        command += f" --seeds {' '.join(map(str, args.seeds))} --steps {args.steps}"
    page = PAGE.format(
        command=command, batch=BATCH, lr=LR, steps=args.steps, seeds=", ".join(map(str, args.seeds)),
        reached="\n".join(tables[0]), collapsed="\n".join(tables[1]),
    )  # fmt: skip
    args.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
