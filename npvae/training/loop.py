"""fit: batches in, gradient, optimizer step, records out; and whatever happens, a run that can be taken up again."""

import signal
import time

import numpy as np

from npvae.core.checks import NonFiniteError, finite
from npvae.models.base import Loss
from npvae.training.archive import check_writable
from npvae.training.batches import TrainingBatches, ValidationBatches
from npvae.training.checkpoint import save_checkpoint
from npvae.training.interrupt import Interrupted, Watch
from npvae.training.options import make_plan, measure
from npvae.training.progress import Progress
from npvae.training.resume import resumed_state
from npvae.training.state import State, Sums

VALIDATION_BATCH = 256  # rows at least: validation needs no small batches


def fit(
    model, data, *, optimizer, epochs, batch_size, rng, validation=None, beta=1.0, lr=None, binarize=None, objective=None,
    samples=None, clip_norm=None, patience=None, checkpoint=None, resume=None, callbacks=(), checkpoint_every=10.0, progress=None,
):  # fmt: skip
    """Train the model in place, by stochastic gradient steps on minibatches -> History.

        theta <- optimizer.step( theta, d loss/d theta ),      loss = reconstruction + beta kl, mean over the batch

    data         a Dataset, or floats (N, D) already scaled; images stay 8-bit in memory and are scaled batch by batch. A
                 conditional model takes the Dataset's labels, and hands them to an objective as condition=
    epochs       the total to reach, resumed or not; batch_size: the last batch of an epoch is as short as it comes
    rng          a numpy.random.Generator; one number is drawn from it, the seed of every random stream of the run
    validation   None, "valid" or "test" (a split of the Dataset), or floats (N, D)
    beta, lr     numbers, or schedules (step, steps) -> number; lr None leaves the optimizer's own
    binarize     grey pixels as they are (None), x >= 1/2 ("threshold"), drawn once ("static") or afresh each epoch ("dynamic");
                 validation rows are drawn once
    objective    a function (model, x, eps) -> Loss that fills model.params.grad, in place of model.loss_and_grad; eps is then
                 (K, B, Z) with K = samples. One that changes has a method .at(step, steps) -> the objective of that step
    clip_norm    largest global norm of the gradient; a longer one is scaled down to it
    patience     epochs without a better validation loss before training stops; the model ends with its best parameters
    checkpoint   a file, written every checkpoint_every seconds, at the end, and on Ctrl-C or SIGTERM
    resume       a checkpoint file to go on from: the same model, optimizer, data and settings must be given again. The run then
                 ends as if it had never stopped, bit for bit on one machine with the same versions. Seed, patience and history
                 come from the file, nothing is drawn from rng. To go on differently, start anew from load_checkpoint(file).model.
    callbacks    functions (record, model), called after every epoch; what they add to the record stays in the history
    progress     show a progress line on stderr: True, False, or None: on a terminal

    The validation loss is taken at the last beta of the schedule, or by the last step's objective, so that epochs of a warm-up
    compare. Raises ValueError or TypeError for bad arguments, before anything is changed; CheckpointError if a file cannot be
    written, read or resumed from; NonFiniteError if a NaN or infinity arises (the last good checkpoint is kept); Interrupted on
    Ctrl-C or SIGTERM.
    """
    plan = make_plan(
        model, data, optimizer=optimizer, epochs=epochs, batch_size=batch_size, rng=rng, validation=validation, beta=beta, lr=lr,
        binarize=binarize, objective=objective, samples=samples, clip_norm=clip_norm, patience=patience, checkpoint=checkpoint,
        resume=resume, callbacks=callbacks, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    if plan.checkpoint is not None:
        copies = 2 + len(optimizer.averages)  # theta, the best theta, the averages
        check_writable(plan.checkpoint, copies * model.params.theta.nbytes + 1000 * plan.epochs)
    state = State(root=int(rng.integers(2**63))) if resume is None else resumed_state(resume, plan)
    return Run(plan, state, progress).train()


class Run:
    """A training run under way: the plan, the state, and the steps that lead from one state to the next."""

    def __init__(self, plan, state, progress):
        self.plan, self.state, self.model, self.optimizer = plan, state, plan.model, plan.optimizer
        size, root = plan.batch_size, state.root
        self.batches = TrainingBatches(self.model, plan.train, size, plan.binarize, root, plan.samples)
        self.validation = None
        if plan.validation is not None:
            size = max(size, VALIDATION_BATCH)
            self.validation = ValidationBatches(self.model, plan.validation, size, plan.binarize, root, plan.samples)
        self.measure = measure(plan)
        self.progress = Progress(progress, plan.epochs, plan.total_steps)
        self.saved_at, self.saved = time.perf_counter(), ""

    def train(self):
        """Epoch after epoch -> History."""
        with Watch() as watch:
            try:
                while not self.finished():
                    self.train_epoch(watch)
                    self.end_epoch()
                self.save()
            finally:
                self.progress.close()
        if self.state.best_theta is not None:
            self.model.params.theta = self.state.best_theta
        if watch.signal is not None:
            raise self.interrupted(watch, "when all was done; nothing is lost.")
        return self.state.history

    def finished(self):
        """All epochs done, or patience at its end."""
        patience = self.plan.patience
        return self.state.epoch > self.plan.epochs or (patience is not None and self.state.waited >= patience)

    def train_epoch(self, watch):
        """The steps of this epoch that are still to do."""
        plan, state = self.plan, self.state
        before = time.perf_counter()
        for x, eps, given in self.batches.epoch(state.epoch, start=state.step):
            loss, norm = self.train_step(x, eps, given)
            now = time.perf_counter()
            state.step += 1
            state.sums.add(len(x), loss, norm, now - before)
            self.progress.step(now, now - before, state.epoch, self.global_step, state.sums)
            if watch.signal is not None:
                self.save()
                raise self.interrupted(watch, self.position())
            if plan.checkpoint is not None and now - self.saved_at >= plan.checkpoint_every:
                self.save()
                now = time.perf_counter()
            before = now

    def train_step(self, x, eps, given):
        """One batch: loss and gradient, clipping, the optimizer's step -> Loss, the gradient's norm."""
        plan, params, optimizer = self.plan, self.model.params, self.optimizer
        loss = self.checked(self.loss_and_grad, x, eps, given, self.global_step)
        norm = self.checked(gradient_norm, params)
        if plan.clip_norm is not None and norm > plan.clip_norm:
            params.grad *= plan.clip_norm / norm
        own_lr = optimizer.lr
        try:
            if plan.lr is not None:
                optimizer.lr = plan.lr(self.global_step, plan.total_steps)
            with np.errstate(all="ignore"):  # the next loss, or end_epoch, looks at the parameters
                optimizer.step(params.theta, params.grad)
        finally:
            optimizer.lr = own_lr  # a checkpoint, and who uses the optimizer next, finds it as it was given
        return loss, norm

    def loss_and_grad(self, x, eps, given, step):
        """The loss of that step, the objective's or the model's own; the gradient is in params.grad."""
        plan = self.plan
        if plan.objective is None:
            return self.model.loss_and_grad(x, eps, plan.beta(step, plan.total_steps), **given)
        loss = plan.objective(step, plan.total_steps)(self.model, x, eps, **given)
        if not isinstance(loss, Loss):
            raise TypeError(f"fit: objective must return a Loss(total, reconstruction, kl), got {loss!r:.80}.")
        finite("objective", loss=loss.total)
        return loss

    def end_epoch(self):
        """Validate, record, watch for the best; then the next epoch begins."""
        plan, state = self.plan, self.state
        self.checked(finite_parameters, self.model.params)
        last = self.global_step - 1
        record = {"epoch": state.epoch, "step": self.global_step}
        if plan.objective is None:  # which has weights of its own
            record["beta"] = plan.beta(last, plan.total_steps)
        record["lr"] = self.optimizer.lr if plan.lr is None else plan.lr(last, plan.total_steps)
        record |= state.sums.means()
        if self.validation is not None:
            record |= self.validate()
            state.compare(record["valid_loss"], self.model.params.theta if plan.patience is not None else None)
        record["measure"] = self.measure
        for callback in plan.callbacks:
            callback(record, self.model)
        state.history.records.append(record)
        state.epoch, state.step, state.sums = state.epoch + 1, 0, Sums()
        self.progress.end_epoch(record)

    def validate(self):
        """Means over the validation rows, at the last beta of the schedule or by the objective of the last step."""
        sums = Sums()
        for x, eps, given in self.validation.epoch(self.state.epoch):
            sums.add(len(x), self.checked(self.validation_loss, x, eps, given), 0.0, 0.0)
        means = sums.means()
        return {f"valid_{name}": means[name] for name in ("loss", "reconstruction", "kl", "elbo")}

    def validation_loss(self, x, eps, given):
        """The loss at the last step of the run, whatever step it is now."""
        plan = self.plan
        last = plan.total_steps - 1
        if plan.objective is not None:
            return self.loss_and_grad(x, eps, given, last)
        return self.model.loss(x, eps, plan.beta(last, plan.total_steps), **given)

    @property
    def global_step(self):
        """Optimizer steps made since the start of the run."""
        return (self.state.epoch - 1) * self.plan.epoch_steps + self.state.step

    def checked(self, f, *args):
        """f(*args); a NonFiniteError is told where in training it arose, and what helps."""
        try:
            return f(*args)
        except NonFiniteError as error:
            n = self.plan.epoch_steps
            where = f"in step {self.state.step + 1} of {n}" if self.state.step < n else f"after the last of {n} steps"
            raise NonFiniteError(
                f"fit: epoch {self.state.epoch}, {where}: {error} Training cannot go on; try a lower lr, or clip_norm.{self.saved}"
            ) from error

    def save(self):
        """Write the checkpoint, if there is to be one; broken parameters are never written."""
        plan, state = self.plan, self.state
        if plan.checkpoint is None:
            return
        self.checked(finite_parameters, self.model.params)
        training = {**state.to_plain(), "settings": plan.settings, "patience": plan.patience, "range": list(plan.range)}
        save_checkpoint(
            plan.checkpoint, self.model, self.optimizer, history=state.history, training=training, best_theta=state.best_theta,
            standardization=plan.standardization,
        )  # fmt: skip
        self.saved_at = time.perf_counter()
        self.saved = f" {plan.checkpoint} holds the run as it was in epoch {state.epoch} after step {state.step}."

    def position(self):
        """Where the run stopped, and how to go on, for a person."""
        plan = self.plan
        where = f"in epoch {self.state.epoch} of {plan.epochs}, after step {self.state.step} of {plan.epoch_steps}"
        if plan.checkpoint is None:
            return f"{where}; the model keeps its parameters, but without checkpoint=FILE the run cannot be resumed."
        return f"{where}; {plan.checkpoint} holds this very position: go on with the same call and resume={plan.checkpoint!r}."

    def interrupted(self, watch, where):
        """The Interrupted to raise."""
        return Interrupted(f"fit: stopped by {signal.Signals(watch.signal).name} {where}", self.state.history, watch.signal)


def gradient_norm(params):
    """The Euclidean norm of the whole gradient.  Raises NonFiniteError that names the first broken part."""
    with np.errstate(all="ignore"):
        norm = float(np.sqrt(np.dot(params.grad, params.grad)))
    if np.isfinite(norm):
        return norm
    for name, _, gradient in params:
        finite("loss_and_grad", **{f"the gradient of {name}": gradient})
    return float(np.linalg.norm(params.grad.astype(np.float64)))  # finite, but its squares are too large for float32


def finite_parameters(params):
    """Raises NonFiniteError that names the first broken parameter."""
    if not np.isfinite(params.theta).all():
        for name, value, _ in params:
            finite("optimizer.step", **{name: value})
