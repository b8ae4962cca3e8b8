"""What a memory backend would wait with caches of other sizes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from . import estimate

# Less than that in a second is no demand: who waits then, waits for memory
# that it has never used before.
FETCHES = 1

# What it takes to fetch a page, in seconds, as long as nobody knows; and what
# can be true.
PAGE_COST = 100e-6
COST_LEAST, COST_MOST = 10e-6, 10e-3

# An estimate that knows of less than that part of the pages that somebody
# waited for is wrong, or has only begun.
EXPLAINS = 1 / 4


def awaited(rates):
    """How many pages of the store somebody waited for, in a second."""
    return rates.get('fetched-pages', 0) - rates.get('prefetched-pages', 0)


def waiting(rates):
    """How many threads wait for pages of the store, on average."""
    if awaited(rates) < FETCHES:
        return 0
    return rates.get('fault-time-ns', 0) / 1e9


def curve(backend, rates, cost=PAGE_COST):
    """Pairs of a cache size and how many threads would wait with it; whether
    they are only guessed; and the cost of a page, for the next time.

    A guess is that twice the memory halves the time.
    """
    points, cache = estimate.points(backend), backend['cache-size']
    waits = waiting(rates)
    now = dict(points).get(cache, 0)
    if not points or now < EXPLAINS * (awaited(rates) if waits else 0):
        return ([(cache // 2, 2 * waits), (cache, waits),
                 (2 * cache, waits / 2)], True, cost)
    if waits:
        cost = min(max(waits / now, COST_LEAST), COST_MOST)
    return [(size, rate * cost) for size, rate in points], False, cost
