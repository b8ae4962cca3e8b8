"""A memcached server of our own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import time

from lib import Failure, Skip, reap, require, spawn

# One chunk holds a page, its key and memcached's header, so that a page takes
# little more than a page: the smallest slab class begins at this size.
CHUNK_BYTES = 4137


class Memcached:
    """Listens on a socket in a directory; stopped when the block ends.

    Eviction is off (-M): a full server must refuse pages, not lose others.
    """

    def __init__(self, directory, mebibytes=1024):
        self.program = shutil.which('memcached')
        if not self.program:
            raise Skip('memcached is not installed: run scripts/deps guest')
        self.path = directory / 'memcached'
        self.mebibytes = mebibytes
        self.process = None
        self.start()

    def store(self, server=None, **properties):
        """The properties of a store on it, or on a way that leads to it."""
        return {'qom-type': 'remote-store-memcached',
                'servers': [server or f'unix:{self.path}'],
                **{key.replace('_', '-'): value
                   for key, value in properties.items()}}

    def start(self):
        """Start it, empty."""
        self.process = spawn(
            [self.program, '-s', str(self.path), '-m', str(self.mebibytes),
             '-M', '-n', str(CHUNK_BYTES), '-F', '-o', 'no_slab_automove',
             '-u', 'root'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                self.ask('version')
                return
            require(self.process.poll() is None and
                    time.monotonic() < deadline, 'memcached does not start')
            time.sleep(0.02)

    def ask(self, line):
        """One line to the server, one line back."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(str(self.path))
            sock.sendall(line.encode() + b'\r\n')
            return sock.makefile('rb').readline().decode().strip()

    def items(self):
        """How many it holds."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(str(self.path))
            sock.sendall(b'stats\r\n')
            for line in sock.makefile('r'):
                if line.startswith('STAT curr_items '):
                    return int(line.split()[2])
        raise Failure('memcached does not say how many items it has')

    def enlarge(self, mebibytes):
        """Give it more memory while it runs."""
        self.mebibytes = mebibytes
        answer = self.ask(f'cache_memlimit {mebibytes}')
        require(answer == 'OK', f'memcached says {answer}')

    def pause(self):
        """Stop it where it is: connections stay, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """End it at once, with all that it holds."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.resume()
        self.process.terminate()
        reap(self.process, 10)
