"""Ctrl-C, SIGTERM and kill -9: no checkpoint is lost, and each resumed run ends as an uninterrupted one, bit for bit."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from killed_run import OPTIONS
from runs import STEPS, make_model, outcome, run

from npvae import Adam
from npvae.training import Interrupted, load_checkpoint

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "run.npz"


@pytest.fixture(autouse=True)
def handlers():
    """Known handlers, put back after the test: the one who runs the tests may ignore Ctrl-C."""

    def terminated(number, frame):
        raise SystemExit("the old handler")

    old = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, terminated)]
    yield [signal.default_int_handler, terminated]
    for number, handler in zip(SIGNALS, old):
        signal.signal(number, handler)


def signal_at(step, number, optimizer=None, times=1):
    """An optimizer that gets a signal while it makes that step (counted from 1)."""
    optimizer = Adam(1e-2) if optimizer is None else optimizer
    proceed = optimizer.step

    def interrupted_step(theta, grad):
        proceed(theta, grad)
        if optimizer.t == step:
            for _ in range(times):
                signal.raise_signal(number)

    optimizer.step = interrupted_step
    return optimizer


# --- a signal at a known step ---------------------------------------------------------------------------------------------------


@functools.cache
def undisturbed(**options):
    return outcome(run(**options))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("step", range(1, 3 * STEPS))
def test_a_signal_in_any_step_saves_that_step_and_the_resumed_run_ends_the_same(file, number, step):
    options = dict(validation="valid", binarize="dynamic", patience=5)
    with pytest.raises(Interrupted) as caught:
        run(optimizer=signal_at(step, number), checkpoint=file, **options)
    assert load_checkpoint(file).optimizer_state["t"] == step, "the step is finished, and no other begun"
    assert len(caught.value.history) == (step - 1) // STEPS and caught.value.signal == number
    assert outcome(run(make_model(9), seed=9, resume=file, **options)) == undisturbed(**options)


def test_the_message_says_where_it_stopped_and_how_to_go_on(file):
    with pytest.raises(Interrupted) as caught:
        run(optimizer=signal_at(7, signal.SIGTERM), checkpoint=file)
    assert str(caught.value) == (
        f"fit: stopped by SIGTERM in epoch 2 of 3, after step 2 of 5; {file} holds this very position: "
        f"go on with the same call and resume='{file}'."
    )
    with pytest.raises(Interrupted, match=r"without checkpoint=FILE the run cannot be resumed\.$"):
        run(optimizer=signal_at(7, signal.SIGINT))


def test_an_interruption_is_a_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt):
        run(optimizer=signal_at(2, signal.SIGINT))


def test_a_signal_in_the_last_step_or_the_last_validation_loses_nothing_either(file):
    expected = outcome(run())
    with pytest.raises(Interrupted, match="in epoch 3 of 3, after step 5 of 5"):
        run(optimizer=signal_at(15, signal.SIGINT), checkpoint=file)
    assert outcome(run(make_model(4), resume=file)) == expected

    def at_the_end(record, model):
        if record["epoch"] == 3:
            signal.raise_signal(signal.SIGINT)

    model, optimizer = make_model(), Adam(1e-2)
    with pytest.raises(Interrupted, match="stopped by SIGINT when all was done; nothing is lost") as caught:
        run(model, optimizer=optimizer, checkpoint=file, callbacks=[at_the_end])
    assert outcome((model, optimizer, caught.value.history)) == expected
    assert outcome(run(make_model(4), resume=file)) == expected


def test_the_model_keeps_the_parameters_of_the_step_it_stopped_at(file):
    model = make_model()
    with pytest.raises(Interrupted):
        run(model, optimizer=signal_at(7, signal.SIGINT), checkpoint=file, validation="valid", patience=3)
    np.testing.assert_array_equal(model.params.theta, load_checkpoint(file).theta)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_old_handlers_come_back(number, handlers):
    for optimizer in (Adam(), signal_at(3, number)):
        try:
            run(optimizer=optimizer)
        except Interrupted:
            assert optimizer.t == 3
        assert [signal.getsignal(n) for n in SIGNALS] == handlers
    with pytest.raises(ZeroDivisionError):
        run(callbacks=[lambda record, model: 1 / 0])
    assert [signal.getsignal(n) for n in SIGNALS] == handlers


@pytest.mark.parametrize(("number", "old"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_second_signal_acts_at_once(file, number, old):
    with pytest.raises(old) as caught:
        run(optimizer=signal_at(7, number, times=2), checkpoint=file, checkpoint_every=0)
    assert not isinstance(caught.value, Interrupted)
    assert load_checkpoint(file).optimizer_state["t"] == 6, "the file of the step before"


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert len(run(optimizer=signal_at(7, signal.SIGINT)).history) == 3
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_the_handlers_are_left_alone(handlers):
    seen = []
    note = lambda record, model: seen.append([signal.getsignal(n) for n in SIGNALS])  # noqa: E731
    thread = threading.Thread(target=lambda: run(epochs=1, callbacks=[note]))
    thread.start()
    thread.join()
    assert seen == [handlers]
    run(epochs=1, callbacks=[note])
    assert seen[1] != handlers


# --- a process that is killed ---------------------------------------------------------------------------------------------------


class Process:
    """killed_run.py under way, in the environment of the tests."""

    def __init__(self, folder, epochs):
        self.file, self.epochs = folder / "run.npz", epochs
        self.start()

    def start(self):
        before = self.stamp()
        here = pathlib.Path(__file__).parent
        path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
        arguments = [sys.executable, here / "killed_run.py", self.file, str(self.epochs)]
        self.child = subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
        while self.stamp() == before and self.child.poll() is None:
            time.sleep(0.001)  # until it has written its first checkpoint

    def stamp(self):
        return self.file.stat().st_mtime_ns if self.file.exists() else None

    def stop(self, number):
        """Send the signal -> what it printed, its exit code."""
        self.child.send_signal(number)
        text, _ = self.child.communicate(timeout=60)
        return text, self.child.returncode

    def finished_here(self):
        """The outcome of the rest of its run, in this process."""
        return outcome(run(make_model(9), seed=9, epochs=self.epochs, checkpoint=self.file, resume=self.file, **OPTIONS))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_process_that_gets_a_signal_saves_and_a_new_one_goes_on(tmp_path, number):
    process = Process(tmp_path, epochs=80)
    text, code = process.stop(number)
    assert code == 77 and f"stopped by {signal.Signals(number).name} in epoch" in text and "holds this very position" in text
    assert os.listdir(tmp_path) == ["run.npz"], "no temporary file stays behind"
    stopped = load_checkpoint(process.file)
    assert 0 < stopped.optimizer_state["t"] < 80 * STEPS
    assert process.finished_here() == undisturbed(epochs=80, **OPTIONS)


def kill_again_and_again(folder, kills, epochs, rng):
    """Kill the run that often, at random moments; each time its file must be whole, and the next process goes on from it."""
    process = Process(folder, epochs)
    steps = [0]
    for i in range(kills):
        if i:
            process.start()
        time.sleep(rng.uniform(0, 0.02))
        _, code = process.stop(signal.SIGKILL)
        assert code == -signal.SIGKILL, "the run was over before it could be killed: it needs more epochs"
        steps.append(load_checkpoint(process.file).optimizer_state["t"])
    assert steps == sorted(steps) and steps[-1] < epochs * STEPS, steps
    assert process.finished_here() == undisturbed(epochs=epochs, **OPTIONS)
    assert os.listdir(folder) == ["run.npz"], "what the killed ones left is cleaned"


def test_kill_9_at_random_moments_loses_no_checkpoint(tmp_path):
    kill_again_and_again(tmp_path, 3, 80, np.random.default_rng())


@pytest.mark.slow
def test_kill_9_twenty_times_loses_no_checkpoint(tmp_path):
    kill_again_and_again(tmp_path, 20, 300, np.random.default_rng())
