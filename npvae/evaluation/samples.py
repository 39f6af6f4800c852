"""Samples against data: do they come from the same distribution, and are they new or copies of the training rows?

Compare like with like. The mean of p(x|z) is smoother than data: add the pixels' noise, likelihood.sample(model.decode(z), rng), or
judge rows binarized alike. a, b, samples, train, held_out, reference: (N, D), floats, or 0/1 integers, one example a row.
"""

import math
from typing import NamedTuple

import numpy as np

from npvae.core.checks import finite, generator, has_shape, positive_integer
from npvae.core.numerics import logsumexp

LARGEST = 4000  # rows of both samples together: a kernel matrix of 128 MB
ROUNDING = 1e-12  # below any difference of two statistics that is not one of summation order; the kernel is between 0 and 1
CANCELLED = 1e-6  # a square that is so much smaller than those it comes from has lost six of its sixteen digits
ROWS, OTHERS = 512, 2048  # rows at once, of those that are asked for and of those that are looked through


class TwoSampleTest(NamedTuple):
    """An observed MMD^2 and the ones that chance alone gives."""

    statistic: float
    null: np.ndarray  # (permutations,)
    p_value: float
    bandwidth: float  # of the kernel, in the units of the data


def two_sample_test(a, b, rng, permutations=500, bandwidth=None):
    """Do a and b come from one distribution? The kernel two-sample test, with its null distribution by permutation.

        MMD^2 = 1/(N (N-1)) sum_{i != j} k(a_i, a_j) + 1/(M (M-1)) sum_{i != j} k(b_i, b_j) - 2/(N M) sum_ij k(a_i, b_j)
        k(x, y) = e^( -|x - y|^2 / (2 h^2) )             unbiased, may be negative            Gretton et al. (2012), Lemma 6
        p = (1 + number of null >= MMD^2) / (1 + permutations)                                      Phipson & Smyth (2010)

    a: (N, D); b: (M, D), at least two rows each; rng: a numpy.random.Generator; permutations: how many times the N + M rows are
    dealt into new groups of N and M; bandwidth: h, by default the median heuristic, h^2 = the median of |x - y|^2 over all pairs
    of the rows of both. Returns TwoSampleTest(statistic, null, p_value, bandwidth).
    If both are from one distribution, p <= alpha happens with probability alpha at most, whatever h and the sizes. A large p proves
    nothing: more rows see more, and the kernel sees best what differs on the scale of h, by default the extent of the data.
    Raises ValueError for other widths, a single row, more than 4,000 rows together (the kernel matrix has their square) or no
    distance to take the bandwidth from; NonFiniteError for a NaN or an infinity; TypeError for types.
    """
    where = "two_sample_test"
    permutations = positive_integer(where, "permutations", permutations)
    generator(where, rng)
    a, b = _rows(where, a=a, b=b)
    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 2:
            raise ValueError(f"{where}: {name} has 1 row, and distances within it need at least 2.")
    if len(a) + len(b) > LARGEST:
        raise ValueError(
            f"{where}: a and b have {len(a) + len(b)} rows together, and the kernel matrix their square; give at most {LARGEST}, "
            f"such as rng.choice(a, {LARGEST // 2}, replace=False)."
        )
    kernel, bandwidth = _kernel(where, np.concatenate([a, b]), bandwidth)  # (N + M, N + M)
    of_a = np.arange(len(kernel)) < len(a)  # (N + M,)
    statistic = _mmd(kernel, of_a[None])[0]
    null = _null(kernel, of_a, rng, permutations)  # (permutations,)
    # the very grouping that was observed may come back, summed in another order
    p_value = (1 + np.sum(null >= statistic - ROUNDING)) / (1 + permutations)
    return TwoSampleTest(float(statistic), null, float(p_value), bandwidth)


class NearestNeighbors(NamedTuple):
    """The nearest row of a reference, and how far it is."""

    distance: np.ndarray  # (N,)
    row: np.ndarray  # (N,)    of the reference


def nearest_neighbors(a, reference):
    """The row of `reference` that is nearest to each row of a, by |x - y|, and its distance.

    a: (N, D); reference: (M, D). Returns NearestNeighbors(distance (N,), row (N,)): reference[row] are the neighbors. Some rows
    at a time: memory does not grow with N M. The distances are exact; which of two rows is nearer is decided to about 1e-8 of the
    extent of the data, and of equal ones it is any.
    Raises ValueError for other widths or no rows, NonFiniteError for a NaN or an infinity, TypeError for types.
    """
    a, reference = _rows("nearest_neighbors", a=a, reference=reference)
    frame = _frame("nearest_neighbors", a, reference)
    distance, nearest = np.empty(len(a)), np.empty(len(a), np.intp)
    for rows in _parts(len(a), ROWS):
        part = _framed(a[rows], frame)  # (R, D)
        best, found = np.full(len(part), np.inf), np.zeros(len(part), np.intp)
        for others in _parts(len(reference), OTHERS):
            squares = _squared_distances(part, _framed(reference[others], frame))  # (R, C)
            column = np.argmin(squares, axis=1)
            here = squares[np.arange(len(part)), column]
            closer = here < best
            best[closer], found[closer] = here[closer], others.start + column[closer]
        nearest[rows] = found
        # once more, from the differences: the squares above have lost the digits of a distance near 0
        difference = (a[rows].astype(np.float64) - reference[found]) / frame[1]  # (R, D)
        distance[rows] = frame[1] * np.sqrt(np.sum(difference**2, axis=1))
    return NearestNeighbors(distance, nearest)


class CopyTest(NamedTuple):
    """How near samples and held-out rows are to the training rows."""

    distance: np.ndarray  # (S,)    of each sample to its nearest training row
    row: np.ndarray  # (S,)    which one that is
    held_out_distance: np.ndarray  # (H,)
    threshold: float  # the quantile of the held-out distances
    share: float  # of the samples that are nearer than it
    p_value: float


def copy_test(samples, train, held_out, quantile=0.01):
    """Are samples nearer to the training rows than fresh data are? A model that recites what it was trained on gives itself away.

        d(x) = min_n |x - train_n|       threshold = the r-th smallest d of the held-out rows, r = ceil(quantile H)
        share = 1/S #{ s: d(sample_s) < threshold }       about the quantile for fresh rows: expected is r / (H + 1)
        p = P( #{ s: d(sample_s) < threshold } >= the number seen ),  all orders of the S + H distances alike likely

    As in Meehan, Chaudhuri & Dasgupta (2020), held-out rows say how near is near; the count in their lowest tail also finds a model
    that recites now and then.  samples: (S, D); train: (N, D); held_out: (H, D), rows that the model was not trained on. Returns a
    CopyTest. A small p says nearer than data, not why: smooth rows, such as means of p(x|z), are near to everything. Look at them:
    visual.plot_nearest_neighbors. p is exact whatever the distribution of d, and on the safe side if some distances are equal.
    Raises ValueError for other widths, no rows, a quantile outside of 0 to 1 or a threshold of 0, where the held-out rows are
    copies themselves; NonFiniteError for a NaN or an infinity; TypeError for types.
    """
    where = "copy_test"
    quantile = _number(where, "quantile", quantile, below=1)
    samples, train, held_out = _rows(where, samples=samples, train=train, held_out=held_out)
    distance, row = nearest_neighbors(samples, train)
    fresh = nearest_neighbors(held_out, train).distance
    r = math.ceil(round(quantile * len(fresh), 9))  # 0.07 * 100 is 7.000000000000001
    threshold = float(np.sort(fresh)[r - 1])
    if threshold == 0:
        raise ValueError(
            f"{where}: {np.sum(fresh == 0)} of {len(fresh)} held_out rows are equal to training rows, so that a copy is nothing "
            f"unusual at quantile={quantile}; remove them, or choose a larger quantile."
        )
    count = int(np.sum(distance < threshold))
    p_value = _tail_of_order(len(distance), len(fresh), count, r)
    return CopyTest(distance, row, fresh, threshold, count / len(distance), p_value)


def _tail_of_order(S, H, count, r):
    """P(at least `count` of S values lie below the r-th smallest of H others), all orders of the S + H alike likely.

    That is, at most r - 1 of the others are among the lowest count + r - 1: drawn without replacement, the hypergeometric sum."""
    if count == 0:
        return 1.0
    n = count + r - 1
    others = range(max(0, n - S), r)
    terms = [_log_choose(H, i) + _log_choose(S, n - i) for i in others]
    return min(1.0, math.exp(logsumexp(np.array(terms), axis=0) - _log_choose(S + H, n)))


def _log_choose(n, k):
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _kernel(where, rows, bandwidth):
    """The Gaussian kernel of all pairs, 0 on the diagonal, and its bandwidth.  rows: (P, D)."""
    frame = _frame(where, rows)
    rows = _framed(rows, frame)
    kernel = _squared_distances(rows, rows)  # (P, P), of which the kernel is made in place
    _sharpen(kernel, rows)
    if bandwidth is None:
        h = math.sqrt(np.median(kernel[~np.eye(len(rows), dtype=bool)]))  # each pair is there twice, which moves no median
        if h == 0:
            raise ValueError(
                f"{where}: most pairs of rows are equal (beside the farthest ones), so that their median distance is 0; give "
                "bandwidth=."
            )
    else:
        h = _number(where, "bandwidth", bandwidth, below=math.inf) / frame[1]
    with np.errstate(all="ignore"):  # far out the kernel is 0
        kernel /= -2 * h
        kernel /= h
        np.exp(kernel, out=kernel)
    np.fill_diagonal(kernel, 0)
    return kernel, h * frame[1]


def _null(kernel, of_a, rng, permutations):
    """MMD^2 of the rows dealt anew into groups of the old sizes, (permutations,); 256 groupings at a time."""
    times = [min(256, permutations - done) for done in range(0, permutations, 256)]
    return np.concatenate([_mmd(kernel, rng.permuted(np.tile(of_a, (n, 1)), axis=1)) for n in times])


def _mmd(kernel, of_a):
    """The unbiased MMD^2 of each grouping.  kernel: (P, P), 0 on the diagonal; of_a: (R, P), true where a row is one of a."""
    weight = of_a.astype(np.float64)  # (R, P)
    N = np.sum(weight, axis=1)  # (R,)
    M = len(kernel) - N
    of_row = np.sum(kernel, axis=0)  # (P,)
    aa = np.sum((weight @ kernel) * weight, axis=1)  # (R,)
    ab = weight @ of_row - aa
    bb = np.sum(of_row) - aa - 2 * ab
    return aa / (N * (N - 1)) + bb / (M * (M - 1)) - 2 * ab / (N * M)


def _squared_distances(a, b):
    """|a_i - b_j|^2, (N, M), as |a_i|^2 + |b_j|^2 - 2 a_i b_j: one matmul, where the differences would be N M rows."""
    squares = a @ b.T  # (N, M)
    squares *= -2
    squares += np.sum(a**2, axis=1)[:, None]
    squares += np.sum(b**2, axis=1)
    return np.maximum(squares, 0, out=squares)


def _sharpen(squares, rows):
    """Where |a|^2 + |b|^2 - 2 a b has cancelled, the squared distances by their differences, in place.  squares: (P, P)."""
    of_row, at_once = np.sum(rows**2, axis=1), max(1, 2**20 // rows.shape[1])
    for part in _parts(len(rows), ROWS):
        first, second = np.nonzero(squares[part] < CANCELLED * (of_row[part, None] + of_row))
        first += part.start
        for pairs in _parts(len(first), at_once):
            i, j = first[pairs], second[pairs]
            squares[i, j] = np.sum((rows[i] - rows[j]) ** 2, axis=1)


def _frame(where, *arrays):
    """A centre (D,) in the thick of the rows, and the unit, how far a number is from it at most: so squares keep their digits."""
    last = arrays[-1]
    some = last[:: -(-len(last) // 1000)].astype(np.float64)  # about a thousand rows are enough: any centre is right
    with np.errstate(all="ignore"):  # looked at below
        centre = np.median(some, axis=0)
        reach = max(np.max(np.abs(extreme - centre)).item() for a in arrays for extreme in (a.min(axis=0), a.max(axis=0)))
        finite(where, "the rows are too far apart for distances between them; scale them first.", reach=2 * reach)
    return centre, reach or 1.0


def _framed(rows, frame):
    centre, reach = frame
    return (rows - centre) / reach  # float64, as centre is


def _parts(n, step):
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _rows(where, **arrays):
    """The rows at the door, as arrays (N, D) of one width.  Raises TypeError, ValueError."""
    widths = {}
    for name, rows in arrays.items():
        rows = arrays[name] = np.asarray(rows)
        if rows.dtype == bool or np.issubdtype(rows.dtype, np.integer):
            if rows.size and (rows.min() < 0 or rows.max() > 1):
                raise ValueError(
                    f"{where}: {name} holds integers from {rows.min()} to {rows.max()}; scale them as the others are, e.g. "
                    f"{name} / {rows.max()}."
                )
        elif not np.issubdtype(rows.dtype, np.floating):
            raise TypeError(f"{where}: {name} must be an array of floats, got {rows.dtype}.")
        has_shape(where, name, rows, ("N", next(iter(widths.values()), "D")), f"one example a row{_as_wide(widths)}.")
        if rows.size == 0:
            raise ValueError(f"{where}: {name} has shape {rows.shape}; it holds nothing to compare.")
        finite(where, "remove or repair such rows.", **{name: rows})
        widths[name] = rows.shape[1]
    return arrays.values()


def _as_wide(widths):
    return f", as wide as {next(iter(widths))}" if widths else ""


def _number(where, name, value, below):
    """-> float(value), if it is a number above 0 and below `below`.  Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}.")
    if not 0 < value < below:
        raise ValueError(f"{where}: {name} must be a number between 0 and {below}, both excluded, got {value!r}.")
    return float(value)
