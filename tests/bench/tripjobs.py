"""The migrations that rows are made from.

Each is done once in a repetition. Its samples are named JOB.FIGURE:

  sent      MB that the source has sent, of whatever: pages, map, devices
  local     MB that were mapped in the guest when it began
  map       MB that are to be said of pages in the store, 9 bytes for each
  downtime  ms from the last moment of the guest on the source to the first
            one at the destination, by the events STOP and RESUME
  time      ms that the migration took
  before    MB of memory that the source has taken since its guest began, when
            the migration begins
  after     the same when the guest has gone
  mbps      MB/s that were sent, in postcopy

SPDX-License-Identifier: GPL-2.0-or-later
"""

import trips
from migration.trip import POSTCOPY
from trips import LOCAL, ORDINARY, REMOTE, Move

# Factors of what trips.py measures in bytes and seconds.
FIGURES = {'sent': 1e-6, 'local': 1e-6, 'map': 1e-6, 'before': 1e-6,
           'after': 1e-6, 'downtime': 1e3, 'time': 1e3, 'mbps': 1e-6}

# In the order in which they are done: what is compared is close together.
JOBS = {
    'handover-idle': Move(REMOTE, REMOTE, idle=True),
    'handover': Move(REMOTE, REMOTE),
    'precopy': Move(ORDINARY, ORDINARY),
    'handover-postcopy': Move(REMOTE, REMOTE, POSTCOPY),
    'postcopy': Move(ORDINARY, ORDINARY, POSTCOPY),
    'postcopy-remote': Move(ORDINARY, LOCAL, POSTCOPY),
}


def jobs_for(names, _):
    """The jobs that give the samples with these names."""
    wanted = [name.rpartition('.')[0] for name in names]
    return [job for job in JOBS if job in wanted]


def measure(job, quick, samples):
    """Do a job and add its samples; returns a line about them."""
    answer = trips.measure(JOBS[job], quick)
    for figure, factor in FIGURES.items():
        if figure in answer:
            samples.add(f'{job}.{figure}', answer[figure] * factor)
    return (f"{answer['sent'] / 1e6:.4g} MB in {answer['time'] * 1e3:.4g} ms, "
            f"without the guest {answer['downtime'] * 1e3:.4g} ms")
