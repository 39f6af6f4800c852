"""The record of a run's validation rows: the numbers of its last epoch, or its best, row by row and with their limits."""

import numpy as np

from npvae.cli.common import MODEL_FILE, named_terms
from npvae.core.gaussian import kl_divergence, reparameterize
from npvae.data import load_dataset
from npvae.evaluation.limits import limits
from npvae.evaluation.protocol import Protocol, labels_sha256, measure, rows_sha256
from npvae.evaluation.record import Record, model_origin, number
from npvae.models import Autoencoder
from npvae.training import load_checkpoint
from npvae.training.archive import versions
from npvae.training.batches import Rows, ValidationBatches
from npvae.training.loop import VALIDATION_BATCH


def validation_record(model, data, settings, history, folder, beta):
    """The Record of the validation rows, seen with the very pixels and noise of the epoch; None if a run has no such rows.

    model: as the run left it; beta: the weight of the KL in its loss, None if that was an objective. Numbers are in nats of the
    data as they are, also where they were standardized.
    """
    split = settings["validation"]
    if split == "none":
        return None
    epoch = history.best()["epoch"] if settings["patience"] is not None else history.records[-1]["epoch"]
    checkpoint = load_checkpoint(folder / MODEL_FILE)
    batches = _batches(model, data, settings, checkpoint.training["root"])
    drawn = settings["binarize"] in ("static", "dynamic")
    x = batches.data.floats(slice(None), model.real_dtype)
    raw = data if data.standardization is None else load_dataset(settings["data"])
    seen = batches.data if data.standardization is None else Rows(getattr(raw, split), raw.scale)
    volume = 0.0 if data.standardization is None else data.standardization.log_volume
    measured = measure(model, x)
    twice = measured == "grey cross-entropy" and beta == 1  # the loss would be the same number under a second name
    protocol = Protocol(
        measure=measured, likelihood=model.likelihood.config(), data=data.name, split=split, rows=len(x),
        rows_sha256=rows_sha256(seen.rows, seen.scale), binarization=settings["binarize"],
        rows_seed=batches.root if drawn else None, labels_sha256=labels_sha256(batches.data.labels),
        loss=None if beta is None or twice or isinstance(model, Autoencoder) else f"reconstruction + {beta:g} KL",
    )  # fmt: skip
    nll, kl = _terms(model, batches, epoch)
    values = named_terms(protocol.measure, nll + volume, kl)
    if protocol.loss is not None:
        values["loss"] = nll + volume + beta * kl
    grey = data.floats(split, model.real_dtype) if drawn else None
    latents = None if isinstance(model, Autoencoder) else model.latent_dim
    found = limits(data, model.likelihood, x, settings["binarize"], latents, grey).shifted(volume)
    about = {"epoch": epoch, "steps": checkpoint.steps, "seed": settings["seed"], "log_volume": volume, "versions": versions()}
    origin = {"model": model_origin(model), "checkpoint": str(folder / MODEL_FILE), **about}
    return Record({name: number(v) for name, v in values.items()}, protocol, origin, found._asdict())


def _batches(model, data, settings, root):
    """The validation rows as `fit` drew them; root is the seed of its streams."""
    split, labels = settings["validation"], None
    if model.n_classes:
        labels = model.as_labels("validation", getattr(data, f"{split}_labels"))
    rows, binarize = Rows(getattr(data, split), data.scale, labels), settings["binarize"]
    size = max(settings["batch_size"], VALIDATION_BATCH)
    return ValidationBatches(model, rows, size, None if binarize == "none" else binarize, root, settings["samples"])


def _terms(model, batches, epoch):
    """-log p(x|z) and KL of each row (B,), in the model's own units; the KL of an autoencoder is None."""
    nlls, kls = [], []
    for x, eps, given in batches.epoch(epoch):
        code = model.encode(x, **given)
        if eps is None:
            nlls.append(model.likelihood.nll(model.decode(code), x))
            continue
        draws = [reparameterize(*code, one)[0] for one in eps.reshape(-1, *code[0].shape)]  # K of (B, Z)
        nlls.append(np.mean([model.likelihood.nll(model.decode(z, **given), x) for z in draws], axis=0, dtype=np.float64))
        kls.append(kl_divergence(*code))
    nll, kl = (np.concatenate(parts).astype(np.float64) if parts else None for parts in (nlls, kls))
    return nll, kl
