"""What happened during training: a record an epoch."""

import csv


class History:
    """The records of a training run, one dict an epoch; numbers are nats per example unless their name says otherwise.

        history["loss"]                # one number an epoch, as a list
        history.records[-1]["kl"]      # the last epoch's
        for record in history: ...

    epoch, step     the epoch, from 1, and the optimizer steps made at its end
    beta, lr        of the epoch's last step; there is no beta if an objective took the place of the model's own loss
    loss, reconstruction, kl, elbo     means over the epoch's training examples, each seen with the parameters of its own step
    grad_norm, grad_norm_max           global norm of the gradient before clipping: mean and largest over the epoch's steps
    valid_loss, valid_reconstruction, valid_kl, valid_elbo     after the epoch, if there is validation data
    seconds, examples_per_second       of the training steps alone, without validation and saving
    measure         what reconstruction measures: numbers of different measures do not compare
    """

    def __init__(self, records=()):
        self.records = [dict(record) for record in records]

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        return iter(self.records)

    def __getitem__(self, name):
        """One value an epoch.  Raises KeyError with the names there are."""
        if not any(name in record for record in self.records):
            raise KeyError(f"the history has no {name!r}; it has {', '.join(self.columns()) or 'no records yet'}")
        return [record.get(name) for record in self.records]

    def __repr__(self):
        last = self.records[-1] if self.records else {}
        values = [f"{name}={last[name]:.6g}" for name in ("loss", "valid_loss") if name in last]
        return f"History({', '.join([f'{len(self)} epochs', *values])})"

    def columns(self):
        """The names that occur, in the order of the records."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def best(self):
        """The record with the lowest validation loss.  Raises KeyError if there was no validation."""
        self["valid_loss"]
        return min((r for r in self.records if "valid_loss" in r), key=lambda record: record["valid_loss"])

    def to_csv(self, path):
        """Write the records as a comma-separated table with a header line; the numbers lose no digits."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.records)

    def to_list(self):
        """Plain data, for JSON: `History(history.to_list())` is an equal history."""
        return [dict(record) for record in self.records]
