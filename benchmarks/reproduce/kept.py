"""What lies in --work: a folder for each run, the outcome of each that is done, and the settings that it is of."""

import datetime
import json

from benchmarks.machine import processor
from benchmarks.reproduce import page
from npvae.data.atomic import replace_file
from npvae.training.archive import versions


class Kept:
    """The folder --work, of the long versions or of the short ones."""

    def __init__(self, work, quick):
        self.quick, self.root = quick, work / ("quick" if quick else "full")

    def folder(self, name, run):
        """Of one run."""
        return self.root / name / run

    def settings(self, name, run):
        """What the card's run() is given."""
        module = page.card(name)
        return {**(module.QUICK if self.quick else module.FULL), **module.RUNS[run]}

    def missing(self, name):
        """The runs of a card that are not done."""
        return [run for run in page.card(name).RUNS if not self._outcome(name, run).is_file()]

    def begin(self, name, run):
        """Make the folder of a run and note its settings -> folder.  Raises ValueError if it was begun with other ones, OSError."""
        path = self.folder(name, run) / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            agree(path, _read(path), self.settings(name, run))
        else:
            _write(path, self.settings(name, run))
        return path.parent

    def write(self, name, run, outcome):
        """Keep an outcome, with its settings, when and where it was made."""
        software = ", ".join(f"{what} {version}" for what, version in versions().items())
        about = {"date": f"{datetime.date.today()}", "machine": f"{processor()}, {software}"}
        _write(self._outcome(name, run), {**outcome, "settings": self.settings(name, run), **about})

    def outcomes(self, name):
        """{run: outcome} of a card that is done.  Raises ValueError if one is damaged, or of other settings than the card's."""
        return {run: self._read_outcome(name, run) for run in page.card(name).RUNS}

    def _outcome(self, name, run):
        return self.folder(name, run) / "outcome.json"

    def _read_outcome(self, name, run):
        path = self._outcome(name, run)
        outcome = _read(path)
        agree(path, outcome.get("settings", {}), self.settings(name, run))
        return outcome


def _read(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it, and the same command makes it again.") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"{path}: expected names and values, found {type(found).__name__}. Delete it, and the same command makes it again."
        )
    return found


def _write(path, content):
    replace_file(path, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()))


def agree(path, there, here):
    """Raises ValueError that names the settings that differ."""
    here = json.loads(json.dumps(here))  # as a file gives it back: lists in place of tuples
    differ = [
        f"{key} is {there.get(key)} there, {here.get(key)} here" for key in {**there, **here} if there.get(key) != here.get(key)
    ]
    if differ:
        raise ValueError(
            f"{path.parent} holds a run with other settings ({'; '.join(differ)}). Delete that folder, and the run is made again; "
            "or name another --work."
        )
