"""The measurements on the host that rows are made from.

Each is done once in a repetition. Its samples are named JOB.FIGURE, where a
figure is p50, p99 or mean, in us, or rate, in 1/s.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import fnmatch
import os

import host
from lib import MIB

# A quick run has a smaller set, with the same share of it in the cache.
SIZE = {False: 1024 * MIB, True: 128 * MIB}
COUNT = {False: 100000, True: 20000}
# Enough, where each takes ten times as long as it could.
SECONDS = {False: 3, True: 0.5}
TIB = 1 << 40

FIGURES = ('p50', 'p99', 'mean', 'rate')


def _touched(quick, **touch):
    """Options of a measurement in QEMU."""
    return {'size': SIZE[quick], 'cache': SIZE[quick] // 4,
            'touch': {'count': COUNT[quick], 'seconds': SECONDS[quick],
                      **touch}}


def _floor(mode, placement, threads=1):
    def job(quick):
        return host.floor(mode, placement, threads=threads, set=SIZE[quick],
                          cache=SIZE[quick] // 4, count=COUNT[quick],
                          seconds=SECONDS[quick])
    return job


def _store(operation, placement):
    def job(quick):
        return host.store_floor('memcached', operation, placement,
                                set=SIZE[quick] // 4, count=COUNT[quick])
    return job


def _fault(store, same=False, **touch):
    """With same, QEMU and the server have one CPU, as "same" of a floor."""
    def job(quick):
        options = _touched(quick, **touch)
        if same:
            options['pin'] = min(os.sched_getaffinity(0))
        return host.fault(store, **options)
    return job


def _shards(number):
    def job(quick):
        return host.shards(number, **_touched(quick))
    return job


def _size1t(quick):
    options = _touched(quick, set=SIZE[quick])
    return host.size1t(**{**options, 'size': TIB})


# In the order in which they are done: what is compared is close together.
JOBS = {
    **{f'floor-copy-{place}': _floor('copy', place)
       for place in host.PLACEMENTS},
    'fault-ram': _fault('ram'),
    'size1t': _size1t,
    'fault-ram-write': _fault('ram', writes=100),
    **{f'floor-move-{place}': _floor('move', place)
       for place in host.PLACEMENTS},
    'floor-pair': _floor('move', 'same', threads=2),
    'shards-1': _shards(1),
    'shards-2': _shards(2),
    'fault-memcached': _fault('memcached', same=True),
    'fault-memcached-free': _fault('memcached'),
    **{f'store-get-{place}': _store('get', place)
       for place in host.PLACEMENTS if place != 'spin'},
    'store-put': _store('put', 'same'),
}


def jobs_for(names):
    """The jobs that give the samples with these names or patterns."""
    wanted = [name.rpartition('.')[0] for name in names]
    return [job for job in JOBS
            if any(fnmatch.fnmatch(job, name) for name in wanted)]


def measure(job, quick, samples):
    """Do a job and add its samples; returns a line about them."""
    answer = JOBS[job](quick)
    times = answer.get('faults', answer['all'])
    for figure in FIGURES[:-1]:
        samples.add(f'{job}.{figure}', times[figure] / 1000)
    samples.add(f'{job}.rate', times['count'] / answer['seconds'])
    samples.add_distribution(job, times['buckets'])
    return (f"p50 {times['p50'] / 1000:.2f} us, "
            f"p99 {times['p99'] / 1000:.2f} us")
