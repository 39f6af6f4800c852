"""What a run of a card works with: a folder in which everything that was done is kept, so that nothing is done twice."""

import hashlib
import io
import sys
import time
import zipfile
from datetime import timedelta

import numpy as np

from npvae import fit
from npvae.data.atomic import replace_file
from npvae.evaluation import Protocol, Record, active_units, elbo
from npvae.evaluation.bounds import Estimate, importance_sampling
from npvae.evaluation.protocol import measure, rows_sha256
from npvae.evaluation.record import model_origin, number
from npvae.training import batches

EVERY = 30.0  # seconds between two lines of progress
PART = 500  # rows of which the importance samples are kept at a time
POINTS = 100  # of a curve that is kept


class Job:
    """One run: its name, its folder."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.told = self.began = time.perf_counter()

    def say(self, text, now=True):
        """A line on stderr; now False: only if the last one is some time ago."""
        clock = time.perf_counter()
        if now or clock - self.told >= EVERY:
            self.told = clock
            print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    # --- training -----------------------------------------------------------------------------------------------------------------

    def fit(self, model, data, *, epochs, part="training", **settings):
        """npvae.fit with a checkpoint, from which it goes on if it is there -> History. part: what the file is called."""
        path, first = self.folder / f"{part}.npz", []
        self.began = time.perf_counter()

        def tell(record, model):
            first.append(record["epoch"])
            left = (time.perf_counter() - self.began) * (epochs - record["epoch"]) / (record["epoch"] - first[0] + 1)
            loss = record.get("valid_loss", record["loss"])
            self.say(f"{part}, epoch {record['epoch']:,} of {epochs:,}, loss {loss:.2f}, {_duration(left)} left", now=False)

        resume = path if path.exists() else None
        try:
            return fit(
                model, data, epochs=epochs, checkpoint=path, checkpoint_every=60, resume=resume, callbacks=[tell], progress=False,
                **settings,
            )  # fmt: skip
        except ValueError as error:
            if resume is None:
                raise
            raise ValueError(f"{error} (If {path} is deleted, the training begins anew.)") from error

    # --- measuring ----------------------------------------------------------------------------------------------------------------

    def measure(self, vae, data, binarize, samples, seed):
        """ELBO, L_K and active units of the test rows -> plain data; the record, with its rows, goes into record.json.

        Pixels that are drawn ("static", "dynamic") are the same for every model of this seed."""
        fixed = "static" if binarize == "dynamic" else binarize
        rows = batches.binarized(batches.Rows(data.test, data.scale), fixed, np.random.default_rng(seed), np.float64)
        x = rows.floats(slice(None), vae.real_dtype)  # (N, D)
        estimate = self.importance_samples(vae, x, samples, seed)
        bound = f"L_{samples}"
        values = {"ELBO": elbo(vae, x, np.random.default_rng(seed)), bound: estimate.log_likelihood}
        errors = {"ELBO": None, bound: estimate.monte_carlo_error}
        numbers = {name: number(of_rows, errors[name]) for name, of_rows in values.items()}
        protocol = Protocol(
            measure=measure(vae, x), likelihood=vae.likelihood.config(), data=data.name, split="test", rows=len(x),
            rows_sha256=rows_sha256(rows.rows, rows.scale), binarization=binarize or "none",
            rows_seed=seed if fixed == "static" else None, k=samples,
        )  # fmt: skip
        single = {name: of_rows.astype(np.float32) for name, of_rows in values.items()}
        Record(numbers, protocol, {"model": model_origin(vae), "seed": seed}, values=single).save(self.folder / "record.json")
        return {
            "elbo": numbers["ELBO"].mean, "nll": -numbers[bound].mean, "error": numbers[bound].standard_error,
            "monte_carlo_error": numbers[bound].monte_carlo_error, "samples": samples, "rows": len(x),
            "effective_samples": float(np.median(estimate.effective_samples)), "active_units": int(active_units(vae, x).sum()),
        }  # fmt: skip

    def importance_samples(self, vae, x, samples, seed):
        """L_K of all rows -> Estimate, part by part; what was computed of these parameters, rows and seed is not computed again."""
        what = f"{model_origin(vae)['sha256']} {rows_sha256(x)} {seed} {PART}"
        sha, found, began = hashlib.sha256(what.encode()).hexdigest()[:12], [], time.perf_counter()
        for start in range(0, len(x), PART):
            path = self.folder / f"L_{samples}-{sha}-{start}.npz"
            estimate = _kept(path)
            if estimate is None:
                rng = np.random.default_rng([seed, start])
                estimate = importance_sampling(vae, x[start : start + PART], rng, samples, progress=False)
                _save(path, estimate._asdict())
            found.append(estimate)
            done = min(start + PART, len(x))
            left = (time.perf_counter() - began) * (len(x) - done) / done
            self.say(f"L_{samples} of {done:,} of {len(x):,} rows, {_duration(left)} left", now=False)
        return Estimate(*(np.concatenate(arrays) for arrays in zip(*found)))


def curve(history, *names):
    """Some of the history's columns as plain data, at most POINTS of the epochs, closer together where more happens."""
    n = len(history)
    kept = range(n) if n <= POINTS else np.unique(np.geomspace(1, n, POINTS).round().astype(int)) - 1
    return {name: [history[name][i] for i in kept] for name in ("epoch", "step", *names)}


def mean_pixels(data):
    """The mean of the training rows, (D,), where VAE.dense(output_mean=) lets the output begin."""
    return data.train.mean(axis=0) / data.scale


def _save(path, arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    replace_file(path, lambda file: file.write(buffer.getbuffer()))


def _kept(path):
    """The Estimate in a file; None if there is none, or a damaged one."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return Estimate(**arrays)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        return None


def _duration(seconds):
    return str(timedelta(seconds=round(seconds)))
