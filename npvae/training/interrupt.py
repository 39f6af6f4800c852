"""Ctrl-C and SIGTERM during training: finish the step, save, and say how to go on."""

import signal
import threading


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal, after a whole step. .history: the epochs so far; .signal: its number."""

    def __init__(self, message, history, signal_number):
        super().__init__(message)
        self.history, self.signal = history, signal_number


class Watch:
    """Notes the first SIGINT or SIGTERM in .signal; the next one acts at once, as it did before.

    Works in the main thread, the only one that gets signals; elsewhere .signal stays None. A signal that is ignored (nohup)
    stays ignored."""

    def __init__(self):
        self.signal = None
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not set from Python, cannot be put back
                    self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        self._put_back()

    def _note(self, number, frame):
        self.signal = number
        self._put_back()

    def _put_back(self):
        while self._old:
            number, handler = self._old.popitem()
            signal.signal(number, handler)
