"""A libvirtd of our own, and what the manual says of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import pathlib
import re
import shlex
import subprocess
import textwrap
import time
import xml.etree.ElementTree as ET

import lib
from lib import ROOT, STEP_SECONDS, Failure, require, spawn

PAGE = (ROOT / 'docs/system/remote-memory-libvirt.rst').read_text()
COMMANDS = re.findall(r'^   # (virsh .*)$', PAGE, re.M)

ET.register_namespace('qemu', 'http://libvirt.org/schemas/domain/qemu/1.0')

# No confinement beyond what QEMU's driver does itself, no daemon for logs. A
# host is known by its number.
LIBVIRTD_CONF = '''auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "6e1b2b9c-35f1-4d1e-8a86-{:012}"
'''
QEMU_CONF = '''security_driver = "none"
stdio_handler = "file"
'''


def xml_of_page():
    """The domain of the manual, and its arguments for hand-over."""
    blocks = re.findall(r'\.\. code-block:: xml\n\n((?:   .*\n|\n)+)', PAGE)
    domain, more = map(textwrap.dedent, blocks)
    return ET.fromstring(domain), ET.fromstring(f'''<more
        xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">{more}
        </more>''')


def conf_of_page():
    """What the manual adds to qemu.conf."""
    return textwrap.dedent(
        re.search(r'^ +cgroup_device_acl = \[.*?\]\n', PAGE, re.M | re.S)[0])


class Libvirt:
    """A libvirtd on a host that only we see; ended by its process."""

    def __init__(self, name, number, conf='', command=()):
        self.name = name
        self.command = [*command, 'libvirtd']
        self.tried = set()
        where = pathlib.Path('/etc/libvirt')
        (where / 'libvirtd.conf').write_text(LIBVIRTD_CONF.format(number))
        (where / 'qemu.conf').write_text(QEMU_CONF + conf)
        self._start()

    def _start(self):
        """Start it, and wait until it answers, on its own host."""
        self.process = spawn(self.command, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        # Its host is seen through it.
        self.root = f'/proc/{self.process.pid}/root'
        self.uri = (f'qemu+unix:///system?socket={self.root}'
                    '/run/libvirt/libvirt-sock')
        deadline = time.monotonic() + STEP_SECONDS
        while self._run('virsh hostname') != (0, self.name):
            require(self.process.poll() is None, 'libvirtd does not start')
            require(time.monotonic() < deadline, 'libvirtd does not answer')
            time.sleep(0.1)

    def restart(self):
        """End it and start it again; what it runs goes on."""
        self.stop()
        self._start()

    def stop(self):
        """End it."""
        self.process.terminate()
        require(lib.reap(self.process, STEP_SECONDS), 'libvirtd hangs')

    def path(self, name):
        """A path of its host."""
        return pathlib.Path(self.root + name)

    def _run(self, command, extra=()):
        words = [*shlex.split(command), *extra]
        done = subprocess.run([words[0], '-c', self.uri, *words[1:]],
                              stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, timeout=STEP_SECONDS)
        return done.returncode, done.stdout.strip()

    def run(self, command, *extra):
        """A virsh command, as the manual has it; what it says."""
        self.tried.add(command)
        status, output = self._run(command, extra)
        require(not status, f'{command}: {output}')
        return output

    def refused(self, command):
        """The same for one that fails."""
        status, output = self._run(command)
        require(status, f'{command} works: {output}')
        return output

    def begin(self, command):
        """Begin a command; its output is for who waits for it."""
        self.tried.add(command)
        words = shlex.split(command)
        return spawn([words[0], '-c', self.uri, *words[1:]], text=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def hmp(self, line):
        """A command of the human monitor."""
        return self.run(f'virsh qemu-monitor-command guest --hmp {line}')

    def qmp(self, command, *options):
        """A command of QMP."""
        options = ' '.join([*options, f"'{command}'"])
        answer = json.loads(
            self.run(f'virsh qemu-monitor-command guest {options}'))
        if 'error' in answer:
            raise Failure(answer['error']['desc'])
        return answer['return']

    def memory(self):
        """What query-remote-memory says of the guest's RAM."""
        info, = self.qmp('{"execute": "query-remote-memory"}', '--pretty')
        return info
