"""Log2 histograms, as query-stats has them.

A histogram is a list of counts. Bucket 0 counts values of 0, bucket n those
from 2^(n-1) to below 2^n. The last bucket has no end.

SPDX-License-Identifier: GPL-2.0-or-later
"""


def difference(before, after):
    """What was counted between two moments; None if that cannot be said:
    the counters began anew."""
    if len(before) != len(after):
        return None
    counts = [new - old for old, new in zip(before, after)]
    return counts if min(counts, default=0) >= 0 else None


def merge(histograms):
    """The sum of histograms; an empty list if there are none."""
    histograms = list(histograms)
    length = max(map(len, histograms), default=0)
    total = [0] * length
    for counts in histograms:
        for bucket, count in enumerate(counts):
            total[bucket] += count
    return total


def bounds(bucket):
    """The lowest value of a bucket, and the one above its highest."""
    return (0, 1) if bucket == 0 else (1 << (bucket - 1), 1 << bucket)


def quantile(counts, share):
    """A value that this share of all values does not exceed; None if there
    are no values.

    Within a bucket, values are taken to lie evenly, so this can be wrong by
    the width of the bucket.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    below = 0
    for bucket, count in enumerate(counts):
        if count and below + count >= wanted:
            low, high = bounds(bucket)
            inside = max(wanted - below, 0) / count
            return low + (high - low) * inside if bucket else 0
        below += count
    raise AssertionError('a share of more than all')
