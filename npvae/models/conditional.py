"""The conditional variational autoencoder: it is told which class an example is of, and draws the class that is asked for.

The label c enters as a one-hot row e_c beside the input of both networks. So for given labels a conditional VAE *is* a VAE, whose
networks append these columns to whatever they are sent, and hand back its gradient without them. `given(labels)` is that VAE;
every method here is the one of the same name there.
"""

import numpy as np

from npvae.core.checks import has_shape, positive_integer
from npvae.core.layers import Tanh
from npvae.core.likelihoods import Bernoulli
from npvae.core.parameters import Layer
from npvae.models.base import dense_chains
from npvae.models.vae import VAE


class ConditionalVAE(VAE):
    """p(x|z, c) with p(z) = N(0, I) for every class c, and q(z|x, c): a VAE whose two networks are told the label c.

        log p(x|c) >= ELBO = E_q[ log p(x|z, c) ] - KL( q(z|x, c) || p(z) )         Sohn, Lee & Yan (2015), eq. 4  [CVAE-1]
        loss = 1/B sum_b ( -log p(x_b|z_b, c_b) + beta KL_b ),    z_b ~ q(z|x_b, c_b)                              [CVAE-2]

    The prior does not depend on c, as in Kingma et al. (2014), eq. 6: z holds what the label leaves open, such as handwriting.
    encoder: (B, D + n_classes) -> (B, 2Z), columns mu, then logvar; decoder: (B, Z + n_classes) -> (B, n); the one-hot columns come
    last. condition: the labels, integers (B,) from 0 to n_classes - 1; every method takes it, but noise, which needs none.
    Raises TypeError if condition is missing or holds no integers; ValueError for labels out of range or of another number than x.
    """

    sizes = ("latent_dim", "n_classes")

    def __init__(self, encoder, decoder, likelihood, latent_dim, n_classes):
        self.n_classes = positive_integer(self._name, "n_classes", n_classes)
        super().__init__(encoder, decoder, likelihood, latent_dim)

    @classmethod
    def dense(
        cls, data_dim, hidden=(400,), latent_dim=20, likelihood=Bernoulli(), activation=Tanh, *,
        n_classes, rng, dtype=np.float32, init="glorot", output_mean=None,
    ):  # fmt: skip
        """A model of Dense layers, as VAE.dense makes it; the first layer of each network has n_classes columns more."""
        n_classes = positive_integer(f"{cls.__name__}.dense", "n_classes", n_classes)
        chains = dense_chains(
            cls, data_dim, hidden, latent_dim, likelihood, activation,
            rng=rng, dtype=dtype, init=init, output_mean=output_mean, n_classes=n_classes,
        )  # fmt: skip
        return cls(*chains, likelihood, latent_dim, n_classes)

    def given(self, condition):
        """The VAE that this model is for a batch with these labels; it shares the parameters.  condition: (B,)."""
        return GivenLabels(self, self.as_labels(f"{self._name}.given", condition))

    def loss(self, x, eps, beta=1.0, *, condition=None):
        """Loss(total, reconstruction, kl) [CVAE-2], in nats per example.  x: (B, D); eps: (B, Z); condition: (B,)."""
        return self._given("loss", condition).loss(x, eps, beta)

    def loss_and_grad(self, x, eps, beta=1.0, *, condition=None):
        """The same loss, and its gradient with respect to every parameter, which it leaves in .params.grad."""
        return self._given("loss_and_grad", condition).loss_and_grad(x, eps, beta)

    def encode(self, x, *, condition=None):
        """q(z|x, c): mu, logvar (B, Z).  x: (B, D); condition: (B,). Draws nothing."""
        return self._given("encode", condition).encode(x)

    def decode(self, z, *, condition=None):
        """The decoder's raw output (B, n).  z: (B, Z); condition: (B,)."""
        z = self._latent("decode", "z", z)
        return self._given("decode", condition, len(z)).decode(z)

    def reconstruct(self, x, *, condition=None):
        """The mean of x given z = mu(x, c) and c, (B, D).  x: (B, D); condition: (B,)."""
        return self._given("reconstruct", condition).reconstruct(x)

    def sample(self, n, rng, *, condition=None):
        """n new data points of these classes: z ~ N(0, I), then the mean of x given z and c, (n, D).

        condition: (n,), or one integer: n times that label."""
        n = positive_integer(f"{self._name}.sample", "n", n)
        if condition is not None and np.ndim(condition) == 0:
            condition = np.full(n, condition)
        return self._given("sample", condition, n).sample(n, rng)

    def _given(self, where, condition, B="B"):
        return GivenLabels(self, self.as_labels(f"{self._name}.{where}", condition, B))

    def as_labels(self, where, condition, B="B", name="condition"):
        """Labels at the door: (B,) integers from 0 to n_classes - 1, for an index.  Raises TypeError, ValueError."""
        if condition is None:
            raise TypeError(f"{where}: {name} is missing; the model is conditional: give {name}=, the integer labels ({B},).")
        labels = np.asarray(condition)
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"{where}: {name} must be integer labels, got {labels.dtype}; whole numbers may pass .astype(int).")
        has_shape(where, name, labels, (B,), "one integer label an example; one-hot rows become labels by .argmax(axis=1).")
        if len(labels) == 0:
            raise ValueError(f"{where}: {name} holds no labels.")
        bad = np.flatnonzero((labels < 0) | (labels >= self.n_classes))
        if len(bad):
            raise ValueError(
                f"{where}: {name} is {labels[bad[0]]} at [{bad[0]}], expected 0 to {self.n_classes - 1}, since n_classes is "
                f"{self.n_classes} ({len(bad)} of {len(labels)} labels are out of range)."
            )
        return labels.astype(np.intp, copy=False)


class GivenLabels(VAE):
    """A conditional VAE with the labels of a batch filled in: a VAE in every method, over the parameters of the conditional model.

    x has one row a label; z may have K rows a label, as WithLabels says. It is trained, described and saved as the model it is of.
    """

    def __init__(self, model, labels):  # nothing is gathered: the parameters stay the model's
        onehot = np.zeros((len(labels), model.n_classes), model.real_dtype)  # (B, n_classes)
        onehot[np.arange(len(labels)), labels] = 1
        self.model, self.labels = model, labels
        self.encoder = WithLabels(model.encoder, onehot)
        self.decoder = WithLabels(model.decoder, onehot)
        for name in ("likelihood", "latent_dim", "data_dim", "params", "dtype", "real_dtype"):
            setattr(self, name, getattr(model, name))

    @property
    def _name(self):
        return self.model._name  # whose method was called

    def as_data(self, where, x):
        """x at the door, as for every model; one row a label."""
        x = super().as_data(where, x)
        if len(x) != len(self.labels):
            raise ValueError(f"{self._name}.{where}: x has {len(x)} rows, but condition has {len(self.labels)} labels.")
        return x

    def astype(self, dtype):
        """The same labels given to a twin of the model."""
        return self.model.astype(dtype).given(self.labels)

    def config(self):
        """Refused.  Raises TypeError."""
        raise TypeError(f"{self._name}.given(...) is a view for one batch; describe, save and train the {self._name} itself.")

    def __reduce__(self):
        return type(self), (self.model, self.labels)


class WithLabels(Layer):
    """y = f( (x, e_c) ): f of the row x with the one-hot row of its label appended.                              [CVAE-3]

        (x, e_c) W = x W_x + row c of W_c,    W_x over W_c the rows of W          so to a Dense layer a label is a second bias

    layer: f; onehot: (B, n_classes). x: (B, D), or (K B, D) for K samples of each example in the order of eps (K, B, Z) reshaped:
    all examples, K times. Raises ValueError for another number of rows.
    """

    def __init__(self, layer, onehot):
        self.layers, self.onehot = [layer], onehot

    def forward(self, x):
        """-> y, cache of f [CVAE-3]."""
        B = len(self.onehot)
        if len(x) == 0 or len(x) % B:
            raise ValueError(f"given({B} labels): there are {len(x)} rows, expected {B}, or K times {B} for K samples of each.")
        e = np.tile(self.onehot, (len(x) // B, 1))  # (K B, n_classes)
        return self.layers[0].forward(np.concatenate([x, e], axis=1))

    def backward(self, dy, cache, need_dx=True):
        """dL/dx = the columns of dL/d(x, e_c) that belong to x: a label is given, it has no gradient.              [CVAE-4]"""
        dx = self.layers[0].backward(dy, cache, need_dx)
        return dx[:, : dx.shape[1] - self.onehot.shape[1]] if need_dx else None
