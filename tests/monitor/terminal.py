"""A terminal for a program that wants one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

# What a terminal does not print.
CONTROL = re.compile('\x1b\\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x0e\x0f]')


class Terminal:
    """A program in a pseudo-terminal, ended with the block."""

    def __init__(self, command, lines=40, columns=120):
        self.output = ''
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', lines, columns, 0, 0))
        # It is in control of the program, so that Ctrl-C is an interrupt
        self.process = subprocess.Popen(    # pylint: disable=R1732,W1509
            command, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, 'LC_ALL': 'C.UTF-8', 'TERM': 'xterm-256color'})
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, text):
        """Press keys; what has been printed so far is not looked at any
        more."""
        self._read(0)
        self.output = ''
        os.write(self.master, text.encode())

    def _read(self, seconds):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:             # the program has ended
                return False
            self.output += CONTROL.sub('', data.decode(errors='replace'))
            seconds = 0
        return True

    def expect(self, text, seconds=60):
        """Wait until something is printed."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            alive = self._read(0.2)
            if text not in self.output and (
                    not alive or time.monotonic() > deadline):
                raise AssertionError(f'no "{text}" in: {self.output}')

    def quit(self, seconds=60, key='q'):
        """Press q; the program must end without a complaint."""
        self.type(key)
        status = self.wait(seconds)
        if status or 'Traceback' in self.output:
            raise AssertionError(f'status {status}: {self.output}')

    def wait(self, seconds=60):
        """Wait until the program has ended; returns its status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.2)
        return self.process.wait(1)
