"""What every model does around its mathematics: gather the parameters, look at what it is given, describe itself."""

from typing import NamedTuple

import numpy as np

from npvae.core.checks import NonFiniteError, finite, has_shape, positive_integer
from npvae.core.layers import Chain, Dense, Tanh
from npvae.core.likelihoods import Bernoulli
from npvae.core.parameters import Layer, ParamVector


class Loss(NamedTuple):
    """total = reconstruction + beta kl, the loss; all in nats per example."""

    total: float
    reconstruction: float
    kl: float

    @property
    def elbo(self):
        """-(reconstruction + kl), whatever beta is: a lower bound of log p(x)."""
        return -(self.reconstruction + self.kl)


class Model:
    """An encoder, a decoder and a likelihood over one parameter vector. The subclasses hold the mathematics."""

    code_width = 1  # encoder outputs for each latent dimension
    n_classes = 0  # one-hot columns that encoder and decoder get beside their input: none, but in a conditional model
    sizes: tuple[str, ...] = ("latent_dim",)  # the constructor's arguments behind encoder, decoder and likelihood

    def __init__(self, encoder, decoder, likelihood, latent_dim):
        self.encoder, self.decoder = (c if isinstance(c, Chain) else Chain([c]) for c in (encoder, decoder))
        self.likelihood = _instance(self._name, likelihood)
        self.latent_dim = positive_integer(self._name, "latent_dim", latent_dim)
        self.data_dim = self._measure()
        self._gather()

    @classmethod
    def dense(
        cls, data_dim, hidden=(400,), latent_dim=20, likelihood=Bernoulli(), activation=Tanh, *,
        rng, dtype=np.float32, init="glorot", output_mean=None,
    ):  # fmt: skip
        """A model of Dense layers: data_dim - hidden - latent_dim, and back through hidden reversed.

        hidden: widths of the encoder's hidden layers; activation: a Layer class without arguments; init: see Dense.
        output_mean: (D,), the data's mean; the output bias then starts where the decoder gives it (about one nat on MNIST).
        """
        encoder, decoder = dense_chains(
            cls, data_dim, hidden, latent_dim, likelihood, activation, rng=rng, dtype=dtype, init=init, output_mean=output_mean
        )
        return cls(encoder, decoder, likelihood, latent_dim)

    @property
    def _name(self):
        return type(self).__name__

    def __repr__(self):
        kind, P = self.likelihood.config()["type"], self.params.size
        return f"<{self._name}: {self.data_dim} values, {self.latent_dim} latents, {kind}, {P:,} parameters, {self.dtype}>"

    def _gather(self):
        """One ParamVector for all, in the dtype of the networks."""
        groups = {"encoder": self.encoder.layers, "decoder": self.decoder.layers, "likelihood": [self.likelihood]}
        dtypes = {value.dtype for chain in (self.encoder, self.decoder) for value in _values(chain)}
        self.params = ParamVector(groups, np.result_type(*dtypes) if dtypes else np.float64)
        self.dtype = self.params.dtype
        self.real_dtype = np.empty(0, self.dtype).real.dtype

    def _measure(self):
        """D, by sending a row of zeros through decoder and encoder, whose widths must fit together."""
        Z = self.latent_dim
        out, _ = self.decoder.forward(np.zeros((1, Z + self.n_classes)))
        n = out.shape[1]
        D = n // self.likelihood.n_outputs(1)
        if self.likelihood.n_outputs(D) != n:
            raise ValueError(f"{self._name}: the decoder gives {n} outputs, which do not fit {self.likelihood.config()['type']}.")
        code, _ = self.encoder.forward(np.zeros((1, D + self.n_classes)))
        if code.shape != (1, self.code_width * Z):
            parts = "mu, then logvar" if self.code_width == 2 else "the code"
            raise ValueError(
                f"{self._name}: the encoder gives {code.shape[1]} outputs, expected {self.code_width * Z}: "
                f"{self.code_width} x latent_dim = {self.code_width} x {Z} ({parts})."
            )
        return D

    def astype(self, dtype):
        """A twin with its own parameters in another dtype: float64 to check, float32 to train, complex128 for the complex step."""
        chains = (part.astype(dtype) for part in (self.encoder, self.decoder, self.likelihood))
        return type(self)(*chains, *(getattr(self, name) for name in self.sizes))

    def config(self):
        """Plain data from which `npvae.models.from_config` builds a model of the same shape (its parameters start anew)."""
        return {
            "type": self._name,
            "encoder": self.encoder.config(),
            "decoder": self.decoder.config(),
            "likelihood": self.likelihood.config(),
            **{name: getattr(self, name) for name in self.sizes},
            "dtype": self.dtype.name,
        }

    def __getstate__(self):  # copies and pickles would turn views into arrays of their own ...
        return {name: value for name, value in self.__dict__.items() if name != "params"}

    def __setstate__(self, state):  # ... so they are gathered again
        self.__dict__.update(state)
        self._gather()

    def as_data(self, where, x):
        """x at the door: (B, D), numbers that are data, in the model's real dtype."""
        x = np.asarray(x)
        where = f"{self._name}.{where}"
        if x.dtype == bool or not np.issubdtype(x.dtype, np.floating):
            if x.dtype != bool and not np.issubdtype(x.dtype, np.integer):
                raise TypeError(f"{where}: x must be an array of floats, got {x.dtype}.")
            if x.size and (x.min() < 0 or x.max() > 1):
                raise ValueError(f"{where}: x holds integers from {x.min()} to {x.max()}; scale them first, e.g. x / {x.max()}.")
        has_shape(where, "x", x, ("B", self.data_dim), "one example a row; flatten images with x.reshape(len(x), -1).")
        if len(x) == 0:
            raise ValueError(f"{where}: x has no rows.")
        return x.astype(self.real_dtype, copy=False)

    def _latent(self, where, name, z, B="B"):
        """Noise or latents at the door: (B, Z), in the model's real dtype (z of the complex twin may be complex)."""
        if z is None:
            raise TypeError(f"{self._name}.{where}: {name} is missing; draw it once with model.noise({B}, rng) and pass it in.")
        z = np.asarray(z)
        if not np.issubdtype(z.dtype, np.number):
            raise TypeError(f"{self._name}.{where}: {name} must be an array of floats, got {z.dtype}.")
        has_shape(f"{self._name}.{where}", name, z, (B, self.latent_dim), "one row an example, one column a latent.")
        return z if np.iscomplexobj(z) else z.astype(self.real_dtype, copy=False)

    def _beta(self, where, beta):
        if not isinstance(beta, (int, float, np.integer, np.floating)) or not 0 <= beta < np.inf:
            raise ValueError(f"{self._name}.{where}: beta must be a finite number of at least 0, got {beta!r}.")
        return float(beta)

    def _checked(self, where, loss, **stages):
        """-> loss, if it is finite; else NonFiniteError naming the first stage, in the order of computation, that is not."""
        if not np.isfinite(loss.total):
            at = f"{self._name}.{where}"
            for name, value, _ in self.params:
                finite(at, "the parameter itself is broken: go back to the last good checkpoint.", **{name: value})
            hints = {"x": "remove or repair such rows.", "eps": "draw it with model.noise(B, rng)."}
            for name, value in stages.items():
                finite(at, hints.get(name, ""), **{name: value})
            raise NonFiniteError(f"{at}: the loss is {loss.total}, though every term is finite.")
        return loss


def dense_chains(
    kind, data_dim, hidden, latent_dim, likelihood, activation, *, rng, dtype, init, output_mean, n_classes=0
):  # fmt: skip
    """-> encoder, decoder of a model of that kind, see Model.dense; the first layer of each has n_classes columns more.

    Raises ValueError or TypeError that names the argument."""
    where = f"{kind.__name__}.dense"
    data_dim, latent_dim = (
        positive_integer(kind.__name__, name, n) for name, n in (("data_dim", data_dim), ("latent_dim", latent_dim))
    )
    if not isinstance(hidden, (tuple, list)):
        raise TypeError(f"{where}: hidden must be a tuple of widths such as (400,), got {hidden!r}.")
    widths = [positive_integer(kind.__name__, "hidden", n) for n in hidden]
    if not callable(activation):
        raise TypeError(f"{where}: activation must be a Layer class such as Tanh, got {activation!r}.")

    def chain(*widths):
        layers = []
        for n_in, n_out in zip(widths, widths[1:]):
            layers += [Dense(n_in, n_out, rng=rng, dtype=dtype, init=init), activation()]
        return Chain(layers[:-1])  # the last layer is linear

    encoder = chain(data_dim + n_classes, *widths, kind.code_width * latent_dim)
    decoder = chain(latent_dim + n_classes, *reversed(widths), _instance(where, likelihood).n_outputs(data_dim))
    if output_mean is not None:
        has_shape(where, "output_mean", output_mean, (data_dim,), "give the mean of each data column.")
        finite(where, output_mean=np.asarray(output_mean))
        decoder.layers[-1].b = likelihood.output_for_mean(np.asarray(output_mean, np.float64))
    return encoder, decoder


def _instance(where, likelihood):
    """-> likelihood, if it is one.  Raises TypeError."""
    if not isinstance(likelihood, Layer):
        raise TypeError(f"{where}: likelihood must be an instance such as Bernoulli(), got {likelihood!r}.")
    return likelihood


def _values(layer):
    """The parameter arrays of a layer and of those that it is made of."""
    own = [getattr(layer, name) for name in layer.parameters]
    return own + [value for inner in layer.layers for value in _values(inner)]
