"""What remote memory goes together with, and the tests that show it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import pathlib

TESTS = pathlib.Path(__file__).resolve().parents[1]

WORKS, REFUSED, UNTESTED = 'works', 'refused', 'not tested'


@dataclasses.dataclass(frozen=True)
class Test:
    """Where a feature is tried out.

    suite: of "make check"
    name: as it is in the results of the suite
    source: its file
    """
    suite: str
    name: str
    source: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Row:
    """A feature.

    title: what it is called
    answer: whether it works
    tests: those that show it
    message: what the user reads if it is refused
    text: what there is to know about it
    """
    title: str
    answer: str
    tests: tuple = ()
    message: str = ''
    text: str = ''


def guest(script, name):
    """A case of a script that runs guests."""
    return Test(f'guest/{script}', f'guest/{script}: {name}',
                TESTS / 'guest' / f'test-{script}')


def qtest(program, path):
    """A test of a QTest program."""
    name = f'remote-memory-{program}-test'
    return Test('qtest', f'qtest-x86_64/{name}: '
                f'/x86_64/remote-memory/{program}/{path}',
                TESTS / 'qtest' / f'{name}.c')


def works(title, *tests, text=''):
    """It works."""
    return Row(title, WORKS, tests, text=text)


def refused(title, message, *tests, text=''):
    """It is refused at once."""
    return Row(title, REFUSED, tests, message, text)


def untested(title, text):
    """Why it is not tried out."""
    return Row(title, UNTESTED, text=text)
