"""Small runs of the command line for the tests of its numbers: trained when they are first asked for, without pictures."""

import json
import pathlib

import pytest

from npvae.cli import main

SHORT = ["--epochs", "1", "--hidden", "4", "--batch-size", "64"]
FLAGS = {
    "black": ["--binarize", "threshold", "--beta", "4"],
    "best": ["--binarize", "threshold", "--patience", "5", "--epochs", "4", "--lr", "0.3"],
    "other": ["--binarize", "threshold", "--seed", "1"],
    "grey": [],
    "drawn": ["--binarize", "dynamic", "--kind", "conditional"],
    "gauss": ["--likelihood", "gaussian", "--learn-sigma", "--beta", "2", "--beta-warmup", "1"],
    "standard": ["--standardize", "--likelihood", "gaussian", "--latent-dim", "3"],
    "plain": ["--kind", "autoencoder"],
    "weighted": ["--objective", "doubly-reparameterized", "--samples", "3", "--binarize", "static"],
}


def trainer(folder):
    """A function: the name of a run -> its folder below `folder`, as text."""

    def run(name):
        if not (folder / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("npvae.cli.running.draw", lambda *_: None)
                assert main(["train", "--out", str(folder / name), *SHORT, *FLAGS[name], "--quiet"]) == 0
        return str(folder / name)

    return run


def printed(capsys, *argv):
    """The JSON object that a command prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def metrics(run):
    """What `npvae train` left in the run's metrics.json."""
    return json.loads(pathlib.Path(run, "metrics.json").read_text())
