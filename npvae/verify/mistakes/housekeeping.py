"""The second half of the battery: numbers at the edges, types, side effects, randomness, epochs."""

import os
import tempfile

import numpy as np

from npvae.core import gaussian, numerics
from npvae.core.layers import Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import Adam
from npvae.models import VAE, Loss
from npvae.training import fit
from npvae.training.batches import Rows, TrainingBatches
from npvae.training.state import State
from npvae.verify.mistakes import volume_two
from npvae.verify.mistakes.cases import bernoulli_case, gaussian_case, gradient, waves
from npvae.verify.mistakes.saying import close, demand

EDGES = [-1e4, -800.0, -50.0, 0.0, 50.0, 800.0, 1e4]
TAIL = 1.9287498479639178e-22  # e^-50, which is softplus(-50) and sigmoid(-50), too
LOG_2 = 0.6931471805599453


def extremes():
    """At the ends of the number line, in double and single precision: no overflow, no NaN, and every digit there is.
    At a kink, one slope."""
    for dtype, rtol in ((np.float64, 1e-15), (np.float32, 2e-7)):
        a = np.array(EDGES, dtype)
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            close(f"softplus in {dtype.__name__}", numerics.softplus(a), [0, 0, TAIL, LOG_2, 50, 800, 1e4], rtol, 1e-40)
            close(f"sigmoid in {dtype.__name__}", numerics.sigmoid(a), [0, 0, TAIL, 0.5, 1, 1, 1], rtol, 1e-40)
            log_sigmoid = numerics.log_sigmoid(a)
            close(f"log sigmoid in {dtype.__name__}", log_sigmoid, [-1e4, -800, -50, -LOG_2, -TAIL, 0, 0], rtol, 1e-40)
            close(f"tanh in {dtype.__name__}", Tanh().forward(a)[0], [-1, -1, -1, 0, 1, 1, 1])
            sums = numerics.logsumexp(np.array([[-1000, -1000], [1000, 1000]], dtype), axis=1)
            close(f"logsumexp in {dtype.__name__}", sums, [-1000 + LOG_2, 1000 + LOG_2], rtol)
            nll, dout = Bernoulli().nll_and_grad(a[:, None], np.ones((7, 1), dtype), np.ones(7, dtype))
            close(f"Bernoulli nll of x = 1 in {dtype.__name__}", nll, -log_sigmoid, rtol, 1e-40)
            close("the nll that comes without the gradient", Bernoulli().nll(a[:, None], np.ones((7, 1), dtype)), nll)
            close(f"the Bernoulli gradient in {dtype.__name__}", dout[:, 0], [-1, -1, -1, -0.5, -TAIL, 0, 0], rtol, 1e-40)
    slope = ReLU().backward(np.ones(1), ReLU().forward(np.zeros(1))[1])
    close("the slope of ReLU at 0", slope, 0)
    volume_two.extremes()


def precision():
    """float32 in, float32 out: of every function, forward and backward."""
    for name, array in _made_in_float32():
        demand(array.dtype == np.float32, f"{name} of a float32 model is {array.dtype}, should be float32")


def _made_in_float32():
    """Yield (name, array)."""
    for model, x, eps, _ in (bernoulli_case(np.float32), gaussian_case(np.float32)):
        (mu, logvar), dkl = model.encode(x), np.ones(len(x), np.float32)
        z, cache = gaussian.reparameterize(mu, logvar, eps)
        out = model.decode(z)
        yield from (("mu", mu), ("logvar", logvar), ("z", z), ("out", out))
        yield from zip(("dmu", "dlogvar"), gaussian.reparameterize_backward(z, cache))
        yield from zip(("dmu of the KL", "dlogvar of the KL"), gaussian.kl_divergence_backward(mu, logvar, dkl))
        yield from zip(("nll", "dnll/dout"), model.likelihood.nll_and_grad(out, x, dkl))
        yield "the KL", gaussian.kl_divergence(mu, logvar)
        yield "the reconstruction", model.reconstruct(x)
        yield "a sample", model.sample(2, np.random.default_rng(0))
    for layer in (Tanh(), ReLU(), Softplus(), Sigmoid(), Dense(5, 4, rng=np.random.default_rng(0), dtype=np.float32)):
        y, cache = layer.forward(waves(6, 5).astype(np.float32))
        yield f"y of {type(layer).__name__}", y
        yield f"dx of {type(layer).__name__}", layer.backward(y, cache)


def purity():
    """The same call gives the same, encoding draws nothing, and no argument and no cache is written."""
    for case in (bernoulli_case(), gaussian_case()):
        given = case.x.copy(), case.eps.copy()
        same("a second loss", case.model.loss(*case[1:]), case.model.loss(*case[1:]))
        same("the gradient of a second call", gradient(case), gradient(case))
        same("a second encoding", case.model.encode(case.x), case.model.encode(case.x))
        same("x after the calls", case.x, given[0])
        same("eps after the calls", case.eps, given[1])
    for layer in (Tanh(), ReLU()):
        name = type(layer).__name__
        dy, kept = np.array([[1.0, -2.0, 3.0]]), np.array([[1.0, -2.0, 3.0]])
        _, cache = layer.forward(np.array([[0.5, -0.7, 1.0]]))
        same(f"a second backward pass of {name}", layer.backward(dy, cache), layer.backward(kept.copy(), cache))
        same(f"dy after the backward pass of {name}", dy, kept)


def same(what, got, expected):
    """Equal, bit for bit."""
    demand(np.array_equal(got, expected), f"{what} is not the same")


def refusals():
    """Data that the likelihood cannot have made, unscaled images, missing noise and shapes that would broadcast are refused."""
    model, x, eps, _ = bernoulli_case()
    refused("x above 1", model.loss, x + 0.5, eps)
    refused("missing noise", model.loss, x, None)
    refused("noise of one row", model.loss, x, eps[:1])
    other = gaussian_case()
    refused("8-bit pixels", other.model.loss, (100 + 50 * other.x).astype(np.uint8), other.eps)
    refused("mu (3, 1) with logvar (3, 4)", gaussian.kl_divergence, np.zeros((3, 1)), np.zeros((3, 4)))
    refused("x (2, 1) with out (2, 4)", Gaussian().nll, np.zeros((2, 4)), np.zeros((2, 1)))


def refused(what, f, *args):
    """f(*args) raises TypeError or ValueError."""
    try:
        f(*args)
    except (TypeError, ValueError):
        return
    raise AssertionError(f"{what}: not refused")


def memory():
    """The layers' arrays and the model's vectors are one memory, also after an assignment."""
    model = bernoulli_case().model
    layer = model.decoder.layers[0]
    layer.W = 2 * layer.W
    layer.b[0] = 7
    values = np.concatenate([np.ravel(getattr(owner, name)) for owner in (model.decoder.layers[0],) for name in ("W", "b")])
    start = sum(value.size for name, value, _ in model.params if name.startswith("encoder"))
    same("layer.W in theta after an assignment", model.params.theta[start : start + values.size], values)
    model.params.theta *= 0.5
    same("layer.b after theta *= 0.5", layer.b[0], 3.5)


DATA = waves(10, 5, speed=0.9)


def small_run(**arguments):
    """-> theta after two epochs on ten rows, and the history."""
    model = VAE.dense(5, (4,), 2, Gaussian(), rng=np.random.default_rng(0), dtype=np.float64)
    arguments = {"epochs": 2, "batch_size": 10, "rng": np.random.default_rng(1), **arguments}
    history = fit(model, DATA, optimizer=Adam(), **arguments)
    return model.params.theta, history


def randomness():
    """Random numbers come from the generator that is handed over, once. Equal ones give equal noise, layers start unlike, and
    validation leaves training as it was."""
    model, rng = bernoulli_case().model, np.random.default_rng(6)
    drawn = [model.noise(3, np.random.default_rng(6)), model.noise(3, np.random.default_rng(6)), model.noise(3, rng)]
    same("the noise of an equal generator", drawn[0], drawn[1])
    demand(not np.array_equal(drawn[2], model.noise(3, rng)), "the noise of the next call is the same")
    shared = np.random.default_rng(0)
    first, second = Dense(3, 3, rng=shared), Dense(3, 3, rng=shared)
    demand(not np.array_equal(first.W, second.W), "two layers start with the same weights")
    same("theta of a run with validation", small_run()[0], small_run(validation=DATA[:3])[0])


def epochs():
    """An epoch is each row once, in new company, with new pixels and its own label; its record is the mean over the rows; patience
    has an end."""
    rows = Rows(waves(10, 5, speed=0.9) * 0.5 + 0.5, None)
    batches = TrainingBatches(bernoulli_case().model, rows, 4, None, root=3)
    first, second = ([x for x, *_ in batches.epoch(epoch)] for epoch in (1, 2))
    demand(
        [len(x) for x in first] == [4, 4, 2], f"10 rows by 4: the batches' sizes are {[len(x) for x in first]}, should be [4, 4, 2]"
    )
    same("the rows of an epoch, sorted", *(np.sort(np.concatenate(part)[:, 0]) for part in (first, [rows.rows])))
    company = [{frozenset(x[:, 0]) for x in epoch} for epoch in (first, second)]
    demand(not company[0] & company[1], "a batch of the first epoch is one of the second, too")
    label = np.array([2, 0, 1, 1, 3, 0, 2, 3, 1, 0])
    labelled = Rows(rows.rows, None, label)
    volume_two.labels(TrainingBatches(bernoulli_case().model, labelled, 4, None, root=3), labelled.rows, label)
    dynamic = TrainingBatches(bernoulli_case().model, rows, 10, "dynamic", root=3)
    counts = [sorted(next(iter(dynamic.epoch(epoch)))[0].sum(axis=1)) for epoch in (1, 2)]
    demand(counts[0] != counts[1], "two epochs of dynamic binarization have the same pixels")
    _recorded()
    state = State(root=0)
    for loss in (1.0, 2.0, 3.0):
        state.compare(loss, None)
    demand(state.waited == 2, f"the count of epochs without improvement is {state.waited}, should be 2")


def _recorded():
    """An epoch's record, of an objective whose loss is the first pixel, the same for every row's company: its mean is known."""

    def first_pixel(model, x, eps):
        model.params.grad[...] = 0
        return Loss(*[float(np.mean(x[:, 0]))] * 3)

    _, history = small_run(epochs=1, batch_size=4, objective=first_pixel, samples=1, validation=DATA[:7])
    record = history.records[0]
    close("the epoch's loss of a known objective", record["loss"], DATA[:, 0].mean())
    close("its validation loss", record["valid_loss"], DATA[:7, 0].mean())
    record = small_run(epochs=1, beta=3.0, validation=DATA[:7])[1].records[0]
    close("the validation loss at beta = 3", record["valid_loss"], record["valid_reconstruction"] + 3 * record["valid_kl"])


def resume():
    """A run that is taken up again ends where one that never stopped does."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.npz")
        small_run(epochs=1, checkpoint=path)
        same("theta of a resumed run", small_run(resume=path)[0], small_run()[0])
