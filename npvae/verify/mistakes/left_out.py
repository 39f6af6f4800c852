"""Mistakes that are known and cannot be planted here, with the reason: {name: (what, why it is left out)}."""

_CRASH = "It crashes, and needs no check to be seen."
_PROSE = "It lies in a text, not in code."
_NOT_HERE = "The library has no such part."
_REFUSED = "The library refuses it when the model is built."
_CHECKER = "It is a mistake of a checker; npvae.verify scales its steps by the coordinate and recognizes kinks."
_TESTS = "It is a mistake of a test suite."
_PROTOCOL = "It is a matter of protocol: the number is right, and must say what it is."
_USE = "It lies in how results are used or read."
_GRAY = "Allowed, and reported as a cross-entropy; called a likelihood it is gray_without_normalizer."
_CHANNEL = "Conv2D refuses them, and says how to add the axis."

LEFT_OUT = {
    "bernoulli_on_gray": ("grey pixels under a Bernoulli likelihood", _GRAY),
    "sigmoid_with_standardized_data": ("standardized pixels behind a sigmoid", "It is data_outside_unit_interval."),
    "kl_threshold_as_weight": ("a bound on the KL and its weight under one name", _PROSE),
    "prior_parameters_phi": ("the encoder's parameters said to be the prior's", _PROSE),
    "theta_phi_swapped": ("theta for the encoder, phi for the decoder", _PROSE),
    "logvar_unbounded": ("e^logvar beyond the range of numbers", "NonFiniteError names z or the KL and its index."),
    "noise_fixed_shape": ("noise with as many rows as a full batch", _CRASH),
    "fixed_batch_view": ("a reshape by the configured batch size", _CRASH),
    "consistent_rescaling": ("both terms divided by B D", "It is no mistake; see objective_divided_by_d."),
    "regularizer_misaveraged": ("weight decay averaged with the data", _NOT_HERE),
    "recomputed_forward": ("a backward pass that computes the forward pass once more", "The numbers are right: it is only slow."),
    "bias_wrong_axis": ("a bias's gradient summed over the features", _CRASH),
    "adam_eps_before_correction": ("eps added before the root is corrected", "It is adam_eps_hat, written otherwise."),
    "adam_moments_per_example": ("averages kept for each slot of the batch", _CRASH),
    "adam_self_referential_test": ("a test that repeats the formula of what it tests", _TESTS),
    "amsgrad_vector_for_adam": ("golden numbers of another optimizer, and a tolerance that hides it", _TESTS),
    "batchnorm_in_decoder": ("statistics of the current batch at test", _NOT_HERE),
    "mutable_default": ("one default instance shared by two objects", _REFUSED),
    "trained_on_test_data": ("training and test data joined", _USE),
    "no_validation_path": ("no validation step", _USE),
    "unlike_numbers_compared": ("grey, thresholded, static and dynamic binarization in one table", _PROTOCOL),
    "output_bias_zero": ("an output bias of 0 in place of logit(mean)", _PROTOCOL),
    "latent_grid_linear": ("a linear grid where quantiles of the prior belong", "It lies in a picture, which no number shows."),
    "collapse_unnoticed": ("a KL of 0 taken for convergence", _USE),
    "posterior_sampling_called_generation": ("reconstructions shown as samples", "sample() takes no x."),
    "plain_save": ("a checkpoint written in place", "Only killing processes shows it: the tests of checkpoints do."),
    "typo_creates_variable": ("a misspelt option that nobody reads", "Python refuses unknown arguments."),
    "attribute_fallback_none": ("unknown attributes that are None", "Python refuses unknown attributes."),
    "hard_coded_784": ("a width written into the code", _CRASH),
    "decoder_never_reaches_28": ("transposed convolutions that end at 13 x 13", _REFUSED),
    "channel_axis_missing": ("images without a channel axis in a convolution", _CHANNEL),
    "trainable_variables_of_a_function": ("the parameters asked of a plain function", _CRASH),
    "loss_reads_undefined_names": ("a loss that reads variables of another function", _CRASH),
    "target_built_not_used": ("data made, and other data trained on", _USE),
    "fd_step_absolute": ("one step for coordinates of all sizes", _CHECKER),
    "fd_across_kink": ("a difference across the kink of a ReLU", _CHECKER),
    "loose_tolerance": ("a tolerance of 0.1 on a loss, of 0.01 on a derivative", _TESTS),
    "tamed_function": ("a function tested where both sides vanish", _TESTS),
    "vacuous_cotangent": ("the sum of a softmax, whose gradient is 0", _TESTS),
    "small_means_right": ("an absolute tolerance, and gradients below it", _TESTS),
    "prints_only": ("a test that asserts nothing", _TESTS),
    "not_collected": ("a test whose name the runner does not know", _TESTS),
    "unseeded_flaky": ("random input with a fixed tolerance", _TESTS),
}  # fmt: skip
