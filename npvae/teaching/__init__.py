"""For lectures and for pen and paper: the worked example, and one training step as a table of every number."""

from npvae.teaching.table import format_trace
from npvae.teaching.trace import Row, trace
from npvae.teaching.worked_example import worked_example

__all__ = ["Row", "format_trace", "trace", "worked_example"]
