"""The book, volume one: all the mathematics of the variational autoencoder, in NumPy alone.

Read it in this order: numerics, gaussian, likelihoods, layers, parameters, optimizers; then models/vae.py, which joins them.
Shape letters everywhere: B batch, D data, H hidden, Z latent, K importance samples, P parameters. Rows are examples.
`d<name>` always means dL/d<name>. The labels in brackets, [KL-2], are the equation numbers of notebooks/01_derivation.
"""
