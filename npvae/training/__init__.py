"""Training: fit, its schedules, and checkpoints that cannot be lost."""

from npvae.training import schedules
from npvae.training.archive import CheckpointError
from npvae.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from npvae.training.history import History
from npvae.training.interrupt import Interrupted
from npvae.training.loop import fit

__all__ = ["Checkpoint", "CheckpointError", "History", "Interrupted", "fit", "load_checkpoint", "save_checkpoint", "schedules"]
