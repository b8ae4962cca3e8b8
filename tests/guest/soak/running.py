"""Operations: stop, continue, reset.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from soak.operations import operation
from soak.world import NEVER

# The guest should get to work in between, but not always.
EARLY = 0.05


def attempt(world, command):
    """Run a command that is refused while there is a dump."""
    return world.attempt('There is a dump in process' if world.dump
                         else NEVER, command)


def go_on(world):
    """Let the guest run, unless a dump needs it to stand still."""
    if attempt(world, 'cont'):
        world.stopped = False


@operation(3)
def stop(world, _):
    """The guest stands still."""
    world.say('stop')
    if attempt(world, 'stop'):
        world.stopped = True


@operation(20)
def cont(world, _):
    """The guest runs."""
    world.need(world.stopped)
    world.say('cont')
    go_on(world)


@operation(1)
def reset(world, numbers):
    """The guest begins anew, in the middle of whatever it is doing; but not
    while a virtio-mem device is on its way out: QEMU 10.0 would fail an
    assertion, with memory of any kind, since the reset of ACPI takes away the
    device whose turn comes later in the same reset. Nor during a dump, from
    whose run state QEMU 10.0 knows no way to that of a reset."""
    early = numbers.random() < EARLY
    world.need(world.busy() or early)
    world.need(not world.dump)
    world.need('mem0' not in world.asked or 'mem0' in world.leaving)
    world.say('reset')
    world.command('system_reset')
