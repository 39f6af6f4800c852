"""Where data sets lie on this machine."""

import os
import pathlib


def data_root(root=None):
    """The folder of all data sets: root, else $NPVAE_DATA, else a per-user cache."""
    if root is not None:
        return pathlib.Path(root)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("NPVAE_DATA") or cache / "npvae")


def find_folder(root, names, files):
    """The folder of one data set: the first of root/name, for each name, and root itself that holds one of the files.

    Where none does, root/name of the first name: there the files belong."""
    root = data_root(root)
    folders = [*(root / name for name in names), root]
    return next((folder for folder in folders if any((folder / file).is_file() for file in files)), folders[0])
