"""Stores, with servers that can be made to fail.

A leaf has a method for each fault that it can have, named like it: it begins
the fault or ends it. All lies are told by one method, lie().

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import json
import os
import resource
import signal

from lib import MIB
from liar import Liar
from matrix.faults import FULL
from matrix.outcomes import CURED, LOST, RETRIED, STUCK, NotApplicable
from matrix.session import SIZE
from memcached import Memcached
from nbdkit import Nbdkit
from proxy import Proxy

# Short, to be through soon; yet a busy machine answers in time.
TIMEOUT_MS = 500

# Every answer is too late.
SLOW_MS = 1500

NO_SERVER = 'there is no server'
NO_CONNECTION = 'there is no connection'


class Leaf(contextlib.ExitStack):
    """A store of a kind. The outcomes are those that it has by itself."""
    kind = ''
    outcomes = {}
    setup = None

    def __init__(self, directory, fault):
        super().__init__()
        self.directory = directory
        self.fault = fault
        self.has_filter = bool(fault) and fault.is_lie

    @staticmethod
    def key(fault):
        """Faults with the same key can be tried out on the same guest; one
        with its own name as its key is there from the beginning."""
        return 'lies' if fault.is_lie else 'others'

    def arguments(self):
        """What QEMU needs to be told beside the store."""
        return []

    def driver(self):
        """The properties of the store itself."""
        raise NotImplementedError

    def store(self):
        """The same, behind one that lies if the server cannot."""
        return fault_over(self.driver()) if self.has_filter else self.driver()

    def lie(self, machine, lie, one_in):
        """Tell lies of a kind, or the truth."""
        set_rates(machine, {f'{RATES[lie]}-rate': 1 / one_in} if lie else {})


RATES = {'corrupted': 'corrupt', 'swapped': 'swap', 'replayed': 'replay'}


def fault_over(store):
    """The filter that injects faults, over a store."""
    return {'qom-type': 'remote-store-fault', 'id': 'fault0', 'store': store}


def set_rates(machine, rates):
    """Set rates of the filter that injects faults, and all others to 0."""
    for name in ('error', 'drop', *RATES.values()):
        name = f'{name}-rate'
        machine.qmp.command('qom-set', path='/objects/fault0', property=name,
                            value=rates.get(name, 0))


class Ram(Leaf):
    """Memory of QEMU's own."""
    kind = 'remote-store-ram'
    no_wire = NotApplicable('pages do not leave the process, see "fault over '
                            'ram"')
    outcomes = {
        'slow': NotApplicable(NO_SERVER),
        'cut': NotApplicable(NO_CONNECTION),
        'full': STUCK,
        'corrupted': no_wire,
        'swapped': no_wire,
        'replayed': no_wire,
        'killed': NotApplicable(NO_SERVER),
        'emptied': NotApplicable(NO_SERVER),
    }

    @staticmethod
    def key(fault):
        return fault.name

    def driver(self):
        return {'qom-type': self.kind, 'max-size': MIB}

    def full(self, *_):
        """From the beginning, and for good."""


class FaultOverRam(Leaf):
    """The same, behind the filter that injects faults."""
    kind = 'remote-store-fault'
    outcomes = {
        'slow': CURED,
        'cut': CURED,
        'full': NotApplicable('it injects no such fault, see "ram"'),
        'corrupted': RETRIED,
        'swapped': RETRIED,
        'replayed': RETRIED,
        'killed': NotApplicable(NO_SERVER),
        'emptied': NotApplicable(NO_SERVER),
    }

    @staticmethod
    def key(_):
        return 'all'

    def driver(self):
        return fault_over({'qom-type': 'remote-store-ram'})

    def store(self):
        return self.driver()

    def slow(self, machine, begin):
        """Every request is lost and ends as timed out."""
        set_rates(machine, {'drop-rate': 1} if begin else {})

    def cut(self, machine, begin):
        """Every request fails."""
        set_rates(machine, {'error-rate': 1} if begin else {})


class OnMemcached(Leaf):
    """memcached, behind a network that fails and lies."""
    kind = 'remote-store-memcached'
    outcomes = {
        'slow': CURED,
        'cut': CURED,
        'full': CURED,
        'corrupted': RETRIED,
        'swapped': RETRIED,
        'replayed': RETRIED,
        'killed': LOST,
        'emptied': LOST,
    }

    # Less than what the guest needs, and more.
    small, large = 2, 64

    @staticmethod
    def key(fault):
        return 'full' if fault is FULL else 'others'

    def __init__(self, directory, fault):
        super().__init__(directory, fault)
        self.server = self.enter_context(Memcached(
            directory, self.small if fault is FULL else self.large))
        self.network = self.enter_context(Liar(self.server.path))

    def driver(self):
        return self.server.store(self.network.server,
                                 request_timeout_ms=TIMEOUT_MS)

    def store(self):
        return self.driver()

    def lie(self, machine, lie, one_in):
        self.network.tell(lie, one_in)

    def slow(self, _, begin):
        """Each line of an answer is late."""
        self.network.slow(SLOW_MS / 1000 if begin else 0)

    def cut(self, _, begin):
        """The network is gone, or back."""
        if begin:
            self.network.cut()
        else:
            self.network.restore()

    def full(self, _, begin):
        """It was too small from the beginning, and grows."""
        if not begin:
            self.server.enlarge(self.large)

    def killed(self, _, begin):
        """It is gone, or back, and then empty: no server of this kind can
        keep anything."""
        if begin:
            self.server.kill()
        else:
            self.server.start()

    def emptied(self, _, begin):
        """It is gone and back."""
        if begin:
            self.server.kill()
            self.server.start()


class Nodes(Leaf):
    """What stores on block nodes have in common."""
    kind = 'remote-store-block'
    lies = {'corrupted': RETRIED, 'swapped': RETRIED, 'replayed': RETRIED}

    def node(self):
        """The name of the node. Directories have names of their own, too."""
        return f'node{self.directory.name}'

    def driver(self):
        return {'qom-type': self.kind, 'node-name': self.node(),
                'request-timeout-ms': TIMEOUT_MS}


class OnFile(Nodes):
    """A file of this host."""
    outcomes = {
        **Nodes.lies,
        'slow': CURED,
        'cut': NotApplicable(NO_CONNECTION),
        'full': CURED,
        'killed': NotApplicable(NO_SERVER),
        'emptied': LOST,
    }

    # Far below what the guest uses.
    small = MIB // 2

    def __init__(self, directory, fault):
        super().__init__(directory, fault)
        self.file = directory / 'pages'
        self.file.touch()
        os.truncate(self.file, SIZE)

    @staticmethod
    def setup():
        """In QEMU's process: a file that cannot grow is an error, no more."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def arguments(self):
        node = {'node-name': self.node(), 'driver': 'throttle',
                'throttle-group': 'group0',
                'file': {'driver': 'file', 'filename': str(self.file)}}
        return ['-object', 'throttle-group,id=group0',
                '-blockdev', json.dumps(node)]

    def slow(self, machine, begin):
        """One request a second gets through."""
        machine.qmp.command('qom-set', path='/objects/group0',
                            property='limits',
                            value={'iops-total': 1 if begin else 0})

    def full(self, machine, begin):
        """The file cannot get longer than it may be."""
        hard = resource.RLIM_INFINITY
        resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE,
                         (self.small if begin else hard, hard))

    def emptied(self, _, begin):
        """Someone has emptied the file."""
        if begin:
            os.truncate(self.file, 0)
            os.truncate(self.file, SIZE)


class OnNbd(Nodes):
    """nbdkit, behind a network that fails."""
    outcomes = {
        **Nodes.lies,
        'slow': CURED,
        'cut': CURED,
        'full': CURED,
        'killed': CURED,
        'emptied': LOST,
    }

    def __init__(self, directory, fault):
        super().__init__(directory, fault)
        self.server = self.enter_context(Nbdkit(directory, SIZE))
        self.network = self.enter_context(Proxy(self.server.path))

    def arguments(self):
        node = {'node-name': self.node(), 'driver': 'nbd',
                'reconnect-delay': 1,
                'server': {'type': 'inet', 'host': '127.0.0.1',
                           'port': str(self.network.port)}}
        return ['-blockdev', json.dumps(node)]

    def slow(self, _, begin):
        """It goes away and comes back slow, or quick again."""
        self.server.kill()
        self.server.start(*([f'delay-read={SLOW_MS}ms',
                             f'delay-write={SLOW_MS}ms'] if begin else []))

    def cut(self, _, begin):
        """The network is gone, or back."""
        if begin:
            self.network.cut()
        else:
            self.network.restore()

    def full(self, _, begin):
        """It says that there is no space left."""
        self.server.fill(begin)

    def killed(self, _, begin):
        """It is gone, or back with its file."""
        if begin:
            self.server.kill()
        else:
            self.server.start()

    def emptied(self, _, begin):
        """It is gone, and back with an empty file."""
        if begin:
            self.server.kill()
            self.server.clear()
            self.server.start()
