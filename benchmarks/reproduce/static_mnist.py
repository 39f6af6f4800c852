"""Published: 89.78 (+- 0.01, over five measurements of one trained network) by pythae's reproduction of Rezende & Mohamed (2015),
*Variational Inference with Normalizing Flows*, whose VAE has 89.9. The protocol here is that of pythae's script, vae.py. The
paper's is another: maxout in place of ReLU, RMSprop at 1e-5, a temperature on the reconstruction (thu-ml/zhusuan#23).

*Protocol.* MNIST as binarized once by Larochelle: 50,000 training, 10,000 validation, 10,000 test images. 784-400 ReLU, 40
latents, 400 ReLU, 784. Analytic KL. Adam 1e-4, after epoch 200 and again after 350 times 10^(-1/5); batches of 100, 500 epochs:
250,000 steps. Taken are the parameters with the best loss on the validation images. Mean of L_200 over the test images.

*In the code alone.* All of it. Weights and biases start uniformly within 1/sqrt(n_in) of 0, the default of PyTorch's layers. The
first version of the script leaves batch size, rate and the number of epochs to a file that is not found beside it; 100, 1e-4 and
500 are those of a later one. In both, the rate would fall again after 500, 750 and 1,000 epochs, and a second hidden layer of 400
in each network stands commented out.

*Here.* The script as it stands in its later version; and once more with the two layers that are commented out. Float32.
"""

import numpy as np

from benchmarks.reproduce.drawing import lines
from benchmarks.reproduce.job import curve
from benchmarks.reproduce.page import likelihood_row
from npvae import VAE, Adam, ReLU
from npvae.data import load_dataset

TITLE = "Static binarized MNIST: 784-400-40"
TIME = "two runs of half an hour of one core, and a minute each for the likelihood"
FULL = {"data": "binarized-mnist", "binarize": None, "validation": "valid", "epochs": 500, "lr": 1e-4, "samples": 200}
QUICK = {"data": "digits", "binarize": "static", "validation": "test", "epochs": 100, "lr": 1e-3, "samples": 50}
RUNS = {"one-layer": {"hidden": (400,), "seed": 0}, "two-layers": {"hidden": (400, 400), "seed": 0}}
DROPS, DROP = (200 / 500, 350 / 500), 10 ** (-1 / 5)  # of all steps; the factor
NAMES = {"one-layer": "one hidden layer", "two-layers": "two hidden layers"}
PUBLISHED, ACCEPTED = {"one-layer": "89.78; paper 89.9", "two-layers": "89.78?"}, (89.38, 90.18)  # the script's number +- 0.4
# The script as it stands, one hidden layer, run for this page with PyTorch 2.13, seed 0:
SCRIPT = {81: (100.25, 101.91), 221: (96.66, 99.40), 500: (95.29, 98.56)}  # {epoch: loss in training, in validation}
SCRIPT_L_200 = 92.56  # -L_200


def rate(lr):
    """The schedule of the learning rate, see `npvae.training.schedules`."""

    def schedule(step, steps):
        return lr * DROP ** sum(step >= part * steps for part in DROPS)

    schedule.__qualname__ = f"static_mnist.rate({lr}, {DROPS}, {DROP:.6f})"
    return schedule


def run(job, data, binarize, validation, epochs, lr, samples, hidden, seed):
    """Train, take the best on the validation images, measure."""
    data, rng = load_dataset(data), np.random.default_rng(seed)
    vae = VAE.dense(data.train.shape[1], hidden, 40, activation=ReLU, init="uniform", rng=rng)
    history = job.fit(
        vae, data, optimizer=Adam(lr), lr=rate(lr), epochs=epochs, batch_size=100, rng=rng, validation=validation,
        patience=epochs, binarize=binarize,
    )  # fmt: skip
    measured = job.measure(vae, data, binarize, samples, seed)
    about = {"best_epoch": history.best()["epoch"], "seed": seed, "seconds": sum(history["seconds"])}
    return {"curve": curve(history, "loss", "valid_loss"), **measured, **about}


def rows(outcomes):
    """-L_K of both; that of two hidden layers was not settled before."""
    accepted = {"one-layer": ACCEPTED, "two-layers": None}
    return [likelihood_row(f"{NAMES[name]}, ", PUBLISHED[name], accepted[name], o) for name, o in outcomes.items()]


def notes(outcomes):
    """The rest of what was measured, and why the first is where it is."""
    of_each = [
        f"{NAMES[name]}: -ELBO {-o['elbo']:.2f}, {o['active_units']} of 40 latents active, the best of "
        f"{o['curve']['epoch'][-1]} epochs on the validation images {o['best_epoch']}, Monte-Carlo error of the mean "
        f"{o['monte_carlo_error']:.3f}"
        for name, o in outcomes.items()
    ]
    return "; ".join(of_each) + ".\n\n" + _reason(**{run.replace("-", "_"): outcome for run, outcome in outcomes.items()})


def _reason(one_layer, two_layers):
    """Why one hidden layer does not end where it should."""
    at = {epoch: losses for epoch, *losses in zip(*(one_layer["curve"][name] for name in ("epoch", "loss", "valid_loss")))}
    compared = "; ".join(
        f"epoch {epoch}: {train:.2f} and {valid:.2f}, ours {at[epoch][0]:.2f} and {at[epoch][1]:.2f}"
        for epoch, (train, valid) in SCRIPT.items()
        if epoch in at
    )
    return (
        "**The published number is not what its script gives.** The script as it stands, one hidden layer, trains along the same "
        f"curve in PyTorch (training and validation loss at {compared}), and ends at {SCRIPT_L_200:.2f}; ours at "
        f"{one_layer['nll']:.2f}. With the second layers that are commented out: {two_layers['nll']:.2f}. So the published network "
        "had them, or differed in something else; which is not known."
    )


def picture(outcomes):
    """Training and validation loss, from the tenth epoch on: before, they fall so far that nothing else would be seen."""
    curves = {
        f"{NAMES[name]}, {of}": tuple(zip(*((e, y) for e, y in zip(o["curve"]["epoch"], o["curve"][column]) if e >= 10)))
        for name, o in outcomes.items()
        for of, column in (("training", "loss"), ("validation", "valid_loss"))
    }
    return lines(curves, "epoch", "-ELBO, nats (static binarization)", logarithmic=True)


def directions(outcomes):
    """The bound is above the ELBO, and training lowers the loss."""
    return [
        ("The validation loss falls.", all(o["curve"]["valid_loss"][-1] < o["curve"]["valid_loss"][0] for o in outcomes.values())),
        ("The importance-weighted bound is tighter than the ELBO.", all(-o["nll"] > o["elbo"] for o in outcomes.values())),
        ("Some latents are active.", all(o["active_units"] > 0 for o in outcomes.values())),
    ]
