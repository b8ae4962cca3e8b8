"""What other cache sizes would cost, as the VM estimates.

SPDX-License-Identifier: GPL-2.0-or-later
"""


def points(backend):
    """Pairs of a cache size and the pages that it would fetch in a second, the
    smallest cache first; none if there is no estimate."""
    return sorted((entry['cache-size'], entry['fetch-rate'])
                  for entry in backend.get('estimate', []))
