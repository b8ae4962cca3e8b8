"""The measurements on the host that rows are made from.

Each is done once in a repetition. Its samples are named JOB.FIGURE, where a
figure is p50, p99 or mean, in us, or rate, in 1/s: of faults, or of requests
to a store; or mbps, in MB/s, of all that was touched or got.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import fnmatch
import os

import host
from lib import MIB, PAGE

# A quick run has a smaller set, with the same share of it in the cache.
SIZE = {False: 1024 * MIB, True: 128 * MIB}
COUNT = {False: 100000, True: 20000}
# Enough, where each takes ten times as long as it could.
SECONDS = {False: 3, True: 0.5}
# For scans, the cache is just large enough that the longest stretches are
# fetched; to fill more would take longer than to measure.
SCAN_SIZE = {False: 256 * MIB, True: 128 * MIB}
# Touches until the pager has found that a CPU of its own is better.
SCAN_WARM = 100000
# Pages in one answer, and in one request to a bare store.
BATCH = 64
TIB = 1 << 40

TIMES = ('p50', 'p99', 'mean')
FIGURES = (*TIMES, 'rate', 'mbps')

# Jobs and rows that a quick run has no time for. Placements could be the best
# of several: those of floors were not in any run, and of scans hardly.
ONLY_FULL = ('floor-copy-split', 'floor-move-split', 'floor-move-free',
             'floor-scan-free', 'store-get-split', 'store-put', 'layer-nbd',
             'layer-file', 'shards2', 'floor-shards2',
             *(f'store-scan-{store}-free' for store in
               ('memcached', 'nbd', 'file')))


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


def _store(operation, placement, store='memcached'):
    def job(quick):
        return host.store_floor(store, operation, placement,
                                set=SIZE[quick] // 4, count=COUNT[quick],
                                seconds=SECONDS[quick] if quick else None)
    return job


def _block_layer(store):
    def job(quick):
        return host.block_layer(store, SIZE[quick] // 4, COUNT[quick])
    return job


def _bare_scan(store, placement):
    def job(quick):
        return host.store_floor(store, 'scan', placement,
                                set=SCAN_SIZE[quick] // 2, count=0,
                                seconds=SECONDS[quick])
    return job


def _fault(store, same=False, **touch):
    """With same, QEMU and the server have one CPU, as "same" of a floor."""
    def job(quick):
        options = _touched(quick, **touch)
        if same:
            options['pin'] = min(os.sched_getaffinity(0))
        return host.fault(store, **options)
    return job


def _floor_scan(placement):
    def job(quick):
        return host.floor('copy', placement, pattern='sequential',
                          ahead=BATCH, set=SCAN_SIZE[quick], count=0,
                          seconds=SECONDS[quick])
    return job


def _scan(store):
    def job(quick):
        size = SCAN_SIZE[quick]
        return host.scan(store, size, size // 4,
                         {'warm': SCAN_WARM, 'count': 0,
                          'seconds': SECONDS[quick]})
    return job


def _shards(number):
    def job(quick):
        return host.shards(number, **_touched(quick))
    return job


def _size1t(quick):
    options = _touched(quick, set=SIZE[quick])
    return host.size1t(**{**options, 'size': TIB})


def _here():
    yield from ((f'floor-copy-{place}', _floor('copy', place))
                for place in host.PLACEMENTS)
    yield 'fault-ram', _fault('ram')
    yield from ((f'fault-{store}', _fault(store))
                for store in ('crypt', 'stripe'))
    yield 'size1t', _size1t
    yield 'fault-ram-write', _fault('ram', writes=100)
    yield 'fault-crypt-write', _fault('crypt', writes=100)
    yield 'fault-mirror-write', _fault('mirror-ram', writes=100)
    yield from ((f'floor-move-{place}', _floor('move', place))
                for place in host.PLACEMENTS)
    yield 'floor-pair', _floor('move', 'same', threads=2)
    yield 'shards-1', _shards(1)
    yield 'shards-2', _shards(2)


def _over_there():
    yield 'fault-memcached', _fault('memcached', same=True)
    yield 'fault-mirror', _fault('mirror', same=True)
    yield 'fault-memcached-free', _fault('memcached')
    yield from ((f'store-get-{place}', _store('get', place))
                for place in host.PLACEMENTS if place != 'spin')
    yield 'store-put', _store('put', 'same')
    for store in ('nbd', 'file'):
        yield f'fault-block-{store}', _fault(f'block-{store}', same=True)
        yield f'store-{store}', _store('get', 'same', store)
        yield f'layer-{store}', _block_layer(store)
    yield 'fault-rdma', _fault('rdma')


def _scans():
    for place in ('same', 'free'):
        yield f'floor-scan-{place}', _floor_scan(place)
    yield 'store-scan-ram-same', _bare_scan('ram', 'same')
    for store in ('ram', 'crypt', 'stripe', 'mirror-ram'):
        yield f'scan-{store}', _scan(store)
    for store, bare in (('memcached', 'memcached'), ('block-nbd', 'nbd'),
                        ('block-file', 'file')):
        yield f'scan-{store}', _scan(store)
        for place in ('same', 'free'):
            yield f'store-scan-{bare}-{place}', _bare_scan(bare, place)
    yield 'scan-rdma', _scan('rdma')


# In the order in which they are done: what is compared is close together.
JOBS = {**dict(_here()), **dict(_over_there()), **dict(_scans())}


def jobs_for(names, quick):
    """The jobs that give the samples with these names or patterns; patterns
    have fewer in a quick run."""
    wanted = [name.rpartition('.')[0] for name in names]
    return [job for job in JOBS if job in wanted or
            not (quick and job in ONLY_FULL) and
            any(fnmatch.fnmatch(job, name) for name in wanted)]


def measure(job, quick, samples):
    """Do a job and add its samples; returns a line about them."""
    answer = JOBS[job](quick)
    times = answer.get('faults', answer['all'])
    mbps = answer['all']['count'] * PAGE / 1e6 / answer['seconds']
    for figure in filter(times.get, TIMES):
        samples.add(f'{job}.{figure}', times[figure] / 1000)
    samples.add(f'{job}.rate', times['count'] / answer['seconds'])
    samples.add(f'{job}.mbps', mbps)
    if 'scan' in job:
        return f'{mbps:.4g} MB/s'
    if 'buckets' not in times:
        return f"mean {times['mean'] / 1000:.2f} us"
    samples.add_distribution(job, times['buckets'])
    return (f"p50 {times['p50'] / 1000:.2f} us, "
            f"p99 {times['p99'] / 1000:.2f} us")
