"""Published numbers, reproduced with the library's own `fit` and `evaluation`.

    python -m benchmarks.reproduce --help

A card is a file of this folder. Its docstring is the protocol: what the paper says, what stands in its code alone, what is done
here. It has

    TITLE, TIME                     a line each; TIME: what its runs take
    FULL, QUICK                     settings of all runs, and of a short version on the bundled digits
    RUNS                            {name of a run: settings of its own}
    run(job, **settings)            trains and measures -> plain data, the outcome; job: see job.py
    rows(outcomes)                  the table: Rows, see page.py; outcomes: {name of a run: its outcome}
    notes(outcomes)                 what is to be said below the table, Markdown
    picture(outcomes)               a Figure
    directions(outcomes)            [(sentence, whether it is so)], what must hold of the short version, too
"""

CARDS = ("pytorch_example", "static_mnist", "iwae_k1", "iwae_k5", "linear_vae")
