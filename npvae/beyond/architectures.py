"""Whole models of the layers of beyond/: flat rows in, flat rows out, pictures in between."""

import math

import numpy as np

from npvae.beyond.convolution import Conv2D, ConvTranspose2D
from npvae.beyond.pooling import Flatten, MaxPool2D, Reshape
from npvae.core.checks import finite, has_shape, positive_integer
from npvae.core.layers import Chain, Dense, ReLU
from npvae.core.parameters import Layer
from npvae.models import VAE, Autoencoder


def convolutional(
    image_shape, latent_dim, likelihood, *,
    rng, dtype=np.float32, channels=(32, 64), hidden=64, init="he", output_mean=None, kind=VAE,
):  # fmt: skip
    """A model of pictures, after article 4: 3x3 convolutions and max-pooling down, transposed convolutions of stride 2 back up.

        encoder    Reshape, then for each of channels: Conv2D, ReLU, MaxPool2D; then Flatten, Dense(hidden), ReLU, Dense
        decoder    Dense, ReLU, Reshape, then for each of channels: ConvTranspose2D, ReLU; then ConvTranspose2D, Flatten

    At (28, 28) and channels (32, 64) the pictures are 28, 14, 7 pixels wide, and 7, 14, 28.
    image_shape: (height, width) of the pictures that the rows of x are, both divisible by 2^len(channels); hidden: the width of the
    encoder's dense layer; init: as for Dense; output_mean: (D,), the data's mean, where the output then starts on average (one
    bias serves all pixels); kind: VAE or Autoencoder. Raises TypeError or ValueError that names the argument.
    """
    height, width = _image_shape(image_shape, channels)
    D, latent_dim = height * width, positive_integer("convolutional", "latent_dim", latent_dim)
    hidden, per_pixel = positive_integer("convolutional", "hidden", hidden), _outputs_per_pixel(likelihood, D)
    if kind not in (VAE, Autoencoder):
        raise ValueError(f"convolutional: kind must be VAE or Autoencoder, whose rows are pictures and nothing else; got {kind!r}.")
    small = height >> len(channels), width >> len(channels), channels[-1]
    n = math.prod(small)
    options = {"rng": rng, "dtype": dtype, "init": init}

    encoder = [Reshape((height, width, 1))]
    for c_in, c_out in zip((1, *channels), channels):
        encoder += [Conv2D(c_in, c_out, padding=1, **options), ReLU(), MaxPool2D()]
    encoder += [Flatten(), Dense(n, hidden, **options), ReLU(), Dense(hidden, kind.code_width * latent_dim, **options)]

    decoder = [Dense(latent_dim, n, **options), ReLU(), Reshape(small)]
    for c_in, c_out in zip((channels[-1], *reversed(channels)), reversed(channels)):
        decoder += [ConvTranspose2D(c_in, c_out, stride=2, padding=1, output_padding=1, **options), ReLU()]
    decoder += [ConvTranspose2D(channels[0], per_pixel, padding=1, **options), Flatten(channels_first=True)]
    if output_mean is not None:
        has_shape("convolutional", "output_mean", output_mean, (D,), "give the mean of each pixel.")
        finite("convolutional", output_mean=np.asarray(output_mean))
        decoder[-2].b = likelihood.output_for_mean(np.array([np.mean(output_mean, dtype=np.float64)]))
    return kind(Chain(encoder), Chain(decoder), likelihood, latent_dim)


def _image_shape(image_shape, channels):
    """-> height, width, if the picture can be halved once for each of channels.  Raises TypeError, ValueError."""
    if not isinstance(channels, (tuple, list)) or not channels:
        raise TypeError(f"convolutional: channels must be a tuple of widths such as (32, 64), got {channels!r}.")
    for n in channels:
        positive_integer("convolutional", "channels", n)
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) != 2:
        raise ValueError(f"convolutional: image_shape must be (height, width), got {image_shape!r}.")
    height, width = (positive_integer("convolutional", "image_shape", n) for n in image_shape)
    factor = 2 ** len(channels)
    if height % factor or width % factor:
        raise ValueError(
            f"convolutional: a picture of {height} x {width} cannot be halved {len(channels)} times, once for each of channels "
            f"{tuple(channels)}; crop or pad it to multiples of {factor}, or use fewer channels."
        )
    return height, width


def _outputs_per_pixel(likelihood, D):
    """How many channels the decoder's last layer needs.  Raises TypeError, ValueError."""
    if not isinstance(likelihood, Layer):
        raise TypeError(f"convolutional: likelihood must be an instance such as Bernoulli(), got {likelihood!r}.")
    n = likelihood.n_outputs(D)
    if n % D:
        raise ValueError(f"convolutional: the likelihood wants {n} outputs for {D} pixels, which is no whole number for each.")
    return n // D
