"""Turns, and which of them count: on a virtual machine the host takes the cores away now and then, which Linux calls steal."""

import os
import pathlib
import time

MORE = 2  # times as many turns are made as count


def quiet_turns(turn, repeats, cores):
    """Call turn() once for warming, then MORE x repeats times -> what the `repeats` least disturbed calls gave, and their steal.

    Steal is the share of the cores' time that the host took away, here the largest of those that count. Where the system does not
    tell, it is 0, and the first calls count."""
    turn()
    turns = []
    for _ in range(MORE * repeats):
        before, start = stolen_seconds(), time.perf_counter()
        result = turn()
        turns.append(((stolen_seconds() - before) / (cores * (time.perf_counter() - start)), result))
    turns.sort(key=lambda pair: pair[0])
    return [result for _, result in turns[:repeats]], turns[repeats - 1][0]


def stolen_seconds():
    """Seconds of all cores that the host has taken away since the start; 0 where the system does not tell."""
    stat = pathlib.Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    with stat.open() as file:
        fields = file.readline().split()  # cpu, user, nice, system, idle, iowait, irq, softirq, steal, ...
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
