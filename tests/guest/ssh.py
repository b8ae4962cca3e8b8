"""Logging into the guest.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re
import subprocess

from lib import GUEST, Failure, require

# The guest reaches nobody (restrict); this host reaches it through a port of
# the loopback interface that the kernel picks.
NETWORK = ['-netdev', 'user,id=net0,restrict=on,'
                      'hostfwd=tcp:127.0.0.1:0-10.0.2.15:22',
           '-device', 'virtio-net,netdev=net0,romfile=']


def port_of(machine):
    """The port that leads to the guest's SSH server."""
    line = machine.qmp.hmp('info usernet')
    match = re.search(r'HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)', line)
    require(match, f'no forwarded port: {line}')
    return match[1]


def run(machine, command, seconds):
    """Log in and run a command; returns what it prints."""
    options = {'IdentityFile': GUEST / 'id_ed25519', 'IdentitiesOnly': 'yes',
               'UserKnownHostsFile': GUEST / 'known_hosts',
               'GlobalKnownHostsFile': '/dev/null',
               'HostKeyAlias': 'rm-guest', 'StrictHostKeyChecking': 'yes',
               'BatchMode': 'yes', 'ConnectTimeout': seconds,
               'LogLevel': 'ERROR'}
    words = [word for key, value in options.items()
             for word in ('-o', f'{key}={value}')]
    try:
        done = subprocess.run(
            ['ssh', '-F', 'none', *words, '-p', port_of(machine),
             'root@127.0.0.1', command], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f'no SSH login in {seconds} s') from error
    require(done.returncode == 0,
            f'ssh: status {done.returncode}: {done.stderr.strip()}')
    return done.stdout
