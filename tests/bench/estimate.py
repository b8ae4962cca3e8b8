#!/usr/bin/env -S python3 -B
"""Does a cache of another size fetch what was predicted for it?

  estimate.py [--quick] [WORKLOAD]...

Programs of the guests (by default scan, zipf, sort and bfs) run with a cache of
two fifths of their data. Then the cache is halved, and doubled, and they run
again. Printed is what was fetched for the same work, beside the prediction.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import sys

from guest import ERRORS, RemoteGuest, make_guest
from lib import Skip
from workloads import WORKLOADS, programs

SHARE = 0.4
# For programs that work for some time.
SECONDS = 15


def predicted(guest):
    """Pages by size of the cache, as counted so far."""
    return {entry['cache-size']: entry['fetched-pages']
            for entry in guest.machine.memory()['estimate']}


def measure(guest, workload):
    """Run once to warm up, and once more; returns the work that was done, the
    pages that were fetched, and those that would have been with caches of
    other sizes."""
    options = {'warmup': 0} if WORKLOADS[workload].timed else {}
    guest.run(workload, SECONDS, **options)
    before = predicted(guest)
    answer = guest.run(workload, SECONDS, **options)
    done = 1
    if WORKLOADS[workload].timed:
        done = answer[WORKLOADS[workload].metric] * answer['seconds']
    pages = {size: nr - before.get(size, 0)
             for size, nr in predicted(guest).items()}
    return done, answer['counters'], pages


def compare(workload, quick):
    """One workload; prints as it goes."""
    program = programs(quick)[WORKLOADS[workload].program]
    with RemoteGuest(program) as guest:
        guest.set_share(SHARE)
        present = guest.machine.memory()['cache-size']
        work, counters, pages = measure(guest, workload)
        report(workload, present, counters['fetched-pages'], pages[present],
               f"{counters['sampled-refaults']} of {counters['faults']} faults "
               'for that')
        for factor in (0.5, 2):
            guest.set_share(SHARE * factor)
            done, counters, _ = measure(guest, workload)
            size = guest.machine.memory()['cache-size']
            nearest = min(pages, key=lambda known, size=size: abs(known - size))
            report(workload, size, counters['fetched-pages'] / done * work,
                   pages[nearest])


def report(workload, size, fetched, expected, more=''):
    """A line."""
    print(f'{workload:12} {size >> 20:5} MiB  {fetched:9.0f} fetched  '
          f'{expected:9} predicted  ratio {expected / max(fetched, 1):.2f}  '
          f'{more}', flush=True)


def main():
    """See the head of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('SPDX')[0],
        formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--quick', action='store_true',
                        help='with a quarter of the data')
    parser.add_argument('workloads', nargs='*', metavar='WORKLOAD',
                        default=['scan', 'zipf', 'sort', 'bfs'])
    arguments = parser.parse_args()
    make_guest()
    for workload in arguments.workloads:
        compare(workload, arguments.quick)


if __name__ == '__main__':
    try:
        main()
    except (*ERRORS, Skip) as problem:
        sys.exit(f'estimate.py: {problem}')
