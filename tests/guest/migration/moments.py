"""Moments drawn at random.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random

from migration.guest import PAGES


class Moments:
    """Draws from a seed that is said, and that the environment variable
    RM_SEED repeats."""

    def __init__(self, tap):
        self.seed = int(os.environ.get('RM_SEED') or
                        random.SystemRandom().randrange(1 << 32))
        self.random = random.Random(self.seed)
        tap.note(f'moments of RM_SEED={self.seed}')

    def first_pass(self):
        """After how many bytes of a migration: in the first pass over the
        guest's memory."""
        return self.random.randrange(1, PAGES * 4096)

    def early(self):
        """The same, so early that not all of it is on its way by then: the
        network holds some of it."""
        return self.random.randrange(1, PAGES * 1024)

    def any_pass(self):
        """The same, or in the next passes."""
        return self.random.randrange(1, PAGES * 4096 * 3 // 2)

    def up_to(self, size):
        """After how many bytes of a migration, at most so many."""
        return self.random.randrange(1, size)

    def seconds(self, most):
        """For how long, at most so many seconds."""
        return self.random.uniform(0, most)
