"""The pictures of npvae.evaluation: rate and distortion, q(z) against the prior, samples against data.

Each function checks what it is given (ValueError, TypeError) and returns a matplotlib Figure.
"""

import math

import numpy as np

from npvae.core.checks import finite, has_shape, same_shape
from npvae.visual.canvas import ACCENT, FONT, INK, new_figure, style
from npvae.visual.plots import pairs

SHARES = (0.5, 0.9, 0.99)  # of a distribution, in the regions that plot_aggregated_posterior draws
GRID = 241  # points along each latent
GREY = "0.75"


def plot_rate_distortion(points, betas=None, exact=None, exact_label="exact"):
    """Models in the plane of rate and distortion, with two standard errors each way, and the line of the best ELBO among them.

        D + R = -ELBO, a line of slope -1; all models lie on or above D + R = H, the entropy of the data      Alemi et al. (2018)

    points: rows of rate and distortion, such as evaluation.rate_distortion returns; betas: a number for each, written beside it;
    exact: rows of rate and distortion of a curve that is known, drawn as a line; exact_label: what that is the curve of, for the
    legend: it bounds no other models. At R = 0 the code is ignored (the auto-decoding limit); along the line to the right it says
    ever more (the auto-encoding limit, where D = 0 for discrete data)."""
    where = "plot_rate_distortion"
    rates = _pairs_of_numbers(where, "points", points)  # (n, 2)
    errors = np.array([[getattr(p, f"{name}_error", 0.0) for name in ("rate", "distortion")] for p in points])  # (n, 2)
    if betas is not None:
        has_shape(where, "betas", betas, (len(rates),), "one number for each of the points.")
    figure = new_figure(4.6, 3.5, layout="constrained")
    axes = style(figure.add_subplot(), "", "rate R = KL (nats per example)", "distortion D = -log p(x|z) (nats per example)")
    if exact is not None:
        curve = _pairs_of_numbers(where, "exact", exact)
        axes.plot(*curve[np.argsort(curve[:, 0])].T, color=GREY, lw=3, label=exact_label, zorder=1)
    axes.plot(*rates[np.argsort(rates[:, 0], kind="stable")].T, color=INK, lw=0.8, zorder=2)
    bars = {"xerr": 2 * errors[:, 0], "yerr": 2 * errors[:, 1], "fmt": "o", "ms": 4, "lw": 1}
    axes.errorbar(*rates.T, **bars, color=INK, label="models", zorder=3, clip_on=False)
    axes.set_xlim(left=0)
    best = np.min(np.sum(rates, axis=1))  # nats: the smallest -ELBO
    axes.autoscale(False)
    axes.axline((0, best), slope=-1, color=ACCENT, ls="--", lw=1.2, label=f"D + R = {best:.2f}, the best", zorder=0)
    if betas is not None:
        _name_points(axes, rates, [f"beta {beta:g}" for beta in betas])
    figure.legend(loc="outside upper center", ncols=3, fontsize=FONT, frameon=False, labelcolor=INK)
    return figure


def plot_aggregated_posterior(mu, logvar):
    """q(z) = 1/N sum_n N(mu_n, sigma_n^2), in shades, and the prior N(0, I), dashed: where they differ, samples go astray.

    mu, logvar: (N, Z), from `encode`; of more than two latents the two whose means vary most are drawn, of one the two densities.
    Shades and circles are the smallest regions that hold 50, 90 and 99 % of q(z) and of the prior. A sigma below the picture's
    grid is drawn as wide as the grid."""
    where = "plot_aggregated_posterior"
    mu, logvar = np.asarray(mu, np.float64), np.asarray(logvar, np.float64)
    has_shape(where, "mu", mu, ("N", "Z"), "one example a row: mu, logvar = model.encode(x).")
    same_shape(where, mu=mu, logvar=logvar)
    if mu.size == 0:
        raise ValueError(f"{where}: mu has shape {mu.shape}; there is nothing to draw.")
    with np.errstate(over="ignore"):
        sigma = np.exp(0.5 * logvar)  # (N, Z)
    finite(where, "the model is broken: go back to the last good checkpoint.", mu=mu, logvar=logvar, sigma=sigma)
    N, Z = mu.shape
    chosen = [0, 1] if Z == 2 else np.argsort(-np.var(mu, axis=0), kind="stable")[:2]
    mu, sigma = mu[:, chosen], sigma[:, chosen]  # (N, 1 or 2)
    edge = max(3.5, 1.02 * np.max(np.abs(mu) + 3.3 * sigma))
    grid, step = np.linspace(-edge, edge, GRID, retstep=True)
    sigma = np.maximum(sigma, step)
    if Z == 1:
        return _curves_of_densities(grid, sum(np.sum(part[0], axis=0) for part in _normals(grid, mu, sigma)) / N)
    q = sum(second.T @ first for first, second in _normals(grid, mu, sigma)) / N  # (GRID, GRID): the second latent upwards
    ranks = (f" (mean varies most of {Z})", " (second most)") if Z > 2 else ("", "")
    names = [f"z{i + 1}{rank}" for i, rank in zip(chosen, ranks)]
    return _map_of_density(q, edge + step / 2, *names)


def plot_two_sample_test(test):
    """The null distribution of MMD^2, and the one that was observed.  test: from evaluation.two_sample_test."""
    null, statistic = _tested("plot_two_sample_test", test, "two_sample_test", "null", "statistic")
    figure = new_figure(5.0, 3.0, layout="constrained")
    title = f"MMD^2 = {statistic:.3g}; p = {test.p_value:.3g} from {len(null)} permutations"
    axes = style(figure.add_subplot(), title, "MMD^2", "permutations")
    axes.hist(null, bins=_bins(null), color=GREY, edgecolor=GREY, label="a and b dealt anew")  # edges: seen however narrow
    axes.axvline(statistic, color=ACCENT, lw=1.6, ls="--", label="observed")
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
    axes.xaxis.get_offset_text().set_fontsize(FONT)
    axes.legend(fontsize=FONT, frameon=False, labelcolor=INK)
    return figure


def plot_copies(test):
    """How near samples are to the training rows, and how near fresh data are.  test: from evaluation.copy_test."""
    distance, held_out = _tested("plot_copies", test, "copy_test", "distance", "held_out_distance")
    figure = new_figure(5.0, 3.0, layout="constrained")
    title = f"{test.share:.1%} of the samples below the threshold; p = {test.p_value:.3g}"
    axes = style(figure.add_subplot(), title, "distance to the nearest training row", "share of the rows")
    bins = _bins(np.concatenate([distance, held_out]))
    for values, look in ((held_out, {"color": GREY, "label": "held-out rows"}), (distance, {"color": INK, "label": "samples"})):
        shares = np.full(len(values), 1 / len(values))
        axes.hist(values, bins, weights=shares, histtype="stepfilled" if values is held_out else "step", **look)
    axes.axvline(test.threshold, color=ACCENT, lw=1.2, ls=":", label="threshold")
    axes.set_xlim(left=0)
    axes.legend(fontsize=FONT, frameon=False, labelcolor=INK)
    return figure


def plot_nearest_neighbors(samples, neighbors, image_shape, n=10):
    """The first n samples, and under each the training row nearest to it: copies are seen at once, and so is what is new.

    samples, neighbors: (N, D), where neighbors = train[nearest_neighbors(samples, train).row], or train[copy_test(...).row];
    image_shape: (height, width), or (D,) for curves."""
    arrays = {"samples": samples, "neighbors": neighbors}
    return pairs("plot_nearest_neighbors", arrays, ("sample", "training row"), image_shape, n)


def _pairs_of_numbers(where, name, points):
    """-> (n, 2): rate and distortion of each; what follows them is left out."""
    if hasattr(points, "rate"):
        raise TypeError(f"{where}: {name} must be a list of them, one for each model; got a single {type(points).__name__}.")
    rows = [tuple(p)[:2] for p in points]
    if not rows:
        raise ValueError(f"{where}: {name} is empty; give rows such as evaluation.rate_distortion returns.")
    rows = np.array(rows, np.float64)
    has_shape(where, name, rows, ("n", 2), "rate and distortion in each row.")
    finite(where, "NaN and infinity cannot be drawn.", **{name: rows})
    return rows


def _name_points(axes, points, names):
    """Each name to the right of its point, and lower where another one already stands."""
    low, span = np.array([axes.get_xlim(), axes.get_ylim()]).T[0], np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    taken = []
    places = (points - low) / span * (270, 180)  # in typographic points, about
    for i in np.argsort(-places[:, 1], kind="stable"):  # from the top
        (x, y), dy = places[i], 4
        while any(abs(x - other_x) < 40 and abs(y + dy - other_y) < FONT for other_x, other_y in taken):
            dy -= FONT + 1
        taken.append((x, y + dy))
        axes.annotate(names[i], points[i], (5, dy), textcoords="offset points", fontsize=FONT - 1, color=INK)


def _tested(where, test, maker, *names):
    """The fields of what a test returned, the first of them not empty.  Raises TypeError, NonFiniteError."""
    if not all(hasattr(test, name) for name in names):
        raise TypeError(f"{where}: test must be what evaluation.{maker} returns, got {type(test).__name__}.")
    values = {name: getattr(test, name) for name in names}
    finite(where, "NaN and infinity cannot be drawn.", **values)
    return values.values()


def _bins(values):
    """Edges of about sqrt(n) bins, 10 to 40."""
    low, high = np.min(values), np.max(values)
    return np.linspace(low, high if high > low else low + 1, int(min(40, max(10, math.sqrt(len(values))))) + 1)


def _normal(z, mu, sigma):
    """N(z; mu, sigma^2).  z: (G,); mu, sigma: (N,). Returns (N, G)."""
    scaled = (z - mu[:, None]) / sigma[:, None]
    return np.exp(-0.5 * scaled**2) / (math.sqrt(2 * math.pi) * sigma[:, None])


def _normals(z, mu, sigma):
    """`_normal` of each latent, some rows at a time: lists of (R, G)."""
    for start in range(0, len(mu), 4096):
        rows = slice(start, start + 4096)
        yield [_normal(z, m, s) for m, s in zip(mu[rows].T, sigma[rows].T)]


def _level(q, share):
    """The density above which the share of all that is drawn lies."""
    falling = np.sort(q, axis=None)[::-1]
    mass = np.cumsum(falling)
    return falling[np.searchsorted(mass, share * mass[-1])]


def _map_of_density(q, half, xlabel, ylabel):
    """q: (GRID, GRID), on the square from -half to half."""
    figure = new_figure(4.4, 4.4, layout="constrained")
    axes = style(figure.add_subplot(), "50, 90 and 99 % of q(z) shaded, of the prior dashed", xlabel, ylabel)
    inside = np.sum([q >= _level(q, share) for share in SHARES], axis=0)  # (GRID, GRID)    in how many of the regions
    axes.imshow(inside, cmap="gray_r", vmin=0, vmax=4, origin="lower", extent=(-half, half, -half, half), interpolation="nearest")
    angle = np.linspace(0, 2 * np.pi, 181)
    for share in SHARES:
        radius = math.sqrt(-2 * math.log(1 - share))  # of two normal numbers r^2 / 2 is exponential
        axes.plot(radius * np.cos(angle), radius * np.sin(angle), color=ACCENT, ls="--", lw=1.2)
    return figure


def _curves_of_densities(grid, q):
    """q: (GRID,), of the one latent."""
    figure = new_figure(layout="constrained")
    axes = style(figure.add_subplot(), "", "z1", "density")
    axes.fill_between(grid, q, color=GREY, lw=0, label="q(z)")
    axes.plot(grid, _normal(grid, np.zeros(1), np.ones(1))[0], color=ACCENT, ls="--", lw=1.2, label="prior")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=FONT, frameon=False, labelcolor=INK)
    return figure
