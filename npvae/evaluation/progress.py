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
        self.name, self.rows, self.samples = name, rows, samples
        self.start = time.monotonic()
        self.due, self.width, self.text = self.start + FIRST, 0, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The last line stays, whether the work was done or broken off."""
        if self.on and (self.width or (self.text and not self.in_place)):
            self.stream.write("\n" if self.in_place else self.text + "\n")
            self.stream.flush()

    def show(self, done, log_sum):
        """After each chunk: done rows have all or some of their draws; log_sum (B,) is the log of the sum of their weights."""
        now = time.monotonic()
        if not self.on or (now < self.due and done < self.rows):
            return
        self.text = self._line(done, log_sum[: max(done - 1, 1)] if done < self.rows else log_sum, now - self.start)
        if self.in_place and now >= self.start + FIRST:
            self.stream.write("\r" + self.text.ljust(self.width))
            self.stream.flush()
            self.width, self.due = len(self.text), now + AGAIN

    def _line(self, done, log_sum, seconds):
        """The text, e.g. L_5000 of 1,200/10,000 rows: -97.31 +- 0.52 nats; 5,000 draws a row, 231,000 a second, 0:03:10 left"""
        values = log_sum - np.log(self.samples)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        rate = done * self.samples / max(seconds, 1e-9)
        left = timedelta(seconds=round((self.rows - done) * self.samples / rate))
        cost = f"{self.samples:,} draws a row, {rate:,.0f} a second"
        time_left = f"{left} left" if done < self.rows else f"{seconds:.1f} s"
        return f"{self.name} of {done:,}/{self.rows:,} rows: {values.mean():.2f} +- {error:.2f} nats; {cost}, {time_left}"
