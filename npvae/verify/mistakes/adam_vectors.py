"""Numbers that only Adam gives: a closed form, 60-digit paths, and a whole training run; each with the check that holds an
optimizer against it. kind(lr=, eps=) makes the optimizer, so that the right and the wrong ones face the very same assertions."""

import numpy as np

from npvae.core.layers import Chain, Dense, Sigmoid
from npvae.core.optimizers import adam_update
from npvae.core.parameters import ParamVector
from npvae.verify.mistakes.saying import close


class LiteralAdam:
    """adam_update behind Adam's interface."""

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.t, self.m, self.v = 0, 0.0, 0.0
        self.arguments = lr, beta1, beta2, eps

    def step(self, theta, grad):
        self.t += 1
        theta[...], self.m, self.v = adam_update(theta, grad, self.m, self.v, self.t, *self.arguments)


def check_constant_gradient(kind):
    """With one g at every step, mhat = g and vhat = g^2, so that each step is exactly lr g / (|g| + eps)."""
    theta, optimizer = np.array([1.0]), kind(lr=1.0, eps=0.1)
    for expected in (0.5, 0.0, -0.5, -1.0):
        optimizer.step(theta, np.array([0.1]))
        close("theta of Adam with one gradient at every step", theta, expected, atol=1e-14)


SIXTY_DIGITS = {  # (lr, eps): theta after each of the gradients below, from theta = 1, computed with 60 digits
    (1.0, 0.1): (0.5, 0.72427858072616925677, 0.80212139513982743281, 0.48908684984615011165, 0.23364299238810598463),
    (1e-3, 1e-8): (
        0.99900000009999999, 0.99936610360388489105, 0.99950279425660213395, 0.99905401219113078281, 0.99867468901302962114
    ),
}  # fmt: skip


def check_sixty_digits(kind, lr, eps):
    theta, optimizer = np.array([1.0]), kind(lr=lr, eps=eps)
    for g, expected in zip((0.1, -0.2, 0.05, 0.4, 0.0), SIXTY_DIGITS[lr, eps]):
        optimizer.step(theta, np.array([g]))
        close("theta of Adam, on a path known to 60 digits,", theta, expected)


X = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
START = {
    "0.W": [[-0.21089885683388707, -0.1412921620247176, -0.2523635082803723],
            [-0.4975560466422629, -0.3420288967865903, 0.6975570255493778]],
    "0.b": [-0.10853121966252376, -0.297948499687533, 0.6892015099955718],
    "2.W": [[-0.05080313011597654], [-0.3941351875105899], [-0.28433759745928844]],
    "2.b": [-0.07113812430174121],
}  # fmt: skip
START_LOSS = 1.17198257091715735
START_GRADIENT = {
    "0.W": [[-0.00259286532575165975, -0.0197367130061592571, -0.0123485339583555164],
            [-0.00346674056366772964, -0.0263787713077345938, -0.0165317113809586387]],
    "0.b": [-0.00873875237916069897, -0.066420583015753367, -0.0418317742260312227],
    "2.W": [[0.29180127672657389], [0.27356917643623704], [0.506458980801571102]],
    "2.b": [0.714131407533537194],
}  # fmt: skip
AFTER = {
    1: {
        "0.W": [[0.7890972864438476, 0.858707331305558, 0.7476356819075529],
                [0.5024410688121617, 0.6579707241208395, 1.6975564206516922]],
        "0.b": [0.891467636010675, 0.70205134975675, 1.6892012709428947],
        "2.W": [[-1.0508030958460797], [-1.3941351509567654], [-1.284337577714353]],
        "2.b": [-1.071138110298716],
    },
    1001: {
        "0.W": [[8.233424610733328, 6.643920162329224, 6.170405885031415],
                [7.971537374835737, 6.47127808734366, 7.151021097110486]],
        "0.b": [8.418084806356747, 6.597493183569867, 7.23204375207975],
        "2.W": [[-6.729918693213275], [-7.0977305730325675], [-6.753585069969553]],
        "2.b": [-6.435916744384343],
    },
}  # fmt: skip


class Network:
    """Dense 2-3, Sigmoid, Dense 3-1, Sigmoid; loss = the sum of the outputs: the network of PyTorch's optimizer vectors."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.chain = Chain([Dense(2, 3, rng=rng), Sigmoid(), Dense(3, 1, rng=rng), Sigmoid()])
        self.params = ParamVector({"net": self.chain.layers}, np.float64)
        for name, value, _ in self.params:
            value[...] = START[name.removeprefix("net.")]

    def loss_and_grad(self):
        y, caches = self.chain.forward(X)
        self.chain.backward(np.ones_like(y), caches, need_dx=False)
        return y.sum()

    def compare(self, expected, what):
        for name, *arrays in self.params:
            close(name, arrays[what], np.array(expected[name.removeprefix("net.")]))


def check_whole_chain(kind, steps):
    net, optimizer = Network(), kind(lr=1.0)
    for _ in range(steps):
        net.loss_and_grad()
        optimizer.step(net.params.theta, net.params.grad)
    net.compare(AFTER[steps], what=0)
