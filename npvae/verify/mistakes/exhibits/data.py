"""Mistakes with what comes beside the rows: labels, and the scale of the columns."""

from functools import partial

import numpy as np

from npvae.data.dataset import Dataset
from npvae.data.standardize import Standardization
from npvae.models.conditional import GivenLabels
from npvae.training.batches import Rows
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import method

_ = partial(exhibit, "data")


def without_labels(part):
    """The one-hot columns of one of the two networks are 0; loss and gradient agree."""

    def init(self, model, labels, original=GivenLabels.__init__):
        original(self, model, labels)
        network = getattr(self, part)
        network.onehot = np.zeros_like(network.onehot)

    return method(GivenLabels, "__init__", init)


def fitted_to_all(self, by=None, right=Dataset.standardized):
    """Mean and standard deviation of training and test rows together."""
    rows = np.concatenate([self.floats(split, np.float64) for split, _, _ in self.splits()])
    return right(self, Standardization.of(rows) if by is None else by)


def of_labels(self, index, right=Rows.given):
    """The labels at the rows whose numbers are the labels."""
    return {name: labels[labels[index]] for name, labels in right(self, slice(None)).items()}


EXHIBITS = [
    _("labels_to_decoder_only", "a conditional model whose encoder is not told the label",
      wrong="q(z|x), p(x|z, c)", right="q(z|x, c), p(x|z, c)   [CVAE-1]",
      symptom="a bound still, but a looser one: -5.4 nats for -4.9 in the check's model; q(z|x) has to guess c",
      evidence="ceh-2000/fed_cvae#71, YixinChen-AI/CVAE-GAN-zoos-PyTorch-Beginner#12",
      seen_by="bound",
      plant=without_labels("encoder")),
    _("labels_to_encoder_only", "a conditional model whose decoder is not told the label",
      wrong="q(z|x, c), p(x|z)", right="q(z|x, c), p(x|z, c)   [CVAE-1]",
      symptom="sample(n, rng, condition=7) draws all ten digits, a 7 once in 10 times",
      seen_by="bound",
      plant=without_labels("decoder")),
    _("labels_indexed_by_labels", "labels used as row numbers",
      wrong="c = labels[labels[rows]]", right="c = labels[rows]",
      symptom="each 7 gets the label of row 7; on the digits nothing shows: their first 10 rows are 0, 1, ..., 9",
      evidence="abhayran data.py:23",
      seen_by="epochs",
      plant=method(Rows, "given", of_labels)),
    _("standardized_with_test_rows", "mean and standard deviation of all rows, those of the test included",
      wrong="mean, std of (train, test)", right="mean, std of train, for all splits",
      symptom="the test is no longer unseen: a mean of 6.951 for 3.488 in the check's first column",
      evidence="scikit-learn#24695, #17619, intro-stat-learning/ISLP_labs#21, d2l-ai/d2l-en#843",
      seen_by="standardization",
      plant=method(Dataset, "standardized", fitted_to_all)),
    _("log_volume_forgotten", "nats of standardized data reported as nats of the data",
      wrong="-log p(x) = -log p(u)", right="-log p(x) = -log p(u) + sum_d log std_d,  u = (x - mean) / std",
      symptom="116.6 nats too many on the digits; the check's density integrates to 1.900",
      evidence="awslabs/gluonts#1221 (log-densities off by the logarithm of the scale)",
      seen_by="standardization",
      plant=method(Standardization, "log_volume", property(lambda self: 0.0))),
]  # fmt: skip
