"""Wrong Adams: no gradient check can see any of them, since none touches a gradient."""

import math
from functools import partial

from numpy import sqrt

from npvae.core.optimizers import Adam, Optimizer
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import adam, adam_step, both, method

_ = partial(exhibit, "adam")
STEP = "theta = theta - lr mhat / (sqrt(vhat) + eps)   [ADAM-5]"


def rate_overwritten(update=Adam._update, init=Adam.__init__):
    """The corrected rate left in .lr, as a side effect; the steps themselves are right."""

    def made(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.given = self.lr

    def step(self, theta, grad, m, v):
        self.lr = self.given
        update(self, theta, grad, m, v)
        self.lr = self.given * math.sqrt(1 - self.beta2**self.t) / (1 - self.beta1**self.t)

    return both(method(Adam, "__init__", made), method(Adam, "_update", step))


EXHIBITS = [
    _("adam_eps_hat", "a constant eps beside the root that has not been corrected",
      wrong="theta = theta - lr sqrt(c2)/c1 m / (sqrt(v) + eps)", right="... / (sqrt(v) + sqrt(c2) eps)   [ADAM-6]",
      symptom="first step 0.9997 of the right one at g = 1e-3, 0.97 at 1e-5, 0.77 at 1e-6, 0.26 at 1e-7",
      evidence="scikit-learn, deep-learning-from-scratch, oakleafwarrior, TensorFlow and Keras (documented): tensorflow#9047, "
      "#35102, keras-team/keras#17391, pytorch#22628, optax#571; the same by eps before the correction: nanochat#353",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: math.sqrt(c2) / c1 * m / (sqrt(v) + eps))),
    _("adam_eps_hat_wrong_factor", "c2 eps for sqrt(c2) eps in the folded form",
      wrong="theta = theta - lr sqrt(c2)/c1 m / (sqrt(v) + c2 eps)", right="... / (sqrt(v) + sqrt(c2) eps)   [ADAM-6]",
      symptom="0.00269345 for 0.00269298",
      evidence="labml's annotated Adam page",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: math.sqrt(c2) / c1 * m / (sqrt(v) + c2 * eps))),
    _("adam_eps_inside_sqrt", "eps under the root, not beside it",
      wrong="theta = theta - lr mhat / sqrt(vhat + eps)", right=STEP,
      symptom="7.4e-4 off after one step of the vector network, 3.6e-2 after 101; only where g^2 is near eps",
      evidence="danielkurniadi decoder_model.py:68, keras-team/keras#8726",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: m / c1 / sqrt(v / c2 + eps))),
    _("adam_no_bias_correction", "averages that start at 0 taken as they are",
      wrong="theta = theta - lr m / (sqrt(v) + eps)", right="mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t)   [ADAM-3, ADAM-4]",
      symptom="the first step is 3.16 times too long with the default betas",
      evidence="mlx#1640",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: m / (sqrt(v) + eps))),
    _("adam_no_sqrt", "the root forgotten: divided by vhat itself",
      wrong="theta = theta - lr mhat / (vhat + eps)", right=STEP,
      symptom="the step grows as 1/g: 10 lr at g = 0.1, where 1 lr is right",
      evidence="labml (text), mila-iqia/blocks#1175",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: m / c1 / (v / c2 + eps))),
    _("adam_multiplies", "multiplied by the root in place of divided",
      wrong="theta = theta - lr mhat (sqrt(vhat) + eps)", right=STEP,
      symptom="a step of 0.01 lr at g = 0.1, where 1 lr is right: small gradients stand still",
      evidence="convnetjs#70",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: m / c1 * (sqrt(v / c2) + eps))),
    _("adam_t_per_tensor", "t counts once for each tensor",
      wrong="for each tensor: t = t + 1", right="for each step: t = t + 1   [ADAM-3]",
      symptom="with two tensors the first step is 0.74 of the right one: the corrections fade twice as fast",
      evidence="tinygrad commit 26ce2d9, tinygrad#10, clab/dynet#77",
      seen_by="adam",
      plant=adam(t=lambda t: 2 * t)),
    _("adam_t_is_epoch", "t counts epochs, not steps",
      wrong="for each epoch: t = t + 1", right="for each step: t = t + 1   [ADAM-3]",
      symptom="with two steps an epoch the second one, at constant g, is 1.34 lr for 1 lr: the correction of step 1 once more",
      evidence="y0ast/VAE-Torch",
      seen_by="adam",
      plant=adam(t=lambda t: (t + 1) // 2)),
    _("adam_t_unused", "the correction of step 1 for ever",
      wrong="mhat = m / (1 - beta1)", right="mhat = m / (1 - beta1^t)   [ADAM-3]",
      symptom="next_w off by 0.207 against a course's expected numbers, while m and v were right to 4e-9",
      evidence="Yorko/stanford_cs231n_2019#1, Divsigma/2020-cs213n#3",
      seen_by="adam",
      plant=adam(t=lambda t: 1)),
    _("adam_first_moment_loses_history", "m is the last gradient alone: no momentum",
      wrong="m = (1 - beta1) g", right="m = beta1 m + (1 - beta1) g   [ADAM-1]",
      symptom="steps end up 10 times shorter: m is 0.1 g",
      evidence="danielkurniadi decoder_model.py:64",
      seen_by="adam",
      plant=adam(averages=lambda g, m, v, b1, b2: ((1 - b1) * g, b2 * v + (1 - b2) * g * g))),
    _("adam_moments_forgotten", "both averages rebound in the loop and never kept: the sign of the gradient is all that is left",
      wrong="m, v = 0 at each step", right="m = beta1 m + (1 - beta1) g   [ADAM-1, ADAM-2]",
      symptom="every step is lr sign(g), 100 % of lr however noisy g is",
      evidence="jonona's NumPy VAE",
      seen_by="adam",
      plant=adam(averages=lambda g, m, v, b1, b2: ((1 - b1) * g, (1 - b2) * g * g), t=lambda t: 1)),
    _("adam_stale_moments", "the moments of the step before",
      wrong="theta_t from m_(t-1), v_(t-1)", right="theta_t from m_t, v_t   [ADAM-5]",
      symptom="the first step is 0",
      evidence="yburda/iwae",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, old_m, old_v: adam_step(old_m, old_v, c1, c2, eps))),
    _("adam_v_starts_at_one", "the average of the squares starts at 1",
      wrong="v = beta2^t + ...", right="v_0 = 0   [ADAM-2]",
      symptom="the first step is 32 times too short at |g| = 1, and worse below",
      evidence="yburda/iwae",
      seen_by="adam",
      plant=adam(lambda m, v, c1, c2, eps, *_: adam_step(m, v + (1 - c2), c1, c2, eps))),
    _("adam_default_drift", "a default edited, and all tests pass their own",
      wrong="lr = 0.001001", right="lr = 0.001",
      symptom="0.1 % longer steps; lr 1.001 and eps 1.00000001 survived 121 mutants of a test suite",
      seen_by="adam",
      plant=method(Adam.__init__, "__defaults__", (1.001e-3, 0.9, 0.999, 1e-8))),
    _("adam_beta1_undocumented", "another beta1 than the paper's, by default",
      wrong="beta1 = 0.99", right="beta1 = 0.9",
      symptom="m looks back 100 steps in place of 10",
      evidence="yburda/iwae",
      seen_by="adam",
      plant=method(Adam.__init__, "__defaults__", (1e-3, 0.99, 0.999, 1e-8))),
    _("adam_rate_overwritten", "the corrected rate left in the attribute lr",
      wrong="self.lr = lr sqrt(c2) / c1", right="lr as it was given   [ADAM-6]",
      symptom="lr reads 0.000316 for 0.001 after one step: schedules and resumed runs take the wrong value",
      evidence="scikit-learn AdamOptimizer",
      seen_by="adam",
      plant=rate_overwritten()),
    _("adam_state_not_saved", "a resumed run starts its averages anew",
      wrong="m = v = 0, t = 0 after loading", right="m, v, t as they were saved",
      symptom="the first step after loading is 1.0 lr long, whatever m was: a jump in the curves",
      evidence="of the VAE codes read for this museum only y0ast, yburda, pythae and AntixK save it",
      seen_by="adam resume",
      plant=method(Optimizer, "state_dict", lambda self: {"t": 0, **dict.fromkeys(self.averages)})),
]  # fmt: skip
