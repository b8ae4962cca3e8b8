"""What remote memory goes together with, as documentation.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from matrix.table import wrap
from features import GROUPS

PLACE = 'docs/system/remote-memory-composition.rst.inc'

HEAD = '''\
.. SPDX-License-Identifier: GPL-2.0-or-later
.. Made by "tests/composition/test-composition --table"; "make check" compares
.. it, and that each row's test has passed.
'''

LIST = '''
.. list-table:: {title}
   :header-rows: 1
   :widths: 30 12 58

   * - What
     -
     - Note
{rows}
'''


def note(row):
    """The third column: the message that a user reads is set as such."""
    parts = [f'``{row.message}``'] if row.message else []
    if row.text:
        parts.append(row.text[0].upper() + row.text[1:] + '.')
    return ' '.join(parts)


def lines(row):
    """The lines of a row."""
    text = note(row)
    return [*wrap('   * - ', row.title), f'     - {row.answer}',
            *(wrap('     - ', text) if text else ['     -'])]


def section(title, rows):
    """A table with its title."""
    return LIST.format(title=title, rows='\n'.join(
        line for row in rows for line in lines(row)))


def generate():
    """The whole file."""
    return HEAD + ''.join(section(*group) for group in GROUPS)
