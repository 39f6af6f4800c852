"""Mistakes of the loop around the model: batches, records, patience, resumed runs."""

from functools import partial

import numpy as np

from npvae.training import batches
from npvae.training.batches import NOISE, TrainingBatches, stream
from npvae.training.loop import Run
from npvae.training.state import State, Sums
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import method

_ = partial(exhibit, "training")


def epoch_with(change):
    """Another epoch: change(list of (x, eps, given)) -> the batches."""
    original = TrainingBatches.epoch
    return method(TrainingBatches, "epoch", lambda self, epoch, start=0: change(list(original(self, epoch)))[start:])


def unshuffled(self, epoch, start=0):
    """The rows in their order."""
    for i in range(start, len(self)):
        x = self.data.floats(slice(i * self.batch_size, (i + 1) * self.batch_size), self.model.real_dtype)
        yield x, self.model.noise(len(x), stream(self.root, NOISE, epoch)), {}


def starts_shuffled(self, epoch, start=0):
    """Always the same batches, in another order."""
    rng = stream(self.root, NOISE, epoch)
    made = list(unshuffled(self, epoch))
    return [made[i] for i in rng.permutation(len(made))][start:]


def tiled(made):
    """The last batch filled up with its own rows."""
    size = len(made[0][0])
    return [(*(None if a is None else np.resize(a, (size, *a.shape[1:])) for a in arrays), given) for *arrays, given in made]


def drawn_once(data, how, rng, dtype, binarized=batches.binarized):
    """Pixels fixed before the first epoch; the draws of each epoch then find zeros and ones."""
    return binarized(data, "static" if how == "dynamic" else how, rng, dtype)


def one_generator_for_all():
    """Noise of training and of validation from one generator, which goes on from call to call."""
    made = {}

    def shared(root, purpose, epoch):
        if purpose == batches.SHUFFLE and epoch == 1:
            made.clear()  # a new run
        if purpose not in (NOISE, batches.EVALUATION):
            return stream(root, purpose, epoch)
        return made.setdefault(root, np.random.default_rng(root))

    return method(batches, "stream", shared)


def unweighted(self, B, loss, norm, seconds, add=Sums.add):
    """Every batch counts alike, however short."""
    add(self, 1, loss, norm, seconds)


def last_alone(self, B, loss, norm, seconds, add=Sums.add):
    """The sums start anew with each batch."""
    self.__init__()
    add(self, B, loss, norm, seconds)


def forgetful(self, loss, theta, compare=State.compare):
    """The counter starts anew in each epoch."""
    self.waited = 0
    compare(self, loss, theta)


def other_streams(cls, plain, best_theta, history, original=State.from_plain.__func__):
    """A resumed run with random streams of its own."""
    return original(cls, {**plain, "root": plain["root"] + 1}, best_theta, history)


def validate_at_one(self, validate=Run.validate):
    """Validation with beta = 1, whatever training minimizes."""
    beta, self.plan.beta = self.plan.beta, lambda step, steps: 1.0
    try:
        return validate(self)
    finally:
        self.plan.beta = beta


EXHIBITS = [
    _("never_shuffled", "the same batches in the same order, epoch after epoch",
      wrong="rows 0..B-1, B..2B-1, ...", right="a new permutation of the rows in each epoch",
      symptom="100 % of the batches of an epoch come again in the next",
      evidence="yburda/iwae, abhayran, two published tutorials",
      seen_by="epochs",
      plant=method(TrainingBatches, "epoch", unshuffled)),
    _("batch_starts_shuffled_only", "the offsets of the batches shuffled, not the rows",
      wrong="shuffle(range(0, N, B))", right="shuffle(range(N)), then cut",
      symptom="a row meets the same B - 1 others for ever",
      evidence="joelnet",
      seen_by="epochs",
      plant=method(TrainingBatches, "epoch", starts_shuffled)),
    _("short_batch_tiled", "the last batch filled up by repeating its rows",
      wrong="the last B rows, some of them twice", right="the last batch is as short as it comes",
      symptom="10 rows in batches of 4: two of them count twice in every epoch",
      evidence="jonona/vae-assignment",
      seen_by="epochs",
      plant=epoch_with(tiled)),
    _("mean_of_batch_means", "the batches' means averaged, with a short last batch",
      wrong="epoch = 1/n sum_i mean_i", right="epoch = sum_i B_i mean_i / sum_i B_i   [ELBO-4]",
      symptom="the value depends on the batch size: 10,000 rows by 32 give the last 16 twice their weight",
      evidence="TensorFlow cvae.ipynb",
      seen_by="epochs",
      plant=method(Sums, "add", unweighted)),
    _("last_batch_as_epoch", "the last batch's loss printed as the epoch's",
      wrong="epoch = mean_n", right="epoch = sum_i B_i mean_i / sum_i B_i   [ELBO-4]",
      symptom="a curve from 128 of 60,000 rows: noise",
      evidence="a published tutorial",
      seen_by="epochs",
      plant=method(Sums, "add", last_alone)),
    _("weights_differ_in_validation", "another beta in validation than in training",
      wrong="valid_loss = reconstruction + 1.0 KL", right="valid_loss = reconstruction + beta KL   [ELBO-4]",
      symptom="0.00025 in training against 1.0 in validation: curves that cannot be compared",
      evidence="AntixK/PyTorch-VAE, alibi-detect#90",
      seen_by="epochs",
      plant=method(Run, "validate", validate_at_one)),
    _("dynamic_binarization_frozen", "pixels drawn once that should be drawn anew in each epoch",
      wrong="x ~ Bernoulli(grey), once", right="x ~ Bernoulli(grey), in each epoch",
      symptom="the harder static task under the dynamic one's name: 88.71 against 86.76 nats in the IWAE tables",
      seen_by="epochs",
      plant=method(batches, "binarized", drawn_once)),
    _("early_stopping_reset", "the counter made anew in each epoch",
      wrong="waited = 0 in each epoch", right="waited = epochs since the best",
      symptom="waited never exceeds 1: a patience of 2 or more never ends",
      evidence="oakleafwarrior train.py:48",
      seen_by="epochs",
      plant=method(State, "compare", forgetful)),
    _("evaluation_consumes_training_rng", "validation draws from the generator of training",
      wrong="one generator for noise and validation", right="a stream for each purpose, a function of seed and epoch",
      symptom="how often one validates changes what is learned: validating every 1 or every 10 epochs gives two models",
      evidence="karpathy/char-rnn#17, HIPS/autograd examples",
      seen_by="randomness",
      plant=one_generator_for_all()),
    _("resume_incomplete", "parameters and optimizer resumed, the random streams not",
      wrong="theta, m, v, t", right="theta, m, v, t, epoch, step, and the seed of every stream",
      symptom="a resumed run ends elsewhere, at 100 % of its later noise and order",
      evidence="of the codes read for this museum only yburda/iwae saves its generator",
      seen_by="resume",
      plant=method(State, "from_plain", classmethod(other_streams))),
]  # fmt: skip
