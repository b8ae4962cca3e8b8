"""Test programs that run in the guest which has an RDMA device, vhost and a
QEMU of its own; each of their tests is a case.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re

from lib import STEP_SECONDS, require
from matrix.nested import boot_guest

RESULT = re.compile(r'^(not )?ok \d+ (\S+)(?: # (SKIP .*))?$', re.MULTILINE)


def check_result(match, output):
    """Fail unless a test of the guest has passed; none is skipped there."""
    failed, name, skipped = match.groups()
    said = output[:match.start()].splitlines()[-10:]
    require(not failed, '\n'.join([f'{name} failed', *said]))
    require(not skipped, f'{name}: {skipped}')


def run_program(tap, task, program, *words, seconds=STEP_SECONDS):
    """Have a task of the guest run a program."""
    output = ''
    with tap.case(f'{program} in the guest'):
        with boot_guest(task, test=program, args=','.join(words)) as machine:
            status = machine.watch(r'GUEST: ended with (\d+)', seconds)[1]
            output = machine.console.text
        # 1 means that some test has failed, which is a case of its own.
        require(status in ('0', '1') and RESULT.search(output),
                f'{program} ended with {status}:\n{output[-2000:]}')
    for match in RESULT.finditer(output):
        with tap.case(match[2]):
            check_result(match, output)
