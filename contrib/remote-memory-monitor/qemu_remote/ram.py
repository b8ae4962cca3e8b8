"""Where a backend's memory is: kinds, sizes, and shares of a bar.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections

# A name, what stands for it in a bar without colours, and what it means
Kind = collections.namedtuple('Kind', 'name mark meaning')

KINDS = (
    Kind('resident', '█', 'local, mapped in the guest'),
    Kind('standby', '▓', 'local, taken out of the guest'),
    Kind('in flight', '▒', 'local, being fetched'),
    Kind('remote', '░', 'in the store only'),
    Kind('source', '~', 'with the source of a migration'),
    Kind('zero', '·', 'nowhere: all zeros'),
)


def sizes(backend):
    """Bytes of each kind; together they are the size. What is in flight
    counts as remote in QMP, unless it is a page that is written again."""
    sizes_of = {kind.name: backend.get(f'{kind.name}-size', 0)
                for kind in KINDS}
    flying = min(backend.get('in-flight-size', 0), sizes_of['remote'])
    sizes_of['in flight'] = flying
    sizes_of['remote'] -= flying
    return sizes_of


def local(backend):
    """What the cache size bounds."""
    return sum(backend.get(f'{name}-size', 0)
               for name in ('resident', 'standby', 'in-flight'))


def shares(amounts, width):
    """Split a width in proportion to amounts, into whole numbers. What is
    there at all gets at least 1, as long as there is room."""
    total = sum(amounts)
    if not total or width <= 0:
        return [0] * len(amounts)
    exact = [amount * width / total for amount in amounts]
    parts = [int(part) or (1 if amount else 0)
             for part, amount in zip(exact, amounts)]
    while sum(parts) != width:
        change = 1 if sum(parts) < width else -1
        errors = [(part - want) * change for part, want in zip(parts, exact)]
        candidates = [i for i, amount in enumerate(amounts)
                      if amount and (change > 0 or parts[i] > 1)] or \
                     [i for i, part in enumerate(parts) if part]
        parts[min(candidates, key=errors.__getitem__)] += change
    return parts
