"""A training run in a process of its own, to be killed: killed_run.py CHECKPOINT EPOCHS.

It resumes CHECKPOINT if that is there, and saves after every step. Stopped by a signal, it prints the message and exits with 77.
"""

import os
import signal
import sys

from runs import make_model, run

from npvae.training import Interrupted

OPTIONS = dict(validation="valid", patience=300, binarize="dynamic")

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with Ctrl-C ignored
    checkpoint, epochs = sys.argv[1], int(sys.argv[2])
    resume = checkpoint if os.path.exists(checkpoint) else None
    try:
        run(make_model(), epochs=epochs, checkpoint=checkpoint, resume=resume, checkpoint_every=0, **OPTIONS)
    except Interrupted as interruption:
        print(interruption, flush=True)
        sys.exit(77)
