"""Known in closed form: the best ELBO of the linear VAE, which is probabilistic PCA, and which of its latents collapse at which
beta (Lucas, Tucker, Grosse & Norouzi, 2019, *Don't Blame the ELBO!*). Nothing published is needed: the answer has all digits.

*Protocol.* All 1,797 digits, x = pixel / 16. One Dense layer each way, float32, Glorot's initialization. Adam, batches of 512, the
rate from 0.02 to 0 along half a cosine, 100,000 steps.

*Reached.* q latents, a Gaussian whose sigma is learned from 1 on. -ELBO is the mean over all digits, its expectation over q(z|x)
in closed form (`exact.linear_elbo`); no model of this kind can go below the -log-likelihood of probabilistic PCA (`exact.ppca`).

*Collapsed.* 20 latents, sigma^2 = 0.1 held fixed, several beta. Predicted: latent i is active if and only if its eigenvalue
lambda_i is above beta sigma^2 (`exact.active_latents`). Counted: the latents whose posterior mean has a variance of more than 0.01
over the digits.
"""

import math

import numpy as np

from benchmarks.reproduce.drawing import lines
from benchmarks.reproduce.page import Row
from npvae import VAE, Adam, Gaussian
from npvae.core.gaussian import kl_divergence
from npvae.data import load_digits
from npvae.evaluation import active_units, exact
from npvae.training.schedules import cosine

TITLE = "The linear VAE against its closed form: optimum and collapse"
TIME = "half an hour of one core"
FULL = {"steps": 100_000, "seeds": (0, 1, 2)}
QUICK = {"steps": 3_000, "seeds": (0,)}
QS, BETAS = (2, 5, 10), (0.5, 1, 2, 5)
RUNS = {f"q-{q}": {"q": q} for q in QS} | {f"beta-{beta}": {"q": 20, "beta": beta} for beta in BETAS}
SIGMA2 = 0.1
NEAR = 0.01  # nats of the optimum that a training may leave on the table
STEPS = 4  # an epoch: three batches of 512 and the rest


def run(job, steps, seeds, q, beta=None):
    """One q, or one beta, for every seed."""
    data = load_digits()
    x = np.concatenate([data.train, data.test]) / data.scale  # (1797, 64)
    runs = [trained(job, x, steps, seed, q, beta) for seed in seeds]
    if beta is None:
        best = -exact.ppca(x, q).log_likelihood
        return {"q": q, "optimum": best, "runs": [{**about, "loss": -exact.linear_elbo(vae, x).mean()} for vae, about in runs]}
    best = exact.linear_optimum(x, q, SIGMA2, beta)
    ratio = exact.ppca(x, 0).eigenvalues[best.active.sum() - 1] / (beta * SIGMA2)  # of the weakest active latent, above 1
    return {
        "beta": beta, "optimum": best.distortion + beta * best.rate, "predicted": int(best.active.sum()),
        "weakest": 1 - 1 / ratio, "worth": beta * (ratio - 1 - math.log(ratio)) / 2,
        "runs": [{**about, "loss": loss(vae, x, beta), "counted": int(active_units(vae, x).sum())} for vae, about in runs],
    }  # fmt: skip


def trained(job, x, steps, seed, q, beta):
    """The VAE after training, and what is to be told of it."""
    rng = np.random.default_rng(seed)
    likelihood = Gaussian(learn=True) if beta is None else Gaussian(math.sqrt(SIGMA2))
    vae = VAE.dense(64, (), q, likelihood, rng=rng)
    history = job.fit(
        vae, x, part=f"seed {seed}", optimizer=Adam(), lr=cosine(0.02), beta=1.0 if beta is None else beta, batch_size=512, rng=rng,
        epochs=math.ceil(steps / STEPS),
    )  # fmt: skip
    return vae, {"seed": seed, "seconds": sum(history["seconds"])}


def loss(vae, x, beta):
    """reconstruction + beta KL, without sampling noise."""
    kl = np.mean(kl_divergence(*vae.encode(x)))
    return float(-exact.linear_elbo(vae, x).mean() + (beta - 1) * kl)


def rows(outcomes):
    """-ELBO for each q, active latents for each beta."""
    reached = [
        Row(f"q = {o['q']}, -ELBO", f"{o['optimum']:.5f}", (o["optimum"], o["optimum"] + NEAR), one["loss"], None, f"{one['seed']}",
            one["seconds"], digits=5)
        for o in outcomes.values() if "q" in o for one in o["runs"]
    ]  # fmt: skip
    counted = [
        Row(f"beta = {o['beta']}, active latents", f"{o['predicted']}", (o["predicted"],) * 2, one["counted"], None,
            f"{one['seed']}", one["seconds"], digits=0)
        for o in outcomes.values() if "beta" in o for one in o["runs"]
    ]  # fmt: skip
    return reached + counted


def notes(outcomes):
    """How far the losses are from the optimum, and what the weakest active latent is worth."""
    table = ["| beta | loss less the optimum's | variance of the posterior mean of the weakest predicted latent | its worth |",
             "|---:|---:|---:|---:|"]  # fmt: skip
    for o in outcomes.values():
        if "beta" in o:
            gaps = ", ".join(f"{one['loss'] - o['optimum']:.5f}" for one in o["runs"])
            table.append(f"| {o['beta']} | {gaps} | {o['weakest']:.3f} | {o['worth']:.5f} |")
    right = [one["counted"] == o["predicted"] for o in outcomes.values() if "beta" in o for one in o["runs"]]
    return (
        f'"Published" is the closed form here. {sum(right)} of {len(right)} counts are the predicted ones. Training cannot be '
        "expected to find a latent that is worth less than what the loss is still above the optimum's:\n\n" + "\n".join(table)
    )


def picture(outcomes):
    """Active latents against beta sigma^2."""
    of_beta = [o for o in outcomes.values() if "beta" in o]
    betas = [o["beta"] for o in of_beta]
    counts = zip(*([one["counted"] for one in o["runs"]] for o in of_beta))  # of each seed
    curves = {f"seed {one['seed']}": (betas, counted) for one, counted in zip(of_beta[0]["runs"], counts)}
    predicted = {"predicted": (betas, [o["predicted"] for o in of_beta])}
    return lines(curves, "beta", "active latents of 20 (sigma^2 = 0.1)", marked=predicted, logarithmic=True)


def directions(outcomes):
    """No loss below the optimum; more beta, fewer latents."""
    gaps = [one["loss"] - o["optimum"] for o in outcomes.values() for one in o["runs"]]
    counts = [o["runs"][0]["counted"] for o in outcomes.values() if "beta" in o]
    off = [abs(one["counted"] - o["predicted"]) for o in outcomes.values() if "beta" in o for one in o["runs"]]
    return [
        ("No training goes below the exact optimum.", min(gaps) > -1e-4),
        ("Every training comes near to it.", max(gaps) < 0.5),
        ("More beta, fewer active latents.", counts == sorted(counts, reverse=True)),
        ("The counts are the predicted ones, give or take two at the edge.", max(off) <= 2),
    ]
