"""MNIST and Fashion-MNIST by name: from files on this machine, or fetched on request."""

from npvae.data.idx import load_idx_folder
from npvae.data.root import find_folder
from npvae.data.source import Source

SOURCES = {  # SHA-256 and sizes as TensorFlow Datasets (MNIST) and Keras (Fashion-MNIST) record them
    "mnist": Source(
        "MNIST",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3-ubyte.gz": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
            "train-labels-idx1-ubyte.gz": ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
            "t10k-images-idx3-ubyte.gz": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
            "t10k-labels-idx1-ubyte.gz": ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
        },
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        {
            "train-images-idx3-ubyte.gz": ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
            "train-labels-idx1-ubyte.gz": ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
            "t10k-images-idx3-ubyte.gz": ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
            "t10k-labels-idx1-ubyte.gz": ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
        },
    ),
}


def load_mnist(root=None, download=False):
    """MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of 28 x 28 pixels, with labels.

    root: a folder that holds mnist/ (or the four files themselves); else $NPVAE_DATA; else ~/.cache/npvae.
    download: fetch what is missing, into root/mnist; what is fetched, and each .gz file that is there already, must have the
    original's SHA-256. Without it there is no access to the net, and files in MNIST's format are used as they are, so that a
    data set of one's own can stand in their place.
    Raises FileNotFoundError that says which files it looked for, and where; DownloadError; ValueError for damaged files."""
    return _load("mnist", root, download)


def load_fashion_mnist(root=None, download=False):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): MNIST's format and sizes, ten kinds of clothing; arguments as `load_mnist`."""
    return _load("fashion-mnist", root, download)


def _load(name, root, download):
    source = SOURCES[name]
    plain = {file: file.removesuffix(".gz") for file in source.files}
    folder = find_folder(root, (name,), [*plain, *plain.values()])
    if download:
        from npvae.data.download import fetch

        fetch(source, folder, [f for f in plain if (folder / f).is_file() or not (folder / plain[f]).is_file()])
    for file in plain:
        if not ((folder / file).is_file() or (folder / plain[file]).is_file()):
            raise FileNotFoundError(
                f"{folder}: {file} is not there (nor {plain[file]}). Put {source.title}'s four files, {', '.join(plain)}, into "
                "that folder, or name another by root= or NPVAE_DATA, or have them fetched with download=True (--download)."
            )
    return load_idx_folder(folder, name)
