"""The map equation -> function -> test. `test_equations.py` holds it against the notebooks, the docstrings and the test files.

Notebook 1 derives the core, the models and the schedules, notebook 6 what is beyond them, notebooks 10 to 13 what evaluation
computes and how the importance-weighted bound is trained. `markdown()` is the map of all as one table, a family a line, for the
README.
"""

from typing import NamedTuple


class Equation(NamedTuple):
    """homes: the functions and classes whose docstring states the equation; test: the one that would notice a mistake in it."""

    homes: tuple[str, ...]
    test: str


def _all(labels, homes, test):
    """The same homes and test for several labels: "KL-2 KL-3"."""
    return {label: Equation(tuple(homes.split()), test) for label in labels.split()}


NOTEBOOKS = {
    1: "01_derivation",
    6: "06_beyond",
    10: "10_elbo_exactly",
    11: "11_linear_vae_is_ppca",
    12: "12_collapse_predicted",
    13: "13_gradient_estimators",
}
FAMILIES = {  # and their notebook; all others are derived in notebook 1
    **dict.fromkeys(["CONV", "CONVT", "POOL", "PIX", "CB", "CAT", "CAP", "FREE", "CVAE"], 6),
    **dict.fromkeys(["QUAD", "IW"], 10),
    "PPCA": 11,
    "COLL": 12,
    **dict.fromkeys(["IWG", "DREG", "PATH", "SCORE"], 13),
}

LAYER_GRADIENTS = "test_layers.py::test_the_gradients_agree_with_the_complex_step"
GAUSSIAN_GRADIENTS = "test_gaussian.py::test_the_gradient_agrees_with_the_complex_step"
OPTIMIZER_STEPS = "test_optimizers.py::test_steps_follow_the_printed_equations"
ADAM_VECTORS = "test_adam.py::test_adam_matches_sixty_digit_vectors"
CONVOLUTION_GRADIENTS = "test_convolution.py::test_the_gradients_agree_with_the_complex_step"
BEYOND_NLL = "test_beyond_likelihoods.py::test_the_nll_agrees_with_literal_loops"
BEYOND_GRADIENTS = "test_beyond_likelihoods.py::test_the_gradient_agrees_with_the_complex_step"
OBJECTIVE_LOSS = "test_objectives.py::test_the_loss_agrees_with_literal_loops"
OBJECTIVE_GRADIENTS = "test_objectives.py::test_the_gradient_agrees_with_the_complex_step"
IMPORTANCE_GRADIENTS = "test_importance.py::test_the_gradient_agrees_with_the_complex_step"

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
    **_all("SCHED-6", "training.schedules.stages", "test_schedules.py::test_the_stages_of_burda_et_al"),
    # volume two
    **_all("CONV-1", "beyond.convolution", "test_convolution.py::test_the_gradient_of_each_convolution_is_the_other"),
    **_all(
        "CONV-2 CONV-3",
        "beyond.convolution.Conv2D",
        "test_convolution.py::test_convolution_agrees_with_literal_loops",
    ),
    **_all("CONV-4 CONV-5 CONV-6", "beyond.convolution.Conv2D.backward", CONVOLUTION_GRADIENTS),
    **_all(
        "CONVT-1 CONVT-2",
        "beyond.convolution.ConvTranspose2D",
        "test_convolution.py::test_transposed_convolution_agrees_with_literal_loops",
    ),
    **_all(
        "CONVT-3",
        "beyond.convolution.ConvTranspose2D",
        "test_convolution.py::test_transposed_convolution_is_the_adjoint_of_convolution",
    ),
    **_all("CONVT-4 CONVT-5 CONVT-6", "beyond.convolution.ConvTranspose2D.backward", CONVOLUTION_GRADIENTS),
    **_all(
        "POOL-1",
        "beyond.pooling.MaxPool2D",
        "test_convolution.py::test_pooling_and_its_gradient_agree_with_literal_loops",
    ),
    **_all("POOL-2", "beyond.pooling.MaxPool2D.backward", CONVOLUTION_GRADIENTS),
    **_all("PIX-1 PIX-2", "beyond.likelihoods.DiagonalGaussian", BEYOND_NLL),
    **_all("PIX-3 PIX-4", "beyond.likelihoods.DiagonalGaussian.nll_and_grad", BEYOND_GRADIENTS),
    **_all(
        "CB-1",
        "beyond.likelihoods.ContinuousBernoulli",
        "test_beyond_distributions.py::test_the_continuous_bernoulli_density_integrates_to_one",
    ),
    **_all(
        "CB-2 CB-3",
        "beyond.likelihoods.ContinuousBernoulli",
        "test_continuous_bernoulli.py::test_the_continuous_bernoulli_reproduces_the_table",
    ),
    **_all("CB-4", "beyond.likelihoods.ContinuousBernoulli.nll_and_grad", BEYOND_GRADIENTS),
    **_all("CAT-1 CAT-2", "beyond.categorical.Categorical", BEYOND_NLL),
    **_all("CAT-3", "beyond.categorical.Categorical.nll_and_grad", BEYOND_GRADIENTS),
    **_all("CAP-1", "beyond.objectives.capacity", OBJECTIVE_LOSS),
    **_all("CAP-2", "beyond.objectives.capacity", OBJECTIVE_GRADIENTS),
    **_all("FREE-1", "beyond.objectives.free_bits", OBJECTIVE_LOSS),
    **_all("FREE-2", "beyond.objectives.free_bits", OBJECTIVE_GRADIENTS),
    **_all(
        "CVAE-1",
        "models.conditional.ConditionalVAE",
        "test_conditional_evaluation.py::test_with_the_exact_posterior_the_bound_is_log_p_of_x_given_c",
    ),
    **_all("CVAE-2", "models.conditional.ConditionalVAE", "test_conditional.py::test_the_loss_agrees_with_literal_loops"),
    **_all("CVAE-3", "models.conditional.WithLabels", "test_conditional.py::test_a_label_is_a_row_of_w_added_to_the_bias"),
    **_all(
        "CVAE-4",
        "models.conditional.WithLabels.backward",
        "test_conditional.py::test_a_layer_told_labels_has_the_gradient_of_its_own_input",
    ),
    # exact answers
    **_all(
        "QUAD-1",
        "evaluation.trapezoid.log_integral",
        "test_quadrature.py::test_both_rules_know_the_integral_of_a_gaussian_of_any_place_and_width",
    ),
    **_all(
        "QUAD-2",
        "evaluation.quadrature.log_likelihood_by_quadrature",
        "test_quadrature.py::test_it_is_the_closed_form_of_a_linear_decoder",
    ),
    **_all("QUAD-3", "evaluation.trapezoid.normal_mean", "test_quadrature.py::test_the_normal_mean_is_exact_for_moments_and_waves"),
    **_all("QUAD-4", "evaluation.trapezoid.normal_log_mean", "test_quadrature.py::test_for_two_draws_it_is_the_integral_over_both"),
    **_all(
        "QUAD-5",
        "evaluation.gauss_legendre.log_integral_and_mean",
        "test_quadrature.py::test_both_rules_know_the_integral_of_a_gaussian_of_any_place_and_width",
    ),
    **_all(
        "QUAD-6", "evaluation.quadrature.elbo_by_quadrature", "test_quadrature.py::test_the_three_agree_after_training_on_digits"
    ),
    **_all(
        "QUAD-7",
        "evaluation.quadrature.kl_to_posterior",
        "test_quadrature.py::test_the_kl_is_that_of_two_gaussians_where_the_posterior_is_one",
    ),
    **_all(
        "QUAD-8",
        "evaluation.quadrature.expected_bound_by_quadrature",
        "test_quadrature.py::test_the_draws_of_the_sampled_bound_average_to_it",
    ),
    **_all(
        "IW-1 IW-2 IW-3",
        "evaluation.bounds.importance_sampling",
        "test_importance_sampling.py::test_effective_samples_and_error_are_those_of_the_printed_formulas",
    ),
    **_all(
        "PPCA-1 PPCA-2 PPCA-3",
        "evaluation.probabilistic_pca.ppca",
        "test_exact_ppca.py::test_the_digits_to_all_known_digits",
    ),
    **_all(
        "PPCA-4",
        "evaluation.probabilistic_pca.LinearGaussian.posterior",
        "test_exact_ppca.py::test_density_and_posterior_are_those_of_the_gaussian_model",
    ),
    **_all(
        "PPCA-5",
        "evaluation.probabilistic_pca.PPCA.log_density",
        "test_exact_ppca.py::test_density_and_posterior_are_those_of_the_gaussian_model",
    ),
    **_all("PPCA-6", "evaluation.exact.linear_elbo", "test_exact_ppca.py::test_linear_elbo_is_the_elbo_of_any_encoder"),
    **_all("COLL-1", "evaluation.exact.active_latents", "test_exact_ppca.py::test_how_many_latents_of_the_digits_stay_active"),
    **_all(
        "COLL-2 COLL-3 COLL-4",
        "evaluation.exact.linear_optimum",
        "test_exact_ppca.py::test_rate_and_distortion_are_those_of_the_vae_made_from_the_optimum",
    ),
    # the importance-weighted bound as an objective
    **_all("IWG-1", "beyond.importance.log_weights", "test_importance.py::test_the_loss_agrees_with_literal_loops"),
    **_all("IWG-2", "beyond.importance.importance_weighted", IMPORTANCE_GRADIENTS),
    **_all("IWG-3 IWG-4", "beyond.importance.total_backward", IMPORTANCE_GRADIENTS),
    **_all(
        "DREG-1",
        "beyond.importance.doubly_reparameterized",
        "test_gradient_comparison.py::test_the_expectation_for_two_draws_is_the_derivative_of_l_2",
    ),
    **_all(
        "PATH-1",
        "beyond.importance.path_backward",
        "test_importance.py::test_the_doubly_reparameterized_gradient_agrees_with_literal_loops",
    ),
    **_all("PATH-2", "beyond.estimators.path_derivative", "test_estimators.py::test_the_others_agree_with_literal_loops"),
    **_all(
        "PATH-3",
        "beyond.comparison.expected_gradient",
        "test_gradient_comparison.py::test_all_have_the_same_expectation_the_derivative_of_the_elbo",
    ),
    **_all("SCORE-1 SCORE-2", "beyond.estimators.score_function", "test_estimators.py::test_the_others_agree_with_literal_loops"),
    **_all("SCORE-3", "beyond.estimators.leave_one_out", "test_estimators.py::test_the_others_agree_with_literal_loops"),
}


def family(label):
    """ "KL-2" -> "KL"."""
    return label.partition("-")[0]


def notebook(label):
    """The number of the notebook that derives it."""
    return FAMILIES.get(family(label), 1)


def markdown():
    """The map as a Markdown table: a family of equations, its notebook, the functions that state them, the tests that hold them."""
    lines = ["| equations | notebook | code | tests |", "|---|---|---|---|"]
    for name in dict.fromkeys(map(family, EQUATIONS)):
        members = [label for label in EQUATIONS if family(label) == name]
        homes = dict.fromkeys(home for label in members for home in EQUATIONS[label].homes)
        homes = [home for home in homes if not _is_method(home, homes)]
        files = dict.fromkeys(EQUATIONS[label].test.partition("::")[0] for label in members)
        numbers = name + "-1" if len(members) == 1 else f"{name}-1 to {len(members)}"
        code, tests = (", ".join(f"`{text}`" for text in texts) for texts in (homes, files))
        lines.append(f"| {numbers} | {notebook(members[0])} | {code} | {tests} |")
    return "\n".join(lines)


def _is_method(home, homes):
    """Is it a method of a class that is there? A class stands for its methods; a module does not stand for its classes."""
    owner = home.rpartition(".")[0]
    return owner in homes and owner.rpartition(".")[2][0].isupper()
