"""The restarts from a snapshot that rows are made from.

Each is done once in a repetition, in all ways. Its samples are named
JOB.FIGURE, in s since the guest could have gone on:

  cold               until it is as fast as it was, without warming up
  warm               the same, when it waits until it is warmed
  warm-running       the same, when it is warmed while it runs
  cold-work,         until it has gone over what it uses twice
  warm-work, ...

SPDX-License-Identifier: GPL-2.0-or-later
"""

import restarts
from restarts import WAYS, Restart

FIGURES = [name for way in WAYS for name in (way, f'{way}-work')]

JOBS = {
    # Pages here and there, of which none says anything of another.
    'restart': Restart(prefetch='off'),
    # Neighbours are used, too, but not one after the other.
    'restart-dense': Restart(),
    # One after the other.
    'restart-order': Restart(in_order=True),
    # Twice what the cache has room for.
    'restart-large': Restart(room=0.5, prefetch='off'),
}


def jobs_for(names, _):
    """The jobs that give the samples with these names."""
    wanted = [name.rpartition('.')[0] for name in names]
    return [job for job in JOBS if job in wanted]


def measure(job, quick, samples):
    """Do a job and add its samples; returns a line about them."""
    answer = restarts.measure(JOBS[job], quick)
    for figure in FIGURES:
        samples.add(f'{job}.{figure}', answer[figure])
    return ', '.join(f'{figure} {answer[figure]:.4g} s' for figure in FIGURES)
