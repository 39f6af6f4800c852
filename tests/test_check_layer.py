"""check_layer and check_likelihood: every layer and likelihood of the library, and layers as users write them, right and wrong."""

import numpy as np
import pytest

from npvae import Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.parameters import Layer
from npvae.verify import check_layer, check_likelihood

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))


class Affine:
    """A user's class: no subclass of Layer, no astype."""

    parameters = ("W", "b")

    def __init__(self, n_in=4, n_out=3):
        rng = np.random.default_rng(1)
        self.W, self.b = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)

    def forward(self, x):
        return x @ self.W + self.b, x

    def backward(self, dy, x):
        self.dW = x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


def bits(layer, *arrays):
    return [a.tobytes() for a in (*(v for v in vars(layer).values() if isinstance(v, np.ndarray)), *arrays)]


# --- the library's own ----------------------------------------------------------------------------------------------------------

LAYERS = {
    "Dense": lambda: Dense(4, 3, rng=RNG),
    "Dense in float32": lambda: Dense(4, 3, rng=RNG, dtype=np.float32),
    "Tanh": Tanh,
    "ReLU": ReLU,
    "Softplus": Softplus,
    "Sigmoid": Sigmoid,
    "Chain": lambda: Chain([Dense(4, 6, rng=RNG), Tanh(), Dense(6, 3, rng=RNG)]),
    "Chain in a Chain": lambda: Chain([Dense(4, 6, rng=RNG), Chain([ReLU(), Dense(6, 3, rng=RNG)]), Softplus()]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_of_the_library(name):
    layer, x = LAYERS[name](), X.copy()
    before = bits(layer, x)
    report = check_layer(layer, x)
    assert report.ok and report.method == "complex" and report.norm_error <= 1e-13
    assert bits(layer, x) == before
    assert check_layer(layer, x.astype(np.float32)).ok
    assert check_layer(layer, x, method="richardson").ok


@pytest.mark.parametrize("activation", [Tanh, ReLU, Softplus, Sigmoid])
def test_activations_at_exactly_zero_in_any_shape_and_far_out(activation):
    x = RNG.normal(size=(3, 2, 4))
    x[0] = 0
    x[1] *= 30
    assert check_layer(activation(), x).norm_error <= 1e-13 and check_layer(activation(), x).ok
    assert check_layer(activation(), x, method="richardson").ok


@pytest.mark.parametrize("method", ["auto", "richardson"])
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Gaussian(0.3), Gaussian(0.3, learn=True)], ids=["Bernoulli", "fixed", "learned"]
)
def test_every_likelihood(likelihood, method):
    out, x = RNG.normal(size=(5, 6)), RNG.uniform(size=(5, 6))
    out[0] = 0
    for scale in (1e-3, 1.0, 30.0):
        report = check_likelihood(likelihood, scale * out, x, method=method)
        assert report.ok and (method == "richardson" or report.norm_error <= 1e-13)


def test_a_wrong_likelihood_is_told():
    class Halved(Gaussian):
        def nll_and_grad(self, out, x, dnll=None):
            nll, dout = super().nll_and_grad(out, x, dnll)
            return nll, dout / 2

    report = check_likelihood(Halved(0.3), X, X + 1)
    assert not report.ok and "2 times too small" in report.diagnosis
    with pytest.raises(TypeError, match=r"check_likelihood\(type\): likelihood must be an instance"):
        check_likelihood(Gaussian, X, X)
    with pytest.raises(TypeError, match="out must be an array of floats, got dict"):
        check_likelihood(Gaussian(), {"out": X}, X)


def test_a_gradient_that_is_zero_in_a_block_proves_nothing_there():
    report = check_likelihood(Gaussian(0.3, learn=True), X, X)  # out = x: nothing pulls at the mean
    assert report.ok and [row.verdict for row in report.rows] == ["ok", "proves nothing"]
    assert check_layer(ReLU(), np.zeros((2, 3))).vacuous and not check_layer(ReLU(), np.zeros((2, 3))).ok


@pytest.mark.parametrize("directions", [0, 8])
def test_the_complex_step_opens_no_unit_that_is_shut(directions):
    """x W + b = 0 for a row of zeros; along a direction in x and W it would become -h^2 dx dW, and ReLU open, were h^2 not 0."""
    x = X.copy()
    x[1] = 0
    report = check_layer(Chain([Dense(4, 20, rng=RNG), ReLU()]), x, directions=directions)
    assert report.ok and report.method == "complex" and report.norm_error <= 1e-12


def test_saturated_units_are_as_coarse_as_their_backward():
    """1 - y rounds to 0 where y is within u of 1: the gradient of W is 0 for 3e-15, beside one of b of 1/4."""
    layer = Chain([Dense(1, 1, rng=RNG), Sigmoid()])
    layer.layers[0].W, layer.layers[0].b = [[1.0]], [0.0]
    report = check_layer(layer, np.array([[0.0], [37.0]]))
    row = {row.name: row for row in report.rows}["0.W"]
    assert report.ok and row.analytic == 0 < abs(row.numeric) < row.floor and row.verdict == "proves nothing"
    assert check_layer(layer, np.array([[0.0], [37.0]]), directions=8).ok


@pytest.mark.parametrize("directions", [0, 8])
@pytest.mark.parametrize("activation", [Tanh, Sigmoid, Softplus])
@pytest.mark.parametrize("size", [9.0, 12.0, 18.0, 30.0, 300.0])
def test_an_activation_that_is_saturated_everywhere(activation, size, directions):
    x = size + np.array([[0.1, 0.2, 0.7], [0.3, 0.0, 0.5]])
    for sign in (1, -1):
        report = check_layer(activation(), sign * x, directions=directions)
        assert report.ok or report.vacuous, str(report)


# --- layers as users write them, right ones --------------------------------------------------------------------------------------


class Convolution:
    """1 x 1, then ReLU; x: (B, height, width, 2)."""

    parameters = ("w",)

    def __init__(self):
        self.w = np.random.default_rng(2).normal(size=(2, 3))

    def forward(self, x):
        return np.maximum(x @ self.w, 0), x

    def backward(self, dy, x):
        dy = dy * (x @ self.w > 0)
        self.dw = np.einsum("bijc,bijk->ck", x, dy)
        return dy @ self.w.T


class BatchNorm:
    """Couples the rows of the batch."""

    parameters = ("g",)

    def __init__(self):
        self.g = np.array([1.0, 2.0, 0.5, -1.0])

    def forward(self, x):
        sd = np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0) + 1e-5)
        h = (x - x.mean(axis=0)) / sd
        return self.g * h, (h, sd)

    def backward(self, dy, cache):
        h, sd = cache
        self.dg = (dy * h).sum(axis=0)
        d = dy * self.g
        return (d - d.mean(axis=0) - h * (d * h).mean(axis=0)) / sd


class Block:
    """Made of the library's layers without being one."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.layers = [Dense(4, 6, rng=rng, dtype=np.float32), Tanh(), Dense(6, 3, rng=rng, dtype=np.float32)]

    def forward(self, x):
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, caches

    def backward(self, dy, caches):
        for layer, cache in zip(self.layers[::-1], caches[::-1]):
            dy = layer.backward(dy, cache)
        return dy


class Logarithm:
    """Defined for positive x only."""

    def forward(self, x):
        return np.log(x), x

    def backward(self, dy, x):
        return dy / x


class RealOnly(Layer):
    """logaddexp takes no complex numbers."""

    def forward(self, x):
        return np.logaddexp(0, x), x

    def backward(self, dy, x, need_dx=True):
        return dy / (1 + np.exp(-x))


@pytest.mark.parametrize(
    "layer, x",
    [
        (Affine(), X),
        (Convolution(), RNG.normal(size=(2, 4, 5, 2))),
        (BatchNorm(), X),
        (BatchNorm(), RNG.normal(size=(600, 4))),
        (Block(), X),
        (Logarithm(), RNG.uniform(0.01, 1, size=(3, 4))),
        (RealOnly(), X),
        (Affine(), X[:1]),
    ],
)
def test_right_layers_pass_and_keep_their_bits(layer, x):
    before = bits(layer, x)
    report = check_layer(layer, x)
    assert report.ok, str(report)
    assert bits(layer, x) == before
    assert report.method == ("richardson" if isinstance(layer, RealOnly) else "complex")


def test_a_cotangent_of_ones_may_be_given_and_another_shape_not():
    assert check_layer(Affine(), X, dy=np.ones((5, 3))).ok
    with pytest.raises(ValueError, match=r"check_layer\(Affine\): dy has shape \(5, 4\), but y is \(5, 3\)"):
        check_layer(Affine(), X, dy=X)


# --- and wrong ones ---------------------------------------------------------------------------------------------------------------


def affine(**methods):
    """Affine with other methods."""
    return type("Mine", (Affine,), methods)()


def set_gradients(layer, dy, x):
    layer.dW, layer.db = x.T @ dy, dy.sum(axis=0)


def writes_dy(self, dy, x):
    set_gradients(self, dy, x)
    dx = dy @ self.W.T
    dy *= 2
    return dx


def overwrites_cache(self, dy, x):
    set_gradients(self, dy, x)
    x *= 0
    return dy @ self.W.T


def accumulates(self, dy, x):
    self.dW = getattr(self, "dW", 0) + x.T @ dy
    self.db = dy.sum(axis=0)
    return dy @ self.W.T


def draws_noise(self, dy, x):
    set_gradients(self, dy, x)
    self.dW = self.dW + RNG.normal(size=self.dW.shape)
    return dy @ self.W.T


def remembers(self, x):
    self.x = x
    return x @ self.W + self.b, None


def uses_memory(self, dy, cache):
    set_gradients(self, dy, self.x)
    return dy @ self.W.T


@pytest.mark.parametrize(
    "methods, words",
    [
        ({"backward": writes_dy}, "backward writes into dy"),
        ({"backward": overwrites_cache}, "backward writes into its cache"),
        ({"backward": accumulates}, "accumulated"),
        ({"backward": draws_noise}, "a second, identical call gives another gradient"),
        ({"forward": remembers, "backward": uses_memory}, "keeps its input in self; return it from forward"),
    ],
    ids=["writes dy", "overwrites its cache", "accumulates", "draws noise", "keeps state"],
)
@pytest.mark.parametrize("rows", [5, 1])
def test_bad_manners_are_told_where_the_numbers_are_right(methods, words, rows):
    layer, x = affine(**methods), X[:rows].copy()
    before = bits(layer, x)
    report = check_layer(layer, x)
    assert not report.ok and words in report.diagnosis, str(report)
    assert bits(layer, x) == before
    if words != "a second, identical call gives another gradient":
        assert all(row.verdict == "ok" for row in report.rows)


def gradients(**changed):
    """A backward whose gradients are changed by the functions given: dW=lambda dW: 2 * dW."""

    def backward(self, dy, x):
        found = {"dW": x.T @ dy, "db": dy.sum(axis=0), "dx": dy @ self.W.T}
        found.update({name: change(found[name]) for name, change in changed.items()})
        self.dW, self.db = found["dW"], found["db"]
        return found["dx"]

    return affine(backward=backward)


@pytest.mark.parametrize("name", ["dW", "db", "dx"])
@pytest.mark.parametrize("factor", [2, 0, 1.0001])
def test_a_wrong_gradient_is_blamed_on_its_block(name, factor):
    report = check_layer(gradients(**{name: lambda a: factor * a}), X)
    assert [row.name for row in report.rows if row.verdict == "wrong"] == [name[1:]]


@pytest.mark.parametrize(
    "layer, exception, words",
    [
        (gradients(dW=lambda a: a.T), ValueError, r"\['W'\] has shape \(3, 4\), but W is \(4, 3\): it is transposed"),
        (gradients(db=lambda a: a[None]), ValueError, r"\['b'\] has shape \(1, 3\), but b is \(3,\): an axis of length 1"),
        (gradients(dx=lambda a: a[:2]), ValueError, r"\['x'\] has shape \(2, 4\), but x is \(5, 4\)"),
        (gradients(dx=lambda a: None), TypeError, "backward returned None; does it end with `return dx`"),
        (gradients(dW=lambda a: np.full((4, 3), np.nan)), ValueError, r"is nan at W\[0, 0\] \(12 of 35 entries"),
        (affine(backward=lambda self, dy, x: dy @ self.W.T), ValueError, r"backward leaves no \.dW"),
        (affine(forward=lambda self, x: x @ self.W), TypeError, "forward must return two things, .*, got ndarray"),
        (affine(backward=lambda self, dy: dy @ self.W.T), TypeError, "backward must take two arguments"),
        (affine(parameters="W"), TypeError, r'the text .W.; write \("W",\) with a comma'),
        (affine(parameters=("W",)), ValueError, r'leaves \.db, which would not be checked: .* parameters = \("b",\)'),
        (affine(forward=lambda self, x: (x, x, x)), TypeError, "got a tuple of 3"),
        (affine(forward=lambda self, x: ((x @ self.W).mean(axis=0), x)), ValueError, r"y of shape \(3,\) for 5 rows of x"),
        (affine(forward=lambda self, x: (x @ self.W + RNG.normal(), x)), ValueError, "forward is random: fix its noise"),
        (affine(forward=lambda self, x: (np.add(x, 1, out=x) @ self.W, x)), ValueError, r"forward changes its input \(x\[0, 0\]\)"),
        (affine(parameters=("W", "c")), ValueError, r"\.parameters names 'c', which the layer does not have"),
        (Affine, TypeError, r"make an instance: Affine\(\.\.\.\)"),
        (3, TypeError, "layer must have forward and backward, got 3"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(layer, exception, words):
    with pytest.raises(exception, match=words) as raised:
        check_layer(layer, X)
    assert str(raised.value).startswith("check_layer(")


@pytest.mark.parametrize(
    "x, words", [(np.arange(8).reshape(2, 4), "x holds integers"), ({"x": X}, "got dict"), (X[:0], "x is empty")]
)
def test_x_must_be_an_array_of_floats(x, words):
    with pytest.raises((TypeError, ValueError), match=words):
        check_layer(Affine(), x)


def test_rows_are_asked_for_and_indices_refused():
    with pytest.raises(ValueError, match=r"x has one axis, \(4,\); give rows"):
        check_layer(Affine(), X[0])
    with pytest.raises(TypeError, match="x holds integers.*An index has no derivative"):
        check_layer(Affine(), np.ones((2, 4), int))


def test_weights_that_nobody_lists_are_not_called_right_in_silence():
    class Unlisted(Affine):
        parameters = ()

        def backward(self, dy, x):
            return dy @ self.W.T

    report = check_layer(Unlisted(), X)
    assert report.ok and report.notes == ("The layer lists no parameters: only dx was checked, not what belongs to .W, .b.",)
    assert check_layer(Tanh(), X).notes == ()


# --- what dx is said to be, if the layer is no function of each entry alone -------------------------------------------------------


class Softmax:
    def forward(self, x):
        e = np.exp(x)
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, dy, y):
        return y * (dy - np.sum(dy * y, axis=1, keepdims=True))


def changed(kind, backward, **options):
    return type("Changed", (kind,), {"backward": backward})(**options)


def square_backward(dx):
    def backward(self, dy, x):
        self.dW, self.db = x.T @ dy, dy.sum(axis=0)
        return dx(self, dy)

    return changed(Affine, backward, n_out=4)


@pytest.mark.parametrize(
    "layer, words",
    [
        (changed(Softmax, lambda self, dy, y: dy * y * (1 - y)), "as if each output depended on its own input alone"),
        (changed(Softmax, lambda self, dy, y: dy * y), "x: dy y, as if each output"),
        (square_backward(lambda self, dy: dy), "x: equal to dy: the derivative of the layer itself is missing."),
        (square_backward(lambda self, dy: dy @ self.W), "x: dy W in place of dy W^T"),
    ],
)
def test_a_layer_that_mixes_its_inputs_is_not_taken_for_an_activation(layer, words):
    assert check_layer(Softmax(), X).ok
    diagnosis = check_layer(layer, X).diagnosis
    assert words in diagnosis and "activation" not in diagnosis


def test_an_activation_whose_slope_has_no_name_gets_no_false_formula():
    class Leaky:
        def forward(self, x):
            return np.maximum(x, 0.1 * x), x

        def backward(self, dy, x):
            return dy * np.where(x > 0, 1, 0.01)

    assert check_layer(Leaky(), X).diagnosis == "x: the derivative of the activation is applied twice."


def test_a_wrong_gradient_without_a_pattern_says_where_to_go_on():
    report = check_layer(changed(Softmax, lambda self, dy, y: dy * np.cos(y)), X)
    assert f"Derive the line that computes dx again; write it out for its worst entry, x{list(report.worst.index)}." in str(report)


def test_a_layer_of_which_only_some_entries_mix_is_no_activation():
    class Half:
        """The first column alone, the others turned round."""

        def forward(self, x):
            return np.concatenate([x[:, :1], x[:, :0:-1] * x[:, 1:]], axis=1), x

        def backward(self, dy, x):
            return dy

    diagnosis = check_layer(Half(), X).diagnosis
    assert diagnosis is None or "activation" not in diagnosis


def test_what_a_layer_keeps_beside_its_parameters_is_no_parameter():
    class Keeps(Affine):
        def __init__(self):
            super().__init__()
            self.running_mean = np.zeros(3)

    assert check_layer(Keeps(), X).notes == ()

    class Remembers:
        """As a layer is that has been used: x and dx stand in it."""

        def __init__(self):
            self.x, self.dx = X.copy(), X.copy()

        def forward(self, x):
            self.x = x
            return np.tanh(x), np.tanh(x)

        def backward(self, dy, y):
            self.dx = dy * (1 - y**2)
            return self.dx

    assert check_layer(Remembers(), X).ok


def test_a_likelihood_that_forgets_the_weights_of_the_examples_is_wrong():
    class Forgets(Bernoulli):
        def nll_and_grad(self, out, x, dnll=None):
            return super().nll_and_grad(out, x, np.full(len(out), np.mean(dnll)))

    out, x = RNG.normal(size=(5, 3)), RNG.uniform(size=(5, 3))
    assert check_likelihood(Bernoulli(), out, x).ok and not check_likelihood(Forgets(), out, x).ok
