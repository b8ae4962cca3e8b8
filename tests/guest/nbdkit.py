"""An NBD server of our own, which can be made to fail.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess
import time

from lib import Skip, reap, require, spawn


class Nbdkit:
    """Serves a file on a socket in a directory; stopped when the block ends.

    The file stays when the server is killed, so that a server can come back
    with what it had, or empty."""

    def __init__(self, directory, size):
        self.program = shutil.which('nbdkit')
        if not self.program:
            raise Skip('nbdkit is not installed: run scripts/deps test')
        self.path = directory / 'nbdkit'
        self.file = directory / 'nbdkit.img'
        self.full = directory / 'nbdkit.full'
        self.size = size
        self.process = None
        self.clear()
        self.start()

    def clear(self):
        """Forget all contents; not while it runs."""
        self.file.write_bytes(b'')
        os.truncate(self.file, self.size)

    def start(self, *delay):
        """Start it, with parameters of nbdkit's delay filter or without. It
        refuses to write while there is a certain file.

        With one thread, since it has a race: if a connection breaks, one
        thread closes it while another one is about to answer, and aborts
        (assertion "sock >= 0" in raw_send_socket(), nbdkit 1.32)."""
        self.path.unlink(missing_ok=True)
        filters = ['--filter=error', *(['--filter=delay'] if delay else [])]
        self.process = spawn(
            [self.program, '--foreground', '--threads', '1',
             '--unix', str(self.path), *filters,
             'file', str(self.file), 'error-pwrite=ENOSPC',
             'error-pwrite-rate=100%', f'error-pwrite-file={self.full}',
             *delay],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self.path.exists():
            require(self.process.poll() is None and
                    time.monotonic() < deadline, 'nbdkit does not start')
            time.sleep(0.02)

    def fill(self, is_full):
        """Have no more space, or have some again."""
        if is_full:
            self.full.touch()
        else:
            self.full.unlink()

    def kill(self):
        """End it at once; the file stays."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        reap(self.process, 10)
