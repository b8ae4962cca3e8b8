"""What else there is beside plain live migration, as documentation.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from matrix.table import wrap
from migration.friends import FRIENDS

PLACE = 'docs/system/remote-memory-migration.rst.inc'

HEAD = '''\
.. SPDX-License-Identifier: GPL-2.0-or-later
.. Made by "tests/guest/test-migration-friends --table"; "make check" compares
.. it.

.. list-table::
   :header-rows: 1
   :widths: 30 12 58

   * - What
     -
     - Note
'''


def row(friend):
    """The lines of a row."""
    note = friend.text and friend.text[0].upper() + friend.text[1:] + '.'
    return [f'   * - {friend.title}', f'     - {friend.answer}',
            *(wrap('     - ', note) if note else ['     -'])]


def generate():
    """The whole file."""
    lines = [line for friend in FRIENDS for line in row(friend)]
    return HEAD + '\n'.join(lines) + '\n'
