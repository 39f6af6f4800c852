"""The progress line."""

import shutil
import sys

INTERVAL = 0.1  # seconds between two rewritings of the line


class Progress:
    """A line an epoch on stderr, rewritten in place while the epoch runs: loss and its parts, examples a second, time left.

    show None: only on a terminal. Without a terminal (show=True) each epoch's line is written once, when it is complete.
    """

    def __init__(self, show, epochs, total_steps, stream=None):
        self.stream = sys.stderr if stream is None else stream
        self.in_place = bool(getattr(self.stream, "isatty", lambda: False)())
        self.show = self.in_place if show is None else bool(show)
        self.epochs, self.total_steps = epochs, total_steps
        self.steps, self.seconds, self.width = 0, 0.0, 0
        self.due = 0.0 if self.show and self.in_place else float("inf")

    def step(self, now, seconds, epoch, step, sums):
        """After each step: now is the clock, seconds is how long the step took, step counts from the start of the run."""
        self.steps += 1
        self.seconds += seconds
        if now >= self.due:
            self.due = now + INTERVAL
            self._write(epoch, sums.means(), step, end="")

    def end_epoch(self, record):
        """Write the epoch's final line."""
        if self.show:
            self._write(record["epoch"], record, record["step"], end="\n")
            self.due = 0.0 if self.in_place else float("inf")

    def close(self):
        """Leave an unfinished line as it stands."""
        if self.width:
            self.stream.write("\n")
            self.stream.flush()
            self.width = 0

    def _write(self, epoch, means, step, end):
        line = self.line(epoch, means, step)
        if self.in_place:
            if not end:
                line = line[: shutil.get_terminal_size().columns - 1]  # a wrapped line could not be rewritten
            self.stream.write("\r" + line.ljust(self.width) + end)
            self.width = 0 if end else len(line)
        else:
            self.stream.write(line + end)
        self.stream.flush()

    def line(self, epoch, means, step):
        """The text of the line."""
        parts = [f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"]
        parts += [f"loss {means['loss']:.2f}", f"recon {means['reconstruction']:.2f}", f"kl {means['kl']:.2f}"]
        if "valid_loss" in means:
            parts.append(f"valid {means['valid_loss']:.2f}")
        parts.append(f"{means['examples_per_second']:,.0f} examples/s")
        if self.steps and step < self.total_steps:
            parts.append(f"{_clock(self.seconds / self.steps * (self.total_steps - step))} left")
        return "  ".join(parts)


def _clock(seconds):
    """83 -> 1:23, 3723 -> 1:02:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
