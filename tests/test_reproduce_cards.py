"""The protocol that each card of benchmarks/reproduce hands to fit and to the measuring, and whether its results are of it."""

import numpy as np
import pytest

from npvae import VAE, Adam, Gaussian, load_digits
from npvae.beyond.importance import importance_weighted
from npvae.core.gaussian import kl_divergence
from npvae.data import Dataset
from npvae.evaluation import Record, elbo
from npvae.training import History


class Spy:
    """In place of a Job: notes what it is asked for, and trains nothing."""

    def fit(self, model, data, **settings):
        self.model, self.data, self.settings = model, data, settings
        return History([{"epoch": e, "step": e, "loss": 9.0, "valid_loss": 8.0 + e, "seconds": float(e)} for e in (1, 2, 3)])

    def measure(self, vae, data, binarize, samples, seed):
        self.measured = binarize, samples, seed
        return {"nll": 1.0, "elbo": -2.0}


@pytest.fixture
def asked(reproduce, monkeypatch):
    """A function: card, run -> what the card asks for in its long version, and its outcome."""
    rows = np.random.default_rng(0).integers(0, 256, (65, 784), np.uint8)
    data = Dataset(name="made up", scale=255.0, train=rows[:20], valid=rows[20:40], test=rows[40:])

    def of(card, run):
        module, spy, names = reproduce(card), Spy(), []
        for one in ("pytorch_example", "static_mnist", "iwae_k1"):
            monkeypatch.setattr(reproduce(one), "load_dataset", lambda name: names.append(name) or data)
        outcome = module.run(spy, **(module.FULL | module.RUNS[run]))
        spy.names = names
        assert outcome["seconds"] == 6.0
        assert spy.data is data
        return spy, outcome

    return of


def widths(vae):
    return [layer.n_out for layer in vae.decoder.layers if hasattr(layer, "n_out")]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_protocol_of_pytorch_example(seed, asked, reproduce, monkeypatch):
    monkeypatch.setattr(reproduce("pytorch_example"), "standard_error", len)
    spy, outcome = asked("pytorch_example", f"seed-{seed}")
    s = spy.settings
    assert (spy.names, s["epochs"], s["batch_size"], s["validation"]) == (["mnist"], 10, 128, "test")
    assert s["optimizer"].config() == Adam(1e-3).config()
    assert not {"binarize", "patience", "lr", "beta", "objective"} & set(s)
    assert (widths(spy.model), spy.model.latent_dim) == ([400, 784], 20)
    assert (outcome["seed"], outcome["loss_error"]) == (seed, len(spy.data.test))
    assert getattr(spy, "measured", None) == (("dynamic", 5000, 0) if seed == 0 else None)


@pytest.mark.parametrize(("run", "hidden"), [("one-layer", [400]), ("two-layers", [400, 400])])
def test_protocol_of_static_mnist(run, hidden, asked):
    spy, outcome = asked("static_mnist", run)
    s = spy.settings
    assert (spy.names, s["epochs"], s["batch_size"], s["validation"]) == (["binarized-mnist"], 500, 100, "valid")
    assert (s["binarize"], s["patience"]) == (None, 500)
    drop = 10**-0.2
    rates = {0: 1e-4, 99_999: 1e-4, 100_000: 1e-4 * drop, 174_999: 1e-4 * drop, 175_000: 1e-4 * drop**2, 249_999: 1e-4 * drop**2}
    assert {step: s["lr"](step, 250_000) for step in rates} == pytest.approx(rates)
    assert (widths(spy.model), spy.model.latent_dim) == ([*hidden, 784], 40)
    assert spy.measured == (None, 200, 0)
    assert outcome["best_epoch"] == 1


@pytest.mark.parametrize(
    ("card", "run", "at_mean", "epochs", "k"),
    [("iwae_k1", "mean", True, 1600, None), ("iwae_k1", "zero", False, 1600, None), ("iwae_k5", "k5", True, 300, 5),
     ("iwae_k5", "k1", True, 300, None), ("iwae_k5", "k1-sampled", True, 300, 1)],
)  # fmt: skip
def test_protocol_of_the_iwae_cards(card, run, at_mean, epochs, k, asked):
    spy, _ = asked(card, run)
    s = spy.settings
    assert (spy.names, s["epochs"], s["batch_size"], s["binarize"]) == (["mnist"], epochs, 100, "dynamic")
    assert s["optimizer"].config() == Adam(1e-3, eps=1e-6).config()
    assert [s["lr"](step, 100) for step in (0, 50, 100)] == pytest.approx([1e-3, 10**-3.5, 1e-4])
    assert "patience" not in s  # nothing is chosen by the test images
    assert (s.get("objective"), s.get("samples")) == ((None, None) if k is None else (importance_weighted, k))
    assert (widths(spy.model), spy.model.latent_dim) == ([200, 200, 784], 50)
    (bias,) = (value for name, value, _ in spy.model.params if name.startswith("decoder") and value.shape == (784,))
    mean = spy.data.floats("train", np.float64).mean(axis=0)
    np.testing.assert_allclose(bias, np.log(mean / (1 - mean)) if at_mean else 0, atol=1e-4)
    assert spy.measured == ("dynamic", 5000, 0)


@pytest.mark.parametrize("card", ["pytorch_example", "static_mnist"])
def test_weights_and_biases_start_as_pytorchs(card, asked, reproduce):
    spy, _ = asked(card, next(iter(reproduce(card).RUNS)))
    W, b = [value for name, value, _ in spy.model.params if name.startswith("encoder")][:2]
    assert 0.9 / 28 < np.abs(b).max() <= 1 / 28  # 784 pixels: 1 / sqrt(n_in) = 1 / 28
    assert 0.99 / 28 < np.abs(W).max() <= 1 / 28


# --- the linear VAE ---------------------------------------------------------------------------------------------------------------


def test_protocol_of_the_linear_card(reproduce):
    spy, steps = Spy(), reproduce("linear_vae").FULL["steps"]
    for beta, learn, sigma in ((None, True, 1.0), (2, False, 0.1**0.5)):
        reproduce("linear_vae").trained(spy, load_digits().floats("train"), steps, 0, 5, beta)
        s, likelihood = spy.settings, spy.model.likelihood.config()
        assert (likelihood["learn"], likelihood["sigma"]) == (learn, pytest.approx(sigma))
        assert [s["lr"](step, 100) for step in (0, 50, 100)] == pytest.approx([0.02, 0.01, 0])
        assert (s["beta"], s["batch_size"], s["epochs"]) == (beta or 1, 512, steps // 4)
        assert "binarize" not in s


def few_steps(reproduce, folder, *settings):
    folder.mkdir()
    return reproduce("linear_vae").run(reproduce("job").Job("", folder), 4, *settings)


def test_the_linear_card_predicts_the_closed_form(reproduce, tmp_path):
    predicted = {beta: few_steps(reproduce, tmp_path / f"{beta}", (0,), 20, beta)["predicted"] for beta in (0.5, 1, 2, 5)}
    assert predicted == {0.5: 18, 1: 12, 2: 7, 5: 3}
    reached = few_steps(reproduce, tmp_path / "reached", (0, 1), 5)
    assert reached["optimum"] == pytest.approx(-8.9076366860631, rel=1e-10)
    first, second = (one["loss"] for one in reached["runs"])
    assert min(first, second) > reached["optimum"] + 1  # after four steps
    assert first != second  # each seed has a checkpoint of its own


def test_latents_and_loss_are_those_of_the_trained_model(reproduce, tmp_path):
    outcome = few_steps(reproduce, tmp_path / "run", (0,), 20, 1)
    assert outcome["runs"][0]["counted"] > outcome["predicted"]  # nothing has collapsed in four steps
    assert outcome["runs"][0]["loss"] > outcome["optimum"] + 1


def test_the_linear_cards_loss_is_reconstruction_and_beta_kl(reproduce):
    loss, x = reproduce("linear_vae").loss, load_digits().floats("test")
    vae = VAE.dense(64, (), 3, Gaussian(0.3), rng=np.random.default_rng(0))
    assert loss(vae, x, 1) == pytest.approx(-elbo(vae, x, np.random.default_rng(0), samples=200).mean(), rel=2e-3)
    assert loss(vae, x, 3) - loss(vae, x, 1) == pytest.approx(2 * kl_divergence(*vae.encode(x)).mean(), rel=1e-5)


# --- the result files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_example", "static_mnist", "iwae_k1", "iwae_k5", "linear_vae"])
def test_the_results_are_of_the_settings_that_the_card_has_now(name, reproduce, tmp_path):
    page, kept = reproduce("page"), reproduce("kept")
    for run, outcome in page.load(name).items():
        settings = kept.Kept(tmp_path, quick=False).settings(name, run)
        kept.agree(tmp_path, outcome["settings"], settings)
        if "curve" in outcome:
            assert (outcome["seed"], outcome["curve"]["epoch"][-1]) == (settings["seed"], settings["epochs"])
        if "nll" in outcome:
            record = Record.load(page.RESULTS / f"{name}-{run}.record.json")
            p, bound = record.protocol, record.numbers[f"L_{settings['samples']}"]
            assert (p.data, p.split, p.rows, p.k) == (settings["data"], "test", 10_000, settings["samples"])
            assert p.measure == "log-probability"
            assert p.binarization == ("none" if name == "static_mnist" else "dynamic")
            assert (outcome["error"], outcome["monte_carlo_error"]) == (bound.standard_error, bound.monte_carlo_error)
            assert (outcome["nll"], outcome["elbo"]) == (-bound.mean, record.numbers["ELBO"].mean)
