"""A training run in a process of its own, to be killed: killed_run.py CHECKPOINT RESULT EPOCHS.

It resumes CHECKPOINT if that is there, saves after every step, and leaves what a resumed run must share with an uninterrupted one
in RESULT. Stopped by a signal, it prints the message and exits with 77.
"""

import os
import pickle
import signal
import sys

from runs import make_model, outcome, run

from npvae.training import Interrupted

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with Ctrl-C ignored
    checkpoint, result, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    resume = checkpoint if os.path.exists(checkpoint) else None
    options = dict(epochs=epochs, checkpoint=checkpoint, resume=resume, validation="valid", patience=epochs, binarize="dynamic")
    try:
        finished = run(make_model(), checkpoint_every=0, **options)
    except Interrupted as interruption:
        print(interruption, flush=True)
        sys.exit(77)
    with open(result, "wb") as file:
        pickle.dump(outcome(finished), file)
