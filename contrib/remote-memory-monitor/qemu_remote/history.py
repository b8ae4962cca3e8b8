"""Samples of a VM over time, in bounded room.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from .rates import Change


class History:
    """Samples, the oldest first. When there are too many, every other one is
    forgotten, and from then on half as many are kept: a long recording is
    coarse, but has all of its time. Counters in samples are totals, so nothing
    is lost by it."""

    def __init__(self, limit=1200):
        self.limit = limit
        self.samples = []
        self.every = 1
        self.skipped = 0
        self.latest = []        # the last two, for what happens now

    def add(self, sample):
        """Note a sample."""
        self.latest = [*self.latest[-1:], sample]
        self.skipped += 1
        if self.skipped < self.every:
            return
        self.skipped = 0
        self.samples.append(sample)
        if len(self.samples) > self.limit:
            self.samples = self.samples[::2]
            self.every *= 2

    def now(self):
        """What happened last."""
        before = self.latest[0] if len(self.latest) > 1 else None
        return Change(before, self.latest[-1])

    def changes(self):
        """What happened from each sample to the next."""
        return [Change(before, after) for before, after
                in zip(self.samples, self.samples[1:])]
