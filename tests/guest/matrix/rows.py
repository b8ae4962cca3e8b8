"""The rows of the fault matrix.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import functools
import subprocess
import typing

from lib import QEMU, Skip
from matrix import rdma
from matrix.leaves import FaultOverRam, OnFile, OnMemcached, OnNbd, Ram
from matrix.faults import FAULTS
from matrix.outcomes import GOES_ON, Elsewhere, NotApplicable, Open


def alone(stores):
    """No filter."""
    store, = stores
    return store


def crypt(stores):
    """Encrypted."""
    return {'qom-type': 'remote-store-crypt', 'store': alone(stores)}


def stripe(stores):
    """A pool."""
    return {'qom-type': 'remote-store-stripe', 'stores': stores}


def mirror(stores):
    """Copies."""
    return {'qom-type': 'remote-store-mirror', 'stores': stores}


@dataclasses.dataclass(frozen=True)
class Row:
    """A store or filter that is tried out here.

    title: what the table calls it
    leaves: its stores; it is the first that fails
    filter: what is over them
    outcomes: where it is not as for the first leaf by itself
    backend: properties of the memory backend
    """
    title: str
    leaves: list
    filter: typing.Callable = alone
    outcomes: dict = dataclasses.field(default_factory=dict)
    backend: dict = dataclasses.field(default_factory=dict)

    def cell(self, fault):
        """What becomes of a fault."""
        return {**self.leaves[0].outcomes, **self.outcomes}[fault.name]

    def tried(self):
        """The faults that are tried out, each with its outcome."""
        cells = [(fault, self.cell(fault)) for fault in FAULTS]
        return [(fault, cell) for fault, cell in cells
                if not isinstance(cell, NotApplicable)]

    def require(self):
        """Skip if this QEMU has not got the stores."""
        stores = [{'qom-type': leaf.kind} for leaf in self.leaves]
        for store in (self.filter(stores), *stores):
            if store['qom-type'] not in object_types():
                raise Skip(f'there is no {store["qom-type"]} in this QEMU')


@dataclasses.dataclass(frozen=True)
class RowElsewhere:
    """A store that another test tries out: what it declares is taken over."""
    title: str
    test: str
    cells: dict

    def cell(self, fault):
        """What becomes of a fault."""
        declared = self.cells.get(fault.name)
        if declared is None:
            return Open(f'{self.test} does not try it out yet')
        if isinstance(declared, NotApplicable):
            return declared
        return Elsewhere(self.test, declared)

    @staticmethod
    def tried():
        """Nothing here."""
        return []


@functools.lru_cache
def object_types():
    """The types of objects that QEMU can create."""
    return subprocess.run([QEMU, '-object', 'help'], check=True,
                          capture_output=True, text=True).stdout.split()


# What is encrypted proves itself: the backend's own check is switched off.
UNCHECKED = {'verify': False}

# One of two copies is enough.
COPIES = {fault.name: GOES_ON for fault in FAULTS}

ROWS = [
    Row('ram', [Ram]),
    Row('fault over ram', [FaultOverRam]),
    Row('memcached', [OnMemcached]),
    Row('block on a file', [OnFile]),
    Row('block on NBD', [OnNbd]),
    RowElsewhere('rdma', rdma.TEST, rdma.CELLS),
    Row('crypt over memcached', [OnMemcached], crypt, {}, UNCHECKED),
    Row('crypt over NBD', [OnNbd], crypt, {}, UNCHECKED),
    Row('stripe over memcached, memcached', [OnMemcached, OnMemcached],
        stripe),
    Row('stripe over NBD, memcached', [OnNbd, OnMemcached], stripe),
    Row('mirror over memcached, memcached', [OnMemcached, OnMemcached],
        mirror, COPIES),
]
