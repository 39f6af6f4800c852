"""Where a training run stands: what it takes, beside parameters and optimizer, to go on as if nothing had happened."""

from dataclasses import asdict, dataclass, field

import numpy as np

from npvae.training.history import History


@dataclass
class Sums:
    """Running sums of an epoch: over its examples (loss and parts) and its steps (norm)."""

    examples: int = 0
    steps: int = 0
    loss: float = 0.0
    reconstruction: float = 0.0
    kl: float = 0.0
    norm: float = 0.0
    norm_max: float = 0.0
    seconds: float = 0.0

    def add(self, B, loss, norm, seconds):
        """A step on B examples. Weighting by B makes the mean one over examples: the last batch may be shorter."""
        self.examples += B
        self.steps += 1
        self.loss += B * loss.total
        self.reconstruction += B * loss.reconstruction
        self.kl += B * loss.kl
        self.norm += norm
        self.norm_max = max(self.norm_max, norm)
        self.seconds += seconds

    def means(self):
        """For the record."""
        reconstruction, kl = self.reconstruction / self.examples, self.kl / self.examples
        return {
            "loss": self.loss / self.examples,
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": -(reconstruction + kl),
            "grad_norm": self.norm / self.steps,
            "grad_norm_max": self.norm_max,
            "seconds": self.seconds,
            "examples_per_second": self.examples / self.seconds if self.seconds > 0 else 0.0,
        }


@dataclass
class State:
    """The position: root seed, the epoch under way (from 1), the steps made in it, its sums, and what patience remembers."""

    root: int
    epoch: int = 1
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    best_loss: float | None = None
    waited: int = 0  # epochs since best_loss
    best_theta: np.ndarray | None = None
    history: History = field(default_factory=History)

    def compare(self, loss, theta):
        """Remember the loss, and the parameters if they are given, if it is the lowest so far; else count."""
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            self.best_theta = None if theta is None else theta.copy()
        else:
            self.waited += 1

    def to_plain(self):
        """Plain data, without best_theta and history, which have their own places in a checkpoint."""
        names = ("root", "epoch", "step", "best_loss", "waited")
        return {**{name: getattr(self, name) for name in names}, "sums": asdict(self.sums)}

    @classmethod
    def from_plain(cls, plain, best_theta, history):
        """Raises KeyError, TypeError, ValueError if the data is not what `to_plain` gives."""
        integers = {name: plain[name] for name in ("root", "epoch", "step", "waited")}
        numbers = [*integers.values(), *plain["sums"].values(), *([] if plain["best_loss"] is None else [plain["best_loss"]])]
        if set(plain["sums"]) != set(asdict(Sums())):
            raise ValueError(f"the running sums are {', '.join(plain['sums'])}")
        if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
            raise ValueError("a number of the training state is none")
        if not all(isinstance(n, int) and n >= 0 for n in integers.values()) or plain["epoch"] < 1:
            raise ValueError(f"a counter of the training state is out of range: {integers}")
        sums = Sums(**plain["sums"])
        return cls(**integers, best_loss=plain["best_loss"], sums=sums, best_theta=best_theta, history=history)
