"""Run unittest's tests with results in the Test Anything Protocol.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import importlib
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MONITOR = ROOT / 'contrib' / 'remote-memory-monitor'

sys.path[:0] = [str(MONITOR), str(ROOT / 'tests' / 'guest')]


def skip(reason):
    """This machine cannot run the test."""
    print(f'1..0 # SKIP\n{reason}', flush=True)
    sys.exit(77)


def need(module, package):
    """Skip all tests without a module of a Debian package."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return skip(f'{package} is not installed: run scripts/deps tools')


def need_qmp():
    """Skip all tests without the QMP library."""
    try:
        importlib.import_module('qemu_remote.machine')
    except ImportError as error:
        skip(str(error))


class Tap(unittest.TestResult):
    """Prints a line for each test, by the first line of its docstring."""

    def __init__(self):
        super().__init__()
        self.bad = set()

    def _line(self, outcome, test, directive=''):
        name = test.shortDescription() or test.id()
        print(f'{outcome} {self.testsRun} - {name}{directive}', flush=True)

    def _failed(self, test, error):
        self.bad.add(test)
        text = self._exc_info_to_string(error, test)
        print('\n'.join('# ' + line for line in text.splitlines()))

    def addFailure(self, test, err):
        self._failed(test, err)
        super().addFailure(test, err)

    def addError(self, test, err):
        self._failed(test, err)
        super().addError(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self._failed(test, err)
        super().addSubTest(test, subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line('ok', test, f' # SKIP {reason}')

    def stopTest(self, test):
        super().stopTest(test)
        if test in self.bad:
            self._line('not ok', test)
        elif not any(test is skipped for skipped, _ in self.skipped):
            self._line('ok', test)


def main():
    """Run the tests of the program, or those whose names have a word."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f'*{word}*' for word in sys.argv[1:]] or None
    result = Tap()
    loader.loadTestsFromModule(sys.modules['__main__']).run(result)
    print(f'1..{result.testsRun}', flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)
