"""Pictures, each a matplotlib Figure: a notebook shows it, `save` writes it. matplotlib is imported by the first one drawn."""

from npvae.visual.canvas import save
from npvae.visual.curves import plot_vcurve
from npvae.visual.diagnostics import (
    plot_aggregated_posterior,
    plot_copies,
    plot_nearest_neighbors,
    plot_rate_distortion,
    plot_two_sample_test,
)
from npvae.visual.plots import (
    plot_history,
    plot_kl_per_dimension,
    plot_latent,
    plot_manifold,
    plot_reconstructions,
    plot_samples,
)
from npvae.visual.points import plot_points

__all__ = [
    "plot_aggregated_posterior", "plot_copies", "plot_history", "plot_kl_per_dimension", "plot_latent", "plot_manifold",
    "plot_nearest_neighbors", "plot_points", "plot_rate_distortion", "plot_reconstructions", "plot_samples", "plot_two_sample_test",
    "plot_vcurve", "save",
]  # fmt: skip
