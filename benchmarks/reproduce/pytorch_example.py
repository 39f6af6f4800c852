"""Published: the logs of github.com/pytorch/examples, vae/main.py, two of them, which agree: test losses of ten epochs, from
127.30 to 105.56 (105.59). Both are one seed, the script's own.

*Protocol.* 784-400 ReLU, mu and logvar of 20 latents, 400 ReLU, 784. Grey pixels / 255. Loss = cross-entropy + KL, both summed
over the image; in the test, too, one z is drawn. Adam 1e-3, batches of 128, shuffled, the last one of 96 kept: 469 steps an epoch.

*In the code alone.* Weights and biases start uniformly within 1/sqrt(n_in) of 0, the default of PyTorch's layers. The gradient is
that of the sum over the batch, not of the mean.

*Here.* The mean, which Adam notices by eps = 1e-8 and by the last batch, whose 96 images weigh as much as 128. Cross-entropy on
logits, where the script takes the logarithm of a sigmoid. Float32. Three seeds.

**Not a likelihood.** The pixels are grey, and a Bernoulli gives grey no probability; nor can any model go below the entropy of the
grey values, 45.5 nats. The number says whether a program computes what the other computes, and little about how well it explains
MNIST: it bounds -log p of drawn pixels, loosely (notebook 14).
"""

import numpy as np

from benchmarks.reproduce.drawing import lines
from benchmarks.reproduce.job import curve
from benchmarks.reproduce.page import Row
from npvae import VAE, Adam, ReLU
from npvae.data import load_dataset
from npvae.evaluation import elbo
from npvae.evaluation.record import standard_error

TITLE = "PyTorch's example: ten epochs on grey MNIST"
TIME = "a minute of one core a seed, and six minutes for a likelihood"
FULL = {"data": "mnist", "epochs": 10, "samples": 5000}
QUICK = {"data": "digits", "epochs": 10, "samples": 50}
RUNS = {f"seed-{seed}": {"seed": seed, "measured": seed == 0} for seed in range(3)}
PUBLISHED = (127.3049, 115.7936, 112.2248, 109.6389, 108.5438, 107.6961, 107.0711, 106.6568, 106.0421, 105.5585)
SCRIPT = {  # {seed: test losses} of the script itself, run for this page: PyTorch 2.13, one core
    10: (127.52, 115.77, 111.91, 109.78, 108.62, 107.71, 106.96, 106.54, 106.02, 105.74),
    11: (128.68, 116.42, 111.96, 110.07, 108.89, 108.25, 106.95, 106.81, 105.97, 105.84),
    12: (126.64, 115.15, 111.69, 109.74, 108.57, 107.69, 106.99, 106.28, 106.02, 105.79),
    13: (127.69, 115.96, 111.75, 109.79, 108.61, 107.50, 106.92, 106.52, 105.92, 105.64),
    14: (128.64, 116.45, 112.40, 110.17, 108.72, 107.72, 106.89, 106.69, 106.04, 105.91),
    15: (126.45, 115.57, 111.45, 109.39, 108.21, 107.21, 106.29, 105.99, 105.38, 105.19),
    16: (127.56, 115.94, 111.78, 109.89, 108.32, 107.34, 106.80, 106.32, 106.06, 105.64),
    17: (127.39, 115.56, 111.65, 109.77, 108.53, 107.69, 107.18, 106.46, 105.90, 105.52),
}
FIRST, LATER, LAST = 1.5, 0.6, (105.1, 106.1)  # what is accepted: +-, +-, and at epoch 10


def run(job, data, epochs, samples, seed, measured):
    """The test losses; and, if it is to be measured, what the model is worth as a likelihood, of drawn pixels."""
    data, rng = load_dataset(data), np.random.default_rng(seed)
    vae = VAE.dense(data.train.shape[1], (400,), 20, activation=ReLU, init="uniform", rng=rng)
    history = job.fit(vae, data, optimizer=Adam(1e-3), epochs=epochs, batch_size=128, rng=rng, validation="test")
    error = standard_error(elbo(vae, data.floats("test"), np.random.default_rng([seed, 1])))  # with one z an image, as in the test
    likelihood = job.measure(vae, data, "dynamic", samples, seed) if measured else {}
    about = {"loss_error": error, "seed": seed, "seconds": sum(history["seconds"])}
    return {"curve": curve(history, "loss", "valid_loss"), **likelihood, **about}


def rows(outcomes):
    """Every epoch of every seed."""
    found = []
    for outcome in outcomes.values():
        for epoch, (published, ours) in enumerate(zip(PUBLISHED, outcome["curve"]["valid_loss"], strict=True), 1):
            off = FIRST if epoch == 1 else LATER
            accepted = LAST if epoch == len(PUBLISHED) else (published - off, published + off)
            error = outcome["loss_error"] if epoch == len(PUBLISHED) else None
            seconds = outcome["seconds"] * epoch / len(PUBLISHED)
            found.append(Row(f"epoch {epoch}", f"{published:.2f}", accepted, ours, error, f"{outcome['seed']}", seconds))
    return found


def notes(outcomes):
    """What lies outside, and why."""
    spread = np.ptp([outcome["curve"]["valid_loss"] for outcome in outcomes.values()], axis=0)
    outside = [row for row in rows(outcomes) if not row.within]
    ours = np.mean([outcome["curve"]["valid_loss"] for outcome in outcomes.values()], axis=0)
    below = np.mean([PUBLISHED, *SCRIPT.values()], axis=0) - ours
    text = (
        f"Our seeds lie up to {max(spread):.2f} apart from each other; their mean lies {min(below):.2f} to {max(below):.2f} below "
        f"that of the published log and {len(SCRIPT)} further seeds of the script itself, run here with PyTorch."
    )
    if outside:
        where = ", ".join(f"{row.what} of seed {row.seed} by {_beyond(row):.2f}" for row in outside)
        epochs = sorted({_epoch(row) for row in outside})
        lowest = [f"{row.what} of seed {row.seed}" for row in outside if row.ours < min(_of_script(_epoch(row)))]
        text += (
            f" Outside: {where}. The published log is one draw of many, and what is accepted lies around it: the {len(SCRIPT)} "
            f"seeds give {'; '.join(map(_in_words, epochs))}."
        )
        text += f" Below all of these: {', '.join(lowest)}." if lowest else ""
    (measured,) = (outcome for outcome in outcomes.values() if "nll" in outcome)
    return (
        f"{text}\n\nWhat the model of seed {measured['seed']} is worth as a likelihood, on the drawn pixels of the card iwae_k1, "
        f"of which it has never seen any: -ELBO {-measured['elbo']:.2f}, -L_{measured['samples']} {measured['nll']:.2f} +- "
        f"{measured['error']:.2f}, {measured['effective_samples']:.0f} effective samples (median)."
    )


def _epoch(row):
    return int(row.what.removeprefix("epoch "))


def _of_script(epoch):
    """The script's losses over its seeds."""
    return [losses[epoch - 1] for losses in SCRIPT.values()]


def _in_words(epoch):
    losses = _of_script(epoch)
    return f"{min(losses):.2f} to {max(losses):.2f} at epoch {epoch} (mean {np.mean(losses):.2f})"


def _beyond(row):
    return max(row.accepted[0] - row.ours, row.ours - row.accepted[1])


def picture(outcomes):
    """The test curves and the published one."""
    curves = {f"seed {o['seed']}": (o["curve"]["epoch"], o["curve"]["valid_loss"]) for o in outcomes.values()}
    epochs = range(1, len(PUBLISHED) + 1)
    others = [(epoch, loss) for losses in SCRIPT.values() for epoch, loss in zip(epochs, losses)]
    marked = {"published": (epochs, PUBLISHED), f"the script, {len(SCRIPT)} other seeds": tuple(zip(*others))}
    return lines(curves, "epoch", "test loss, nats (grey pixels)", marked=marked)


def directions(outcomes):
    """The test loss falls, and almost only falls."""
    curves = [outcome["curve"]["valid_loss"] for outcome in outcomes.values()]
    measured = [outcome for outcome in outcomes.values() if "nll" in outcome]
    return [
        ("The test loss of every seed is lower at the end than at the beginning.", all(c[-1] < c[0] for c in curves)),
        ("The grey loss bounds the likelihood of drawn pixels.", all(o["nll"] < o["curve"]["valid_loss"][-1] for o in measured)),
        ("Most of its way is made in the first half.", all(c[0] - c[len(c) // 2] > c[len(c) // 2] - c[-1] for c in curves)),
    ]
