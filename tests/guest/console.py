"""The guest's serial console: what it said, and what we say to it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re
import select
import socket
import threading
import time

# A line that ends all waiting, since nothing good can come after it.
FATAL = re.compile(
    r'.*(?:GUEST: FAIL|: MISMATCH|Kernel panic|\bBUG: |\bOops: ).*\n')


class ConsoleError(Exception):
    """The guest said something bad, or not what was waited for."""


class Console:
    """Reads the socket in a thread of its own, so that the guest never waits
    for a test that is busy elsewhere."""

    def __init__(self, sock):
        self.sock = sock
        self.text = ''
        self.closed = False
        self.position = 0
        self.checked = 0
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._reader, daemon=True)
        self.thread.start()

    def send(self, line):
        """Type a line."""
        self.sock.sendall(line.encode() + b'\n')

    def expect(self, pattern, timeout):
        """Wait for a pattern after the last one that was found."""
        match = self.look(pattern, timeout)
        if not match:
            raise ConsoleError(f'the guest did not say "{pattern}" '
                               f'in {timeout} s')
        return match

    def look(self, pattern, timeout):
        """The same, but None if it does not come in time. A guest that has
        failed or gone is an error all the same."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                match = regex.search(self.text, self.position)
                if match:
                    self.position = match.end()
                    return match
                self._check_alive()
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)

    def last(self, pattern):
        """The last match of a pattern so far, or None."""
        match = None
        for match in re.finditer(pattern, self.text):
            pass
        return match

    def tail(self, lines=15):
        """The last lines, for a report."""
        return self.text.splitlines()[-lines:]

    def check(self):
        """Raise if the guest has failed."""
        with self.changed:
            self._check_alive(closed_is_fine=True)

    def _check_alive(self, closed_is_fine=False):
        fatal = FATAL.search(self.text, self.checked)
        if fatal:
            raise ConsoleError('the guest says: ' + fatal[0].strip())
        self.checked = self.text.rfind('\n') + 1
        if self.closed and not closed_is_fine:
            raise ConsoleError('QEMU closed the console')

    def drain(self):
        """All that has been sent until now."""
        with self.changed:
            while self._take():
                pass
            return self.text

    def _take(self):
        """Read what is there, if anything. With the lock, so that nothing is
        on its way between the socket and the text."""
        try:
            data = self.sock.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b''
        self.text += data.decode(errors='replace').replace('\r', '')
        self.closed = not data
        self.changed.notify_all()
        return bool(data)

    def close(self):
        """Close the connection, so that another one can be made. Not under
        the reader: a call that waits keeps the connection open, and would go
        on to wait for whatever gets its number."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()

    def _reader(self):
        while not self.closed:
            select.select([self.sock], [], [])
            with self.changed:
                self._take()
