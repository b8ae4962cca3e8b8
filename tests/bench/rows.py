"""The rows of the results, and the samples that plots are made from.

Samples of hostjobs.py, tripjobs.py and restartjobs.py are named JOB.FIGURE,
those of guestjobs.py WORKLOAD.PEER.PERCENT.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from results import Row

FLOOR = 'bare userfaultfd'
BEST = 'best placement'


def _host_rows():
    yield Row('fault-ram', 'p50 of a demand fault, in-process store, cache '
              'full and evicting', 'us', 'fault-ram.p50',
              f'{FLOOR}, {BEST}', ('floor-copy-*.p50',))
    yield Row('fault-ram-p99', 'the same, p99', 'us', 'fault-ram.p99',
              f'{FLOOR}, {BEST}', ('floor-copy-*.p99',))
    yield Row('fault-ram-write', 'p50 of a demand fault that writes, so that '
              'each page is written back', 'us', 'fault-ram-write.p50',
              f'{FLOOR}, {BEST}', ('floor-copy-*.p50',))
    yield Row('fault-ram-move', 'p50 of a demand fault as in fault-ram', 'us',
              'fault-ram.p50', 'bare userfaultfd that evicts',
              ('floor-move-*.p50',))
    yield Row('fault-memcached', 'p50 of a demand fault, memcached, cache '
              'full and evicting, all on one CPU', 'us',
              'fault-memcached.p50', f'{FLOOR} + libmemcached get',
              ('floor-copy-same.p50', 'store-get-same.p50'))
    yield Row('fault-memcached-p99', 'the same, p99', 'us',
              'fault-memcached.p99', f'{FLOOR} + libmemcached get',
              ('floor-copy-same.p99', 'store-get-same.p99'))
    yield Row('fault-memcached-free', 'the same, p50, on any CPU', 'us',
              'fault-memcached-free.p50', f'{FLOOR} + libmemcached get',
              ('floor-copy-free.p50', 'store-get-free.p50'))
    yield Row('shards2', 'faults/s of two shards and two faulting threads',
              '1/s', 'shards-2.rate', 'one of each', ('shards-1.rate',))
    yield Row('floor-shards2', 'faults/s of two bare userfaultfds that evict, '
              'and two faulting threads', '1/s', 'floor-pair.rate',
              'one of each', ('floor-move-same.rate',))
    yield Row('size1t', 'p50 of a fault with a backend of 1 TiB', 'us',
              'size1t.p50', 'backend as large as the set', ('fault-ram.p50',))
    yield Row('size1t-mean', 'the same, mean', 'us', 'size1t.mean',
              'backend as large as the set', ('fault-ram.mean',))


# Stores on servers and disks: name, what it is, its bare client, what that is.
STORES = (
    ('memcached', 'memcached', 'get', 'libmemcached get'),
    ('block-nbd', 'NBD server in memory', 'nbd', 'NBD read'),
    ('block-file', 'file with O_DIRECT', 'file', 'pread'),
)


def _store_rows():
    for name, words, bare, client in STORES[1:]:
        for figure, what in (('p50', f'p50 of a demand fault, {words}, cache '
                              'full and evicting, all on one CPU'),
                             ('p99', 'the same, p99')):
            yield Row(f'fault-{name}' + ('-p99' if figure == 'p99' else ''),
                      what, 'us', f'fault-{name}.{figure}',
                      f'{FLOOR} + {client}',
                      (f'floor-copy-same.{figure}', f'store-{bare}.{figure}'))
    yield Row('fault-rdma', 'p50 of a demand fault, RDMA', 'us',
              'fault-rdma.p50', f'{FLOOR}, {BEST}', ('floor-copy-*.p50',))
    for name, words, peer, against in (
            ('crypt', 'encrypted, in-process store', 'in-process store',
             'ram'),
            ('stripe', 'two in-process stores', 'one in-process store',
             'ram'),
            ('mirror', 'two memcached, all on one CPU', 'one memcached',
             'memcached')):
        for figure, suffix in (('p50', ''), ('p99', '-p99')):
            yield Row(f'fault-{name}{suffix}',
                      f'{figure} of a demand fault, {words}', 'us',
                      f'fault-{name}.{figure}', peer,
                      (f'fault-{against}.{figure}',))
    for name, words in (('crypt', 'encrypted, in-process store'),
                        ('mirror', 'two in-process stores')):
        yield Row(f'write-{name}', f'faults/s that write, {words}', '1/s',
                  f'fault-{name}-write.rate', 'in-process store',
                  ('fault-ram-write.rate',))


def _scan_rows():
    stores = (('ram', 'in-process store', 'ram', 'copies in memory'), *STORES)
    for name, words, bare, client in stores:
        bare = 'memcached' if bare == 'get' else bare
        yield Row(f'scan-{name}', f'sequential scan, {words}', 'MB/s',
                  f'scan-{name}.mbps', f'{FLOOR} + {client}, 64 pages each',
                  ('floor-scan-*.mbps', f'store-scan-{bare}-*.mbps'),
                  serial=True)
    yield Row('scan-rdma', 'sequential scan, RDMA', 'MB/s', 'scan-rdma.mbps')
    for name, words in (('crypt', 'encrypted, in-process store'),
                        ('stripe', 'pool of two in-process stores'),
                        ('mirror', 'mirror of two in-process stores')):
        sample = 'mirror-ram' if name == 'mirror' else name
        yield Row(f'scan-{name}', f'sequential scan, {words}', 'MB/s',
                  f'scan-{sample}.mbps', 'in-process store',
                  ('scan-ram.mbps',))


def _floor_rows():
    places = {'same': 'both on one CPU', 'split': 'on two CPUs',
              'spin': 'on two CPUs, polling', 'free': 'anywhere'}
    for place, words in places.items():
        yield Row(f'floor-copy-{place}', f'p50 of a bare fault, {words}', 'us',
                  f'floor-copy-{place}.p50')
    for place, words in places.items():
        yield Row(f'floor-move-{place}', 'p50 of a bare fault with eviction, '
                  f'{words}', 'us', f'floor-move-{place}.p50')
    for place in ('same', 'free'):
        yield Row(f'floor-scan-{place}', 'bare faults in order, 64 pages '
                  f'each, {places[place]}', 'MB/s',
                  f'floor-scan-{place}.mbps')
    for place in ('same', 'split', 'free'):
        yield Row(f'store-get-{place}', 'p50 of a get by libmemcached, '
                  f'{places[place]}', 'us', f'store-get-{place}.p50')
    for store, words, client in (('nbd', 'NBD server', 'NBD read'),
                                 ('file', 'file', 'pread')):
        yield Row(f'layer-{store}', 'mean of a read by QEMU\'s block layer, '
                  f'{words}, all on one CPU', 'us', f'layer-{store}.mean',
                  client, (f'store-{store}.mean',))
    yield Row('store-put', 'p50 of a set by libmemcached, both on one CPU',
              'us', 'store-put.p50')


def _migration_rows():
    yield Row('handover-bytes', 'all that a hand-over sends, 10 % local',
              'MB', 'handover.sent', 'what is local, the map, and what is '
              'sent of a VM that has not begun',
              ('handover.local', 'handover.map', 'handover-idle.sent'))
    yield Row('handover-vs-ordinary-bytes', 'all that precopy sends, '
              'ordinary memory', 'MB', 'precopy.sent', 'hand-over',
              ('handover.sent',))
    yield Row('handover-downtime', 'downtime of a hand-over by postcopy',
              'ms', 'handover-postcopy.downtime',
              'postcopy, ordinary memory', ('postcopy.downtime',))
    yield Row('handover-downtime-precopy', 'the same by precopy', 'ms',
              'handover.downtime', 'postcopy, ordinary memory',
              ('postcopy.downtime',))
    yield Row('handover-time', 'time of a hand-over by precopy', 'ms',
              'handover.time', 'precopy, ordinary memory',
              ('precopy.time',))
    yield Row('source-memory', 'memory of the source after a hand-over',
              'MB', 'handover.after', 'before', ('handover.before',))
    yield Row('postcopy-place', 'postcopy to remote memory that is all local',
              'MB/s', 'postcopy-remote.mbps', 'to ordinary memory',
              ('postcopy.mbps',))


def _restart_rows():
    back = 'time until a guest is back to 90 % of its speed after a restart'
    yield Row('restart-warm', f'{back}, pages here and there, warmed first',
              's', 'restart.warm', 'not warmed', ('restart.cold',))
    yield Row('restart-warm-running', 'the same, warmed while it runs', 's',
              'restart.warm-running', 'not warmed', ('restart.cold',))
    for name, words in (('dense', 'neighbours, prefetch=adaptive'),
                        ('order', 'one page after the other, the same')):
        yield Row(f'restart-warm-{name}', f'{back}, {words}, warmed first',
                  's', f'restart-{name}.warm', 'not warmed',
                  (f'restart-{name}.cold',))
    yield Row('restart-warm-large', 'time of the first two rounds after a '
              'restart, over twice the cache, warmed first', 's',
              'restart-large.warm-work', 'not warmed',
              ('restart-large.cold-work',))


def _guest_rows():
    yield Row('touch25-zram', 'random touch at 25 %, in-process store', '1/s',
              'touch.remote.25', 'host swap on zram', ('touch.zram.25',))
    yield Row('touch25-nbd', 'random touch at 25 %, memcached', '1/s',
              'touch.memcached.25', 'guest swap on NBD', ('touch.nbd.25',))
    yield Row('scan25-prefetch', 'sequential scan at 25 %, in-process store',
              'MB/s', 'scan.remote.25', 'prefetch=off',
              ('scan.remote-off.25',))
    yield Row('scan25-zram', 'the same', 'MB/s', 'scan.remote.25',
              'host swap on zram', ('scan.zram.25',))
    yield Row('random-prefetch', 'random touch at 25 %, in-process store',
              '1/s', 'touch.remote.25', 'prefetch=off',
              ('touch.remote-off.25',))
    yield _slowdown('slowdown50-sort', 'quicksort at 50 %', 'sort', 50)
    yield _slowdown('slowdown50-bfs', 'breadth-first search at 50 %', 'bfs',
                    50)
    yield _slowdown('slowdown50-zipf', 'Zipf access at 50 %, per operation',
                    'zipf', 50)
    redis = [f'redis-{command}' for command in ('get', 'set', 'lrange')]
    for workload in redis:
        yield _slowdown(f'slowdown50-{workload}',
                        f'{workload} at 50 %, per operation', workload, 50)
    yield Row('slowdown50-redis', 'Redis at 50 %, average of the three',
              average=tuple(f'slowdown50-{name}' for name in redis),
              peer='100 % local')
    yield Row('slowdown50', 'average time at 50 %', peer='100 % local',
              average=tuple(f'slowdown50-{name}'
                            for name in ('sort', 'bfs', 'zipf', 'redis')))
    yield _slowdown('sort12', 'quicksort at 12.5 %', 'sort', 12)


def _hint_rows():
    for suffix, store, where in (
            ('', 'distant', 'in-process store, 50 us away'),
            ('-memcached', 'memcached', 'memcached')):
        what = f'whole lists of Redis in random order at 25 %, {where}'
        best = (f'lists.{store}-*.25',)
        yield Row(f'hints-lists{suffix}', f'{what}, hints and prefetch=off',
                  '1/s', f'lists.hints-{store}.25', 'best prefetch= alone',
                  best)
        yield Row(f'hints-lists{suffix}-both', 'the same, hints and '
                  'prefetch=adaptive', '1/s',
                  f'lists.hints-{store}-adaptive.25',
                  'best prefetch= alone', best)
        yield Row(f'lists{suffix}-prefetch', f'{what}, prefetch=adaptive',
                  '1/s', f'lists.{store}-adaptive.25', 'prefetch=off',
                  (f'lists.{store}-off.25',))


# Workloads that are measured as operations/s; the others as seconds.
RATES = ('zipf', 'redis-get', 'redis-set', 'redis-lrange')


def _slowdown(name, what, workload, percent):
    rate = workload in RATES
    return Row(name, what, 'us' if rate else 's',
               f'{workload}.remote.{percent}', '100 % local',
               (f'{workload}.remote.100',), inverse=rate)


ROWS = [*_host_rows(), *_store_rows(), *_scan_rows(), *_guest_rows(),
        *_hint_rows(), *_migration_rows(), *_restart_rows(), *_floor_rows()]

# Percent of the working set that is local, as in names of samples.
SHARES = {100: 1, 50: 0.5, 25: 0.25, 12: 0.125}

# What the plots of throughput and slow-down show.
THROUGHPUT = ('touch', 'scan')
PEERS = ('remote', 'zram', 'file', 'nbd')
SLOWDOWN = ('sort', 'bfs', 'zipf', 'redis-get', 'redis-set', 'redis-lrange')


def plot_samples():
    """Names of the samples that plots need, beside those of rows."""
    names = [f'{workload}.{peer}.{percent}' for workload in THROUGHPUT
             for peer in PEERS for percent in SHARES]
    return names + [f'{workload}.remote.{percent}' for workload in SLOWDOWN
                    for percent in SHARES]
