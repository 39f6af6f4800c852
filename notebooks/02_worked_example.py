# The source of 02_worked_example.ipynb: edit this file, then run: python notebooks/build.py 02_worked_example

# %% [markdown]
# # 2. The worked example: one training step by hand
#
# **You will be able to** compute the loss of a VAE, its whole gradient and one Adam step with a pocket calculator, and read
# the table that `npvae trace` prints for any VAE.
#
# **You need** notebook 1, or trust in its labels; a calculator with exp, log and tanh. **Time:** 60 minutes with the pencil,
# 20 without.
#
# The model is the smallest that has everything: 3 pixels, 2 hidden units with tanh, 1 latent, 2 hidden units with tanh, 3
# logits. That makes 27 parameters. One example is in the batch, so B = 1 and the mean over the batch does nothing here (two
# examples wait in the exercises). All numbers are rounded to six digits *when printed*; the cells go on with the full ones,
# and check each printed one.

# %%
from math import exp, log, sqrt, tanh

import numpy as np

from npvae import Adam
from npvae.teaching import format_trace, trace, worked_example


def is_printed_as(values, printed):
    """Stop unless the computed values are the ones in the text, to six digits."""
    values, printed = np.ravel(values).tolist(), np.ravel(printed).tolist()
    assert len(values) == len(printed)
    print(*(f"{value:+.6f}" for value in values))
    assert all(abs(value - number) < 5.0001e-7 for value, number in zip(values, printed)), "the text is wrong"


# %% [markdown]
# ## The givens
#
# A picture of three pixels, white, white, black; the noise that was drawn for its latent; and the parameters. A layer's `W`
# has a row for each input and a column for each output.

# %%
x, eps, beta = [1, 1, 0], 0.5, 1.0

W1, b1 = [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]], [0.1, -0.3]  # encoder: 3 pixels -> 2 hidden
W2, b2 = [[0.7, -0.4], [0.2, 0.5]], [0.1, -0.2]  # 2 hidden -> mu, logvar
W3, b3 = [[0.6, -0.8]], [-0.2, 0.3]  # decoder: 1 latent -> 2 hidden
W4, b4 = [[0.5, 0.3, -0.2], [-0.4, -0.6, 0.9]], [0.2, -0.3, 0.4]  # 2 hidden -> 3 logits

# %% [markdown]
# ## Forward 1: the encoder
#
# By (DENSE-1) each hidden unit gets the sum of input times weight, plus its bias; the black pixel adds nothing. Then (ACT-1).
#
# $$
# a_1 = 1 \cdot 0.1 + 1 \cdot 0.3 + 0 \cdot (-0.5) + 0.1 = 0.500000, \quad a_2 = -0.2 + 0.4 + 0 - 0.3 = -0.100000 \tag{1}
# $$
#
# $$
# h_1 = \tanh(0.5) = 0.462117, \quad h_2 = \tanh(-0.1) = -0.099668 \tag{2}
# $$
#
# Written out for one unit; the rest by the same rule:


# %%
def dense(x, W, b):
    """DENSE-1 for one row: y[j] = sum_i x[i] W[i][j] + b[j]."""
    return [sum(x[i] * W[i][j] for i in range(len(x))) + b[j] for j in range(len(b))]


a = dense(x, W1, b1)
h = [tanh(a[0]), tanh(a[1])]
is_printed_as(a, [0.500000, -0.100000])
is_printed_as(h, [0.462117, -0.099668])

# %% [markdown]
# The second layer has no activation. Its first column gives the mean of $q$, its second the logarithm of the variance:
#
# $$
# \mu = 0.462117 \cdot 0.7 - 0.099668 \cdot 0.2 + 0.1 = 0.403548 \tag{3}
# $$
#
# $$
# \log \sigma^2 = 0.462117 \cdot (-0.4) - 0.099668 \cdot 0.5 - 0.2 = -0.434681 \tag{4}
# $$

# %%
mu, logvar = dense(h, W2, b2)
is_printed_as([mu, logvar], [0.403548, -0.434681])

# %% [markdown]
# ## Forward 2: the sample
#
# By (REP-1), with the given noise. Mind the half: $\sigma$ is the root of $e^{-0.434681} = 0.647471$.
#
# $$
# \sigma = e^{-0.434681 / 2} = 0.804656, \quad z = 0.403548 + 0.804656 \cdot 0.5 = 0.805876 \tag{5}
# $$
#
# **Predict, then run.** What would $z$ be with `variance_as_sigma`, the mistake of taking $e^{-0.434681}$ itself for
# $\sigma$? Your number: `____`

# %%
sigma = exp(logvar / 2)
z = mu + sigma * eps
is_printed_as([sigma, z], [0.804656, 0.805876])
print(f"with variance_as_sigma: z = {mu + exp(logvar) * eps:.6f}")
assert abs(exp(logvar) - 0.647471) < 5e-7 and abs(mu + exp(logvar) * eps - 0.727284) < 5e-7

# %% [markdown]
# ## Forward 3: the decoder
#
# The same two rules again, from one latent to two hidden units to three logits:
#
# $$
# a_1 = 0.805876 \cdot 0.6 - 0.2 = 0.283526, \quad a_2 = 0.805876 \cdot (-0.8) + 0.3 = -0.344701 \tag{6}
# $$
#
# $$
# g_1 = \tanh(0.283526) = 0.276165, \quad g_2 = \tanh(-0.344701) = -0.331668 \tag{7}
# $$
#
# $$
# l_1 = 0.276165 \cdot 0.5 - 0.331668 \cdot (-0.4) + 0.2 = 0.470750 \tag{8}
# $$
#
# and in the same way the other two logits, -0.018150 and 0.046266. Sigmoid turns them into the probabilities of white:
# 0.615561, 0.495463, 0.511564. The model has no idea yet.

# %%
c = dense([z], W3, b3)
g = [tanh(c[0]), tanh(c[1])]
logits = dense(g, W4, b4)
p = [1 / (1 + exp(-logit)) for logit in logits]
is_printed_as(c, [0.283526, -0.344701])
is_printed_as(g, [0.276165, -0.331668])
is_printed_as(logits, [0.470750, -0.018150, 0.046266])
is_printed_as(p, [0.615561, 0.495463, 0.511564])

# %% [markdown]
# ## Forward 4: the loss
#
# Two white pixels and a black one: by (BER-1) the nll is the sum over the pixels, and nothing is divided by 3.
#
# $$
# \mathrm{nll} = -\log 0.615561 - \log 0.495463 - \log(1 - 0.511564) = 0.485221 + 0.702263 + 0.716548 = 1.904032 \tag{9}
# $$
#
# By (KL-1), with the square of sigma from above:
#
# $$
# \mathrm{KL} = \frac{1}{2} \left( 0.403548^2 + 0.647471 - 1 + 0.434681 \right) = 0.122502 \tag{10}
# $$
#
# $$
# L = 1.904032 + 1 \cdot 0.122502 = 2.026534 \tag{11}
# $$
#
# The ELBO of this picture is -2.026534 nats, estimated with one sample. A model that knows nothing, all logits 0 and KL 0,
# pays 3 log 2 = 2.079442.

# %%
parts = [-log(p[0]), -log(p[1]), -log(1 - p[2])]
nll = sum(parts)
kl = 0.5 * (mu**2 + sigma**2 - 1 - logvar)
is_printed_as(parts, [0.485221, 0.702263, 0.716548])
is_printed_as([nll, kl, nll + beta * kl], [1.904032, 0.122502, 2.026534])
is_printed_as(3 * log(2), 2.079442)

# %% [markdown]
# ## Backward 1: the decoder
#
# From the end to the beginning. By (BER-2) the derivative for each logit is predicted minus true: white pixels pull their
# logits up, the black one down.
#
# $$
# dl = (0.615561 - 1, \quad 0.495463 - 1, \quad 0.511564 - 0) = (-0.384439, -0.504537, 0.511564) \tag{12}
# $$
#
# (DENSE-2): the weight from hidden unit i to logit j gets input i times derivative j. (DENSE-3): the bias has input 1.
#
# $$
# dW_4 = g^T dl, \quad \text{for example} \quad 0.276165 \cdot (-0.384439) = -0.106169 \tag{13}
# $$
#
# | dW4 | logit 1 | logit 2 | logit 3 |
# |---|---|---|---|
# | from unit 1 | -0.106169 | -0.139336 | 0.141276 |
# | from unit 2 | 0.127506 | 0.167339 | -0.169669 |
# | db4 | -0.384439 | -0.504537 | 0.511564 |
#
# (DENSE-4): a hidden unit is blamed by all three logits, through the weights that it used.
#
# $$
# dg_1 = -0.384439 \cdot 0.5 - 0.504537 \cdot 0.3 + 0.511564 \cdot (-0.2) = -0.445893, \quad dg_2 = 0.916906 \tag{14}
# $$


# %%
def outer(x, dy):
    """DENSE-2 for one row: dW[i][j] = x[i] dy[j]."""
    return [[a * b for b in dy] for a in x]


def back(dy, W):
    """DENSE-4 for one row: dx[i] = sum_j dy[j] W[i][j]."""
    return [sum(dy[j] * W[i][j] for j in range(len(dy))) for i in range(len(W))]


dl = [p[d] - x[d] for d in range(3)]
dW4, db4 = outer(g, dl), dl
dg = back(dl, W4)
is_printed_as(dl, [-0.384439, -0.504537, 0.511564])
is_printed_as(dW4, [[-0.106169, -0.139336, 0.141276], [0.127506, 0.167339, -0.169669]])
is_printed_as(dg, [-0.445893, 0.916906])

# %% [markdown]
# Through tanh by (ACT-2), where the slope comes from the output, and through the dense layer before it:
#
# $$
# (1 - 0.276165^2) \cdot (-0.445893) = -0.411886, \quad (1 - 0.331668^2) \cdot 0.916906 = 0.816043 \tag{15}
# $$
#
# These two are also db3. The weights have the one input z:
#
# $$
# dW_3 = (0.805876 \cdot (-0.411886), \quad 0.805876 \cdot 0.816043) = (-0.331930, 0.657630) \tag{16}
# $$
#
# $$
# dz = -0.411886 \cdot 0.6 + 0.816043 \cdot (-0.8) = -0.899966 \tag{17}
# $$

# %%
dc = [(1 - g[j] ** 2) * dg[j] for j in range(2)]
dW3, db3 = outer([z], dc), dc
(dz,) = back(dc, W3)
is_printed_as(dc, [-0.411886, 0.816043])
is_printed_as(dW3, [-0.331930, 0.657630])
is_printed_as(dz, -0.899966)

# %% [markdown]
# ## Backward 2: where the two terms meet
#
# $dz$ is negative: the reconstruction wants a larger $z$. It passes on to mu as it is (REP-2) and to the log-variance times
# half of sigma eps (REP-3). The KL adds its own wishes: mu towards 0 (KL-2), sigma towards 1 (KL-3).
#
# | | through the sample | from the KL | sum |
# |---|---|---|---|
# | dmu | -0.899966 | 0.403548 | -0.496418 |
# | dlogvar | -0.181041 | -0.176264 | -0.357305 |
#
# where
#
# $$
# \frac{1}{2} \cdot 0.804656 \cdot 0.5 \cdot (-0.899966) = -0.181041, \quad \frac{1}{2} (0.647471 - 1) = -0.176264 \tag{18}
# $$
#
# The two disagree about mu, and the reconstruction wins. They agree that sigma should grow: the KL because 1 is larger than
# 0.804656, and the reconstruction because this noise happened to be positive. With eps = -0.5 it would say the opposite; that
# is the noise in the gradient of a VAE.
#
# > **Mistakes made here**, in numbers: without the 1/2 of (REP-3) the first entry is -0.362082; a KL gradient without its 1/2
# > is -0.352529; a dropped path through the sample leaves dmu = 0.403548, with the other sign.

# %%
dmu_sample, dlogvar_sample = dz, 0.5 * sigma * eps * dz
dmu_kl, dlogvar_kl = beta * mu, 0.5 * beta * (sigma**2 - 1)
dcode = [dmu_sample + dmu_kl, dlogvar_sample + dlogvar_kl]
is_printed_as([dmu_sample, dmu_kl, dcode[0]], [-0.899966, 0.403548, -0.496418])
is_printed_as([dlogvar_sample, dlogvar_kl, dcode[1]], [-0.181041, -0.176264, -0.357305])
is_printed_as([2 * dlogvar_sample, 2 * dlogvar_kl], [-0.362082, -0.352529])

# %% [markdown]
# ## Backward 3: the encoder
#
# Nothing new. (DENSE-2) with the hidden units as inputs, and the code's two derivatives:
#
# | dW2 | to mu | to logvar |
# |---|---|---|
# | from unit 1 | -0.229403 | -0.165117 |
# | from unit 2 | 0.049477 | 0.035612 |
# | db2 | -0.496418 | -0.357305 |
#
# (DENSE-4): both heads blame each hidden unit, and their blame adds. A common mistake is to forget one.
#
# $$
# dh_1 = -0.496418 \cdot 0.7 - 0.357305 \cdot (-0.4) = -0.204570, \quad dh_2 = -0.277936 \tag{19}
# $$
#
# (ACT-2), with the slopes $1 - 0.462117^2$ and $1 - 0.099668^2$, gives -0.160884 and -0.275175: also db1. And (DENSE-2) once
# more, with the pixels:
#
# | dW1 | to unit 1 | to unit 2 |
# |---|---|---|
# | pixel 1, white | -0.160884 | -0.275175 |
# | pixel 2, white | -0.160884 | -0.275175 |
# | pixel 3, black | 0 | 0 |
#
# A black pixel teaches its weights nothing. The derivative for the pixels themselves nobody needs: here the way ends.

# %%
dW2, db2 = outer(h, dcode), dcode
dh = back(dcode, W2)
da = [(1 - h[j] ** 2) * dh[j] for j in range(2)]
dW1, db1 = outer(x, da), da
is_printed_as(dW2, [[-0.229403, -0.165117], [0.049477, 0.035612]])
is_printed_as(dh, [-0.204570, -0.277936])
is_printed_as(da, [-0.160884, -0.275175])
is_printed_as(dW1, [[-0.160884, -0.275175], [-0.160884, -0.275175], [0, 0]])

# %% [markdown]
# ## One step of Adam
#
# Learning rate 0.1, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, and t = 1. For the first weight, whose derivative is
# $g = -0.160884$, by (ADAM-1) to (ADAM-4):
#
# $$
# m = 0.9 \cdot 0 + 0.1 g = -0.016088, \quad v = 0.999 \cdot 0 + 0.001 g^2 = 0.0000258836 \tag{20}
# $$
#
# $$
# \hat{m} = \frac{-0.016088}{1 - 0.9} = -0.160884, \quad \hat{v} = \frac{0.0000258836}{1 - 0.999} = 0.025884 \tag{21}
# $$
#
# and by (ADAM-5)
#
# $$
# 0.1 - 0.1 \cdot \frac{-0.160884}{\sqrt{0.025884} + 10^{-8}} = 0.1 + 0.1 = 0.200000 \tag{22}
# $$
#
# For the second unit alike: m = -0.027518, v = 7.57214e-05 (the first v is 2.58836e-05), vhat = 0.075721.
#
# At t = 1 the root of $\hat{v}$ is the size of $\hat{m}$, so **every parameter moves by the learning rate**, against the sign
# of its derivative, however small that is; only the black pixel's weights, with derivative exactly 0, stay. From the second
# step on the history counts.
#
# **Predict, then run.** Write down all 27 new parameters, without a calculator.


# %%
def adam(theta, g, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    """The first step for one parameter."""
    m, v = (1 - beta1) * g, (1 - beta2) * g**2
    mhat, vhat = m / (1 - beta1), v / (1 - beta2)
    return m, v, mhat, vhat, theta - lr * mhat / (sqrt(vhat) + eps)


is_printed_as(adam(0.1, dW1[0][0]), [-0.016088, 0.000026, -0.160884, 0.025884, 0.2])
is_printed_as(adam(-0.2, dW1[0][1]), [-0.027518, 0.000076, -0.275175, 0.075721, -0.1])
assert f"{adam(0.1, dW1[0][0])[1]:.5e} {adam(-0.2, dW1[0][1])[1]:.5e}" == "2.58836e-05 7.57214e-05"


def step(theta, gradient):
    """The new parameters of one array."""
    pairs = zip(np.ravel(theta).tolist(), np.ravel(gradient).tolist())
    return np.reshape([adam(*pair)[-1] for pair in pairs], np.shape(theta)).tolist()


is_printed_as(step(W1, dW1), [[0.2, -0.1], [0.4, 0.5], [-0.5, 0.6]])
is_printed_as(step(b1, db1), [0.2, -0.2])
is_printed_as(step(W2, dW2), [[0.8, -0.3], [0.1, 0.4]])
is_printed_as(step(b2, db2), [0.2, -0.1])
is_printed_as(step(W3, dW3), [[0.7, -0.9]])
is_printed_as(step(b3, db3), [-0.1, 0.2])
is_printed_as(step(W4, dW4), [[0.6, 0.4, -0.3], [-0.5, -0.7, 1.0]])
is_printed_as(step(b4, db4), [0.3, -0.2, 0.3])

# %% [markdown]
# ## Was it worth it?
#
# The same forward pass with the new parameters and the same noise gives reconstruction 1.201804, KL 0.293261, and the loss
# 1.495064, down from 2.026534. The KL went up: the code says more about the picture now, and that is cheaper than a bad
# reconstruction.


# %%
def loss(W1, b1, W2, b2, W3, b3, W4, b4):
    """Forward 1 to 4 in one piece."""
    mu, logvar = dense([tanh(a) for a in dense(x, W1, b1)], W2, b2)
    z = mu + exp(logvar / 2) * eps
    logits = dense([tanh(a) for a in dense([z], W3, b3)], W4, b4)
    p = [1 / (1 + exp(-logit)) for logit in logits]
    nll = -sum(log(p[d]) if x[d] else log(1 - p[d]) for d in range(3))
    kl = 0.5 * (mu**2 + exp(logvar) - 1 - logvar)
    return nll, kl, nll + beta * kl


old = (W1, b1, W2, b2, W3, b3, W4, b4)
gradient = (dW1, db1, dW2, db2, dW3, db3, dW4, db4)
new = [step(theta, g) for theta, g in zip(old, gradient)]
is_printed_as(loss(*old), [1.904032, 0.122502, 2.026534])
is_printed_as(loss(*new), [1.201804, 0.293261, 1.495064])

# %% [markdown]
# ## The same from the library
#
# `trace` runs the library's own layers on the same model and notes every number on its way. The layers count from 0,
# activations included: `encoder.0` is the first dense layer, `encoder.1` its tanh. Compare line by line. In a terminal:
# `npvae trace`; with `--format latex` for a lecture.

# %%
vae, x_row, eps_row = worked_example()
rows = trace(vae, x_row, eps_row, optimizer=Adam(lr=0.1))
print(format_trace(rows[: [row.name for row in rows].index("encoder.0.W.v") + 1]))

# %% [markdown]
# The rest of the table repeats (ADAM-1) to (ADAM-5) for each parameter. Number by number, library and pencil:

# %%
library = {row.name: row.value for row in rows}
pencil = {
    "z": z, "out": logits, "loss.total": nll + beta * kl, "dout": dl, "dz": dz, "dmu": dcode[0], "dlogvar": dcode[1],
    "encoder.0.dW": dW1, "encoder.0.db": db1, "encoder.2.dW": dW2, "encoder.2.db": db2,
    "decoder.0.dW": dW3, "decoder.0.db": db3, "decoder.2.dW": dW4, "decoder.2.db": db4,
    "encoder.0.W.new": new[0], "encoder.2.W.new": new[2], "decoder.0.W.new": new[4], "decoder.2.W.new": new[6],
}  # fmt: skip
for name, value in pencil.items():
    difference = np.max(np.abs(np.ravel(library[name]) - np.ravel(value)))
    print(f"{name:<16} largest difference below 1e-15: {difference < 1e-15}")
    assert difference < 1e-15

# %% [markdown]
# ## Exercises
#
# 1. Take eps = -0.5. What are $z$, dz, and the two entries of dlogvar?
# 2. Put the same picture into the batch twice, with the same noise. What changes in the loss, and in the gradient?
# 3. With a second picture (0, 1, 1) in the batch, noise again 0.5: what are the loss and the derivative of the first weight?
# 4. Take beta = 4. Which numbers of the forward pass change, and what is dmu?
# 5. What is the second step of Adam for the first weight, if the same gradient came again?
#
# <details><summary>Answer to 1</summary>
#
# z = 0.001220, dz = -1.196589. The entry through the sample turns its sign: 0.240711. The KL's stays at -0.176264: it has no
# noise.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# Nothing at all. Both terms are means over the batch: each of the two rows brings half of the derivative, and (DENSE-2) adds
# them up.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# The loss is 2.161978, the mean of 2.026534 and 2.297422. The derivative of the first weight is -0.080442, half of what it
# was: the first pixel of the second picture is black.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# The total alone: 1.904032 + 4 * 0.122502 = 2.394039. dmu is -0.899966 + 4 * 0.403548 = 0.714227: now the KL wins.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# Another 0.1, to 0.3: for a constant gradient every step has the length of the learning rate.
#
# </details>

# %%
opposite = {row.name: row.value.item() for row in trace(vae, x_row, -eps_row) if row.value.size == 1}
is_printed_as([opposite[name] for name in ("z", "dz", "dlogvar.sample", "dlogvar.kl")], [0.001220, -1.196589, 0.240711, -0.176264])

single = vae.loss_and_grad(x_row, eps_row)
gradient_of_one = vae.params.grad.copy()
double = vae.loss_and_grad(np.repeat(x_row, 2, axis=0), np.repeat(eps_row, 2, axis=0))
assert abs(single.total - double.total) < 1e-15 and np.allclose(vae.params.grad, gradient_of_one, rtol=1e-12)

pair = np.array([[1.0, 1, 0], [0, 1, 1]])
both = vae.loss_and_grad(pair, np.full((2, 1), 0.5))
is_printed_as([both.total, vae.loss(pair[1:], eps_row).total, vae.params.grad[0]], [2.161978, 2.297422, -0.080442])

strong = {row.name: row.value.item() for row in trace(vae, x_row, eps_row, beta=4.0) if row.value.size == 1}
is_printed_as([strong["loss.total"], strong["dmu"]], [2.394039, 0.714227])

theta, optimizer = np.array([0.1]), Adam(lr=0.1)
for _ in range(2):
    optimizer.step(theta, np.array([dW1[0][0]]))
is_printed_as(theta, 0.3)

# %% [markdown]
# ## Summary
#
# Forward: four dense layers, two tanh, one sample, two sums. Backward: the same in reverse, a line for a line. The two terms
# of the loss meet at mu and logvar, and nowhere else. A step of training is this, for as many examples, units and layers as
# you like.
#
# **Next:** [03_from_dense_to_vae](03_from_dense_to_vae.ipynb) lets it run on real digits.
