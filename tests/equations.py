"""The map equation -> function -> test. `test_equations.py` holds it against notebook 1, the docstrings and the test files.

`markdown()` is the same map as a table, a family a line, for the README.
"""

from typing import NamedTuple


class Equation(NamedTuple):
    """homes: the functions and classes whose docstring states the equation; test: the one that would notice a mistake in it."""

    homes: tuple[str, ...]
    test: str


def _all(labels, homes, test):
    """The same homes and test for several labels: "KL-2 KL-3"."""
    return {label: Equation(tuple(homes.split()), test) for label in labels.split()}


LAYER_GRADIENTS = "test_layers.py::test_the_gradients_agree_with_the_complex_step"
GAUSSIAN_GRADIENTS = "test_gaussian.py::test_the_gradient_agrees_with_the_complex_step"
OPTIMIZER_STEPS = "test_optimizers.py::test_steps_follow_the_printed_equations"
ADAM_VECTORS = "test_adam.py::test_adam_matches_sixty_digit_vectors"

EQUATIONS: dict[str, Equation] = {
    # ELBO-1 and ELBO-2 are the way to ELBO-3: no function computes them
    **_all("ELBO-1 ELBO-2", "", "test_invariances.py::test_the_elbo_of_any_other_q_stays_below_by_the_kl_to_the_posterior"),
    **_all("ELBO-3", "models.vae.VAE", "test_invariances.py::test_the_elbo_of_the_exact_posterior_is_log_p_on_average"),
    **_all("ELBO-4", "models.vae.VAE", "test_vae.py::test_the_loss_agrees_with_literal_loops"),
    **_all("KL-1", "core.gaussian.kl_per_dimension", "test_gaussian.py::test_kl_and_its_gradient_reproduce_the_table"),
    **_all("KL-2 KL-3", "core.gaussian.kl_divergence_backward", GAUSSIAN_GRADIENTS),
    **_all("REP-1", "core.gaussian.reparameterize", "test_distributions.py::test_the_sample_is_mu_plus_sigma_eps"),
    **_all("REP-2 REP-3", "core.gaussian.reparameterize_backward", GAUSSIAN_GRADIENTS),
    **_all("GAU-1", "core.gaussian.log_density", "test_gaussian.py::test_log_density_and_its_gradient_reproduce_the_exact_value"),
    **_all("GAU-2 GAU-3 GAU-4", "core.gaussian.log_density_backward", GAUSSIAN_GRADIENTS),
    **_all("BER-1", "core.likelihoods.Bernoulli", "test_likelihoods.py::test_bernoulli_reproduces_the_table"),
    **_all("BER-2", "core.likelihoods.Bernoulli.nll_and_grad", "test_likelihoods.py::test_bernoulli_reproduces_the_table"),
    **_all("NOR-1", "core.likelihoods.Gaussian", "test_likelihoods.py::test_gaussian_nll_is_minus_the_log_density"),
    **_all(
        "NOR-2 NOR-3",
        "core.likelihoods.Gaussian.nll_and_grad",
        "test_likelihoods.py::test_the_gradient_agrees_with_the_complex_step",
    ),
    **_all("ACT-1", "core.layers.Tanh", "test_layers.py::test_the_activations_are_their_functions"),
    **_all("ACT-2", "core.layers.Tanh.backward", LAYER_GRADIENTS),
    **_all("ACT-3", "core.layers.ReLU", "test_layers.py::test_the_activations_are_their_functions"),
    **_all("ACT-4", "core.layers.ReLU.backward", LAYER_GRADIENTS),
    # twice: as a function of numbers, and as the layer that calls it
    **_all(
        "ACT-5",
        "core.numerics.softplus core.layers.Softplus",
        "test_numerics.py::test_softplus_and_sigmoid_reproduce_the_table",
    ),
    **_all("ACT-6", "core.layers.Softplus.backward", LAYER_GRADIENTS),
    **_all(
        "ACT-7",
        "core.numerics.sigmoid core.layers.Sigmoid",
        "test_numerics.py::test_softplus_and_sigmoid_reproduce_the_table",
    ),
    **_all("ACT-8", "core.layers.Sigmoid.backward", LAYER_GRADIENTS),
    **_all("LSE-1", "core.numerics.logsumexp", "test_numerics.py::test_logsumexp_reproduces_the_importance_weights"),
    **_all("DENSE-1", "core.layers.Dense", "test_layers.py::test_dense_is_x_w_plus_b"),
    **_all("DENSE-2 DENSE-3 DENSE-4", "core.layers.Dense.backward", LAYER_GRADIENTS),
    **_all("CHAIN-1", "core.layers.Chain", "test_layers.py::test_a_chain_is_its_layers_one_after_the_other"),
    **_all("CHAIN-2", "core.layers.Chain.backward", LAYER_GRADIENTS),
    **_all(
        "INIT-1",
        "core.layers.glorot",
        "test_initializers.py::test_glorot_is_uniform_within_root_six_over_fan_in_plus_fan_out",
    ),
    **_all("INIT-2", "core.layers.he", "test_initializers.py::test_he_is_normal_with_variance_two_over_fan_in"),
    **_all(
        "INIT-3",
        "core.layers.uniform",
        "test_initializers.py::test_uniform_draws_weights_and_biases_within_one_over_root_fan_in",
    ),
    # twice: for each likelihood
    **_all(
        "INIT-4",
        "core.likelihoods.Bernoulli.output_for_mean core.likelihoods.Gaussian.output_for_mean",
        "test_likelihoods.py::test_output_for_mean_is_the_output_with_that_mean",
    ),
    **_all("AE-1", "models.autoencoder.Autoencoder", "test_autoencoder.py::test_the_loss_agrees_with_literal_loops"),
    **_all("SGD-1", "core.optimizers.SGD", OPTIMIZER_STEPS),
    **_all("MOM-1 MOM-2", "core.optimizers.Momentum", OPTIMIZER_STEPS),
    **_all("RMS-1 RMS-2", "core.optimizers.RMSProp", OPTIMIZER_STEPS),
    **_all("ADA-1 ADA-2", "core.optimizers.Adagrad", OPTIMIZER_STEPS),
    **_all("ADAM-1 ADAM-2 ADAM-3 ADAM-4 ADAM-5", "core.optimizers.adam_update", ADAM_VECTORS),
    **_all("ADAM-6", "core.optimizers.Adam", "test_adam.py::test_adam_in_place_equals_algorithm_1"),
    **_all("SCHED-1", "training.schedules.linear_warmup", "test_schedules.py::test_warmup_by_a_number_of_steps"),
    **_all("SCHED-2", "training.schedules.cyclical", "test_schedules.py::test_cycles"),
    **_all("SCHED-3", "training.schedules.cosine", "test_schedules.py::test_cosine_ends_where_it_should"),
    **_all("SCHED-4", "training.schedules.step_decay", "test_schedules.py::test_step_decay"),
    **_all("SCHED-5", "training.schedules.exponential", "test_schedules.py::test_exponential"),
}


def family(label):
    """ "KL-2" -> "KL"."""
    return label.partition("-")[0]


def markdown():
    """The map as a Markdown table: a family of equations, the functions and classes that state them, the tests that hold them."""
    lines = ["| equations | code | tests |", "|---|---|---|"]
    for name in dict.fromkeys(map(family, EQUATIONS)):
        members = [label for label in EQUATIONS if family(label) == name]
        homes = dict.fromkeys(home for label in members for home in EQUATIONS[label].homes)
        homes = [home for home in homes if home.rpartition(".")[0] not in homes]  # a class stands for its methods
        files = dict.fromkeys(EQUATIONS[label].test.partition("::")[0] for label in members)
        numbers = name + "-1" if len(members) == 1 else f"{name}-1 to {len(members)}"
        code, tests = (", ".join(f"`{text}`" for text in texts) for texts in (homes, files))
        lines.append(f"| {numbers} | {code} | {tests} |")
    return "\n".join(lines)
