"""The benchmark's results as a table.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from programs import Skip
from results import GOALS, is_reached

HEAD = ('row', 'value', '', 'against', '', '', 'ratio', 'spread', 'goal', '')

# Columns of text; numbers go to the right.
LEFT = {0, 2, 4, 5, 7, 8, 9}


def number(value):
    """Three digits that count."""
    if value is None:
        return ''
    digits = max(0, 2 - len(str(int(abs(value)))) + 1)
    return f'{value:,.{digits}f}'.replace(',', ' ')


def _goal(result):
    if result['id'] not in GOALS:
        return ''
    comparison, limit = GOALS[result['id']]
    return f'{comparison} {limit}'


def _spread(result):
    if not result['spread']:
        return ''
    return ' to '.join(f'{value:.2f}' for value in result['spread'])


def _cells(result):
    verdict = {True: 'reached', False: 'MISSED', None: ''}
    ratio = result['ratio']
    return (result['id'], number(result['value']), result['unit'],
            number(result['against_value']),
            result['unit'] if result['against'] else '',
            result['against'] or '', '' if ratio is None else f'{ratio:.2f}',
            _spread(result), _goal(result), verdict[is_reached(result)])


def _line(cells, widths):
    return ' '.join(cell.ljust(width) if column in LEFT else cell.rjust(width)
                    for column, (cell, width) in
                    enumerate(zip(cells, widths))).rstrip()


def _problem(result):
    problem = result['problem']
    word = 'skipped' if isinstance(problem, Skip) or not problem else 'FAILED'
    reason = str(problem or 'not measured').splitlines() or ['']
    return f"{result['id']}: {word}: {reason[0]}"


def table(results):
    """The table, as lines; below it, rows without numbers and why."""
    good = [result for result in results if 'problem' not in result]
    cells = [HEAD, *map(_cells, good)]
    widths = [max(len(line[column]) for line in cells)
              for column in range(len(HEAD))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, '-' * max(map(len, lines)))
    if not good:
        lines = []
    return lines + [_problem(result) for result in results
                    if 'problem' in result]
