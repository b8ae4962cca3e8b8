"""A client of the gdb stub.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re
import socket

from lib import STEP_SECONDS, require

# Most bytes in a packet are two digits of a byte of memory each.
CHUNK = 1024

# Of x86-64's registers, which come first in the answer, all with 8 bytes.
RIP = 16


class Gdb:
    """Stops the VM when it connects, as a debugger does. The VM goes on when
    it leaves."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(STEP_SECONDS)
        self.sock.connect(str(path))
        self.pending = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, text):
        """Send a packet, whose answer is taken later."""
        self.sock.sendall(b'$%s#%02x' % (text.encode(),
                                         sum(text.encode()) & 0xff))

    def answer(self):
        """The next packet."""
        text = self._until(b'#').lstrip(b'+')
        require(text.startswith(b'$'), f'{text[:40]} is no packet')
        text = text[1:]
        while len(self.pending) < 2:
            self._fill()
        check, self.pending = self.pending[:2], self.pending[2:]
        require(int(check, 16) == sum(text) & 0xff, 'a packet is damaged')
        self.sock.sendall(b'+')
        # A character and how often it comes again.
        return re.sub(rb'(.)\*(.)', lambda match: match[1] * (
            match[2][0] - 28), text, flags=re.DOTALL).decode()

    def _until(self, end):
        """What comes before this, which is taken, too."""
        while end not in self.pending:
            self._fill()
        text, self.pending = self.pending.split(end, 1)
        return text

    def _fill(self):
        data = self.sock.recv(65536)
        require(data, 'QEMU closed the connection')
        self.pending += data

    def ask(self, text):
        """Send a packet and return the answer, which is no error."""
        self.send(text)
        answer = self.answer()
        require(not re.fullmatch('E[0-9a-f]{2}', answer),
                f'{text[:40]}: {answer}')
        return answer

    def acknowledge(self, text):
        """Send a packet that is answered by OK."""
        answer = self.ask(text)
        require(answer == 'OK', f'{text[:40]}: {answer}')

    def read(self, address, size):
        """Memory."""
        return b''.join(
            bytes.fromhex(self.ask(f'm{place:x},'
                                   f'{min(CHUNK, address + size - place):x}'))
            for place in range(address, address + size, CHUNK))

    def write(self, address, data):
        """The same the other way."""
        for place in range(0, len(data), CHUNK):
            part = data[place:place + CHUNK]
            self.acknowledge(f'M{address + place:x},{len(part):x}:'
                             f'{part.hex()}')

    def position(self):
        """Where the vCPU is."""
        registers = bytes.fromhex(self.ask('g'))
        return int.from_bytes(registers[8 * RIP:8 * RIP + 8], 'little')

    def run_to(self, address):
        """Go on until the vCPU is there."""
        self.acknowledge(f'Z0,{address:x},1')
        answer = self.ask('c')
        require(answer.startswith('T05'), f'stopped by {answer}')
        require(self.position() == address, 'stopped elsewhere')
        self.acknowledge(f'z0,{address:x},1')

    def detach(self):
        """Let the VM go on."""
        self.acknowledge('D')
