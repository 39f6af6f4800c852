"""The progress line of an evaluation that takes long."""

import sys
import time
from datetime import timedelta

import numpy as np

FIRST, AGAIN = 1.0, 0.2  # seconds: until the line appears, and between two rewritings


class Progress:
    """What is being spent, what came out so far, and the time left, rewritten in place on stderr; short work shows nothing.

    show None: only on a terminal. Without a terminal (show=True) one line is written, at the end.
    """

    def __init__(self, show, name, rows, samples, stream=None):
        self.stream = sys.stderr if stream is None else stream
        self.in_place = bool(getattr(self.stream, "isatty", lambda: False)())
        self.on = self.in_place if show is None else bool(show)
        self.name, self.rows, self.samples, self.draws = name, rows, samples, 0
        self.start = time.monotonic()
        self.due, self.width, self.text = self.start + FIRST, 0, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The last line stays, whether the work was done or broken off."""
        if self.on and (self.width or (self.text and not self.in_place)):
            self.stream.write("\n" if self.in_place else self.text + "\n")
            self.stream.flush()

    def add(self, draws, log_sum):
        """After each chunk: so many draws more, row after row; log_sum (B,) is the log of the sum of the weights so far."""
        self.draws += draws
        now, over = time.monotonic(), self.draws == self.rows * self.samples
        if not self.on or (now < self.due and not over):
            return
        self.text = self._line(log_sum[: self.draws // self.samples], now - self.start)
        if self.in_place and now >= self.start + FIRST:
            self.stream.write("\r" + self.text.ljust(self.width))
            self.stream.flush()
            self.width, self.due = len(self.text), now + AGAIN

    def _line(self, log_sum, seconds):
        """The text, e.g. L_5000 of 1,200/10,000 rows: -97.31 +- 0.52 nats; 5,000 draws a row, 231,000 a second, 0:03:10 left"""
        values, rate = log_sum - np.log(self.samples), self.draws / max(seconds, 1e-9)
        error = f" +- {values.std(ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
        result = f"{values.mean():.2f}{error} nats" if len(values) else "none finished yet"
        left = self.rows * self.samples - self.draws
        time_left = f"{timedelta(seconds=round(left / rate))} left" if left else f"{seconds:.1f} s"
        cost = f"{self.samples:,} draws a row, {rate:,.0f} a second, {time_left}"
        return f"{self.name} of {len(values):,}/{self.rows:,} rows: {result}; {cost}"
