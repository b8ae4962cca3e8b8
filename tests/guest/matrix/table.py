"""The fault matrix as a part of the documentation.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import textwrap

from matrix.faults import FAULTS
from matrix.outcomes import OUTCOMES, Elsewhere, NotApplicable, Open
from matrix.rows import ROWS

PLACE = 'docs/system/remote-memory-faults.rst.inc'

HEAD = '''\
.. SPDX-License-Identifier: GPL-2.0-or-later
.. Made by "tests/guest/test-matrix --table"; "make check" compares it.
'''

WIDTHS = [28] + [9] * len(FAULTS)


class Notes:
    """Reasons, each with a number."""

    def __init__(self):
        self.texts = []

    def number(self, text):
        """The number of a reason, the same for the same reason."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def lines(self):
        """A list of all."""
        return [line for number, text in enumerate(self.texts, 1)
                for line in wrap(f'({number}) ', text)]


def wrap(first, text):
    """Lines of a paragraph."""
    return textwrap.wrap(text, 79, initial_indent=first,
                         subsequent_indent=' ' * len(first),
                         break_on_hyphens=False)


def note_of(cell):
    """What there is to be said about a cell."""
    if isinstance(cell, Elsewhere):
        return f'tried out by the test {cell.test}'
    if isinstance(cell, (NotApplicable, Open)):
        return cell.reason
    return None


def entry(cell, notes):
    """What is written in a cell."""
    note = note_of(cell)
    return f'{cell.word} ({notes.number(note)})' if note else cell.word


def meaning(items):
    """A list of terms and what they mean."""
    lines = []
    for term, text in items:
        lines += [term, *wrap('  ', text), '']
    return lines


def table(notes):
    """The matrix."""
    lines = ['.. list-table::', '   :header-rows: 1',
             f'   :widths: {" ".join(map(str, WIDTHS))}', '',
             '   * - Store']
    lines += [f'     - {fault.title}' for fault in FAULTS]
    for row in ROWS:
        lines.append(f'   * - {row.title}')
        lines += [f'     - {entry(row.cell(fault), notes)}'
                  for fault in FAULTS]
    return [*lines, '']


def generate():
    """The whole file."""
    notes = Notes()
    lines = [HEAD, *table(notes), *notes.lines(), '', 'The columns:', '']
    lines += meaning((fault.title, fault.text) for fault in FAULTS)
    lines += ['The cells:', '']
    lines += meaning((outcome.word, outcome.text) for outcome in OUTCOMES)
    return '\n'.join(lines).rstrip('\n') + '\n'


def open_cells():
    """The cells that say nothing yet."""
    return [f'{row.title}: {fault.title}: {cell.reason}'
            for row in ROWS for fault in FAULTS
            for cell in [row.cell(fault)] if isinstance(cell, Open)]
