"""The book, volume two: convolution, more likelihoods, more objectives, in the style of core/."""
