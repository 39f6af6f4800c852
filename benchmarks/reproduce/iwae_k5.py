"""Published: 85.54 nats and 22 active units with the importance-weighted bound of k = 5, 86.76 and 19 with k = 1; Burda, Grosse &
Salakhutdinov (2016), table 1. Others (nbip/IWAE): 85.42 against 86.32 with a KL that is switched on slowly, 85.50 against 87.75
with the output bias at 0; and with k = 1, analytic against sampled KL, 87.16 against 87.50.

*Protocol.* That of the card iwae_k1, with the objective L_5: five draws of z for each image, each image's gradient shared among
them by their normalized weights.

*Here.* As far as about an hour of training gets: 300 passes in batches of 100, 180,000 steps, for every objective the same steps,
images, pixels and order, the same rate from 1e-3 to 1e-4, and the output bias at the data's mean. "Sampled KL" is the
importance-weighted objective with one draw, where log q(z|x) - log p(z) stands for its mean. One seed each: differences between
runs have a spread over seeds that the standard errors, over the test images, do not show.
"""

from benchmarks.reproduce import iwae_k1
from benchmarks.reproduce.drawing import lines
from benchmarks.reproduce.page import Row, likelihood_row
from npvae.beyond.importance import importance_weighted

TITLE = "The IWAE paper's k = 5 against k = 1, at the same number of steps"
TIME = "three quarters of an hour of one core for k = 5, a quarter for each k = 1, and six minutes each for the likelihood"
FULL = {"data": "mnist", "epochs": 300, "samples": 5000, "seed": 0}
QUICK = {"data": "digits", "epochs": 100, "samples": 200, "seed": 0}
RUNS = {"k5": {"k": 5}, "k1": {"k": None}, "k1-sampled": {"k": 1}}
NAMES = {"k5": "k = 5", "k1": "k = 1, analytic KL", "k1-sampled": "k = 1, sampled KL"}
PUBLISHED = {"k5": "85.54", "k1": "86.76", "k1-sampled": ""}
ACTIVE = {"k5": "22", "k1": "19", "k1-sampled": ""}


def run(job, k, **settings):
    """Train and measure; k None: the VAE's own loss."""
    objective = None if k is None else {"objective": importance_weighted, "samples": k}
    return iwae_k1.run(job, at_mean=True, objective=objective, **settings)


def rows(outcomes):
    """-L_K and the active units."""
    bound = [likelihood_row(f"{NAMES[name]}, ", PUBLISHED[name], None, o) for name, o in outcomes.items()]
    units = [
        Row(f"{NAMES[name]}, active units", ACTIVE[name], None, o["active_units"], None, f"{o['seed']}", 0, digits=0)
        for name, o in outcomes.items()
    ]
    return bound + units


def notes(outcomes):
    """ELBOs and differences."""
    k1, k5 = outcomes["k1"], outcomes["k5"]
    worth = k1["nll"] - k5["nll"]
    elbos = "; ".join(f"{NAMES[name]} {-o['elbo']:.2f}" for name, o in outcomes.items())
    return (
        f"-ELBO: {elbos}. The published runs are of 3,280 passes in batches of 20, 54 times as many steps, so no number was "
        f"settled before; what compares is k = 5 with k = 1 after as many steps: {worth:.2f} nats better here, 1.22 in the paper. "
        f"A step of k = 5 takes {k5['seconds'] / k1['seconds']:.1f} times as long."
    )


def picture(outcomes):
    """The test loss of each, which is its own bound: distances between the curves are no gain."""
    bounds = {"k5": "-L_5", "k1": "-ELBO", "k1-sampled": "-L_1"}
    curves = {f"{NAMES[name]}: {bounds[name]}": (o["curve"]["epoch"], o["curve"]["valid_loss"]) for name, o in outcomes.items()}
    return lines(curves, "epoch", "test images, nats; of different bounds", logarithmic=True)


def directions(outcomes):
    """k = 5 fits better, its encoder's own posterior is a worse fit for the ELBO."""
    k5, k1 = outcomes["k5"], outcomes["k1"]
    return [
        ("Trained on L_5, the likelihood of test images is higher than with the ELBO, after as many steps.", k5["nll"] < k1["nll"]),
        ("The importance-weighted bound is tighter than the ELBO.", all(-o["nll"] > o["elbo"] for o in outcomes.values())),
        ("With k = 5, bound and ELBO lie further apart.", -k5["nll"] - k5["elbo"] > -k1["nll"] - k1["elbo"]),
    ]
