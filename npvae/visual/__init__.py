"""Pictures, each a matplotlib Figure: shown by a notebook, written by `save`. matplotlib is imported when the first one is drawn."""

from npvae.visual.canvas import save
from npvae.visual.plots import (
    plot_history,
    plot_kl_per_dimension,
    plot_latent,
    plot_manifold,
    plot_reconstructions,
    plot_samples,
)

__all__ = ["plot_history", "plot_kl_per_dimension", "plot_latent", "plot_manifold", "plot_reconstructions", "plot_samples", "save"]
