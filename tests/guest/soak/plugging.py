"""Operations: memory that comes and goes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import plug
from lib import MIB, PAGE, TINY_CACHE
from soak.operations import operation, some_size

SLOTS = {'dimm0': plug.Dimm, 'dimm1': plug.Dimm, 'mem0': plug.VirtioMem}

# What virtio-mem gives at a time, in a guest with 4 KiB pages.
UNIT = 2 * MIB


@operation(6)
def plug_in(world, numbers):
    """A new backend, and the device that brings it to the guest. Not while
    there is a dump: QEMU 10.0 would end, with memory of any kind."""
    name = numbers.choice(sorted(SLOTS))
    cache = some_size(numbers, TINY_CACHE, plug.BLOCK, PAGE)
    store = numbers.choice(sorted(world.stores))
    world.need(name not in world.plugs and not world.dump)
    world.say(f'plug {name}, cache of {cache // PAGE} pages, store {store}')
    new = SLOTS[name](world.machine, name, plug.BLOCK, cache, store)
    new.plug()
    world.plugs[name] = new
    world.caches[name] = cache


@operation(6)
def unplug(world, numbers):
    """Ask the guest to let a device go; it may do so later, or never. One
    that a reset could come across has to wait, see reset()."""
    name = numbers.choice(sorted(SLOTS))
    world.need(name in world.plugs and name not in world.leaving)
    world.need(world.busy() or name != 'mem0')
    world.say(f'unplug {name}')
    device = world.plugs[name].device()
    if world.attempt('in the process of unplug|not found|still plugged|'
                     'requested-size', 'device_del', id=device):
        world.asked.add(name)


@operation(12)
def delete_backend(world, numbers):
    """Delete the backend of a device that has gone."""
    world.need(world.leaving)
    name = numbers.choice(sorted(world.leaving))
    world.say(f'delete {name}')
    world.plugs[name].forget()
    world.leaving.discard(name)
    world.asked.discard(name)
    del world.plugs[name]
    world.caches.pop(name, None)


@operation(8)
def resize_virtio_mem(world, numbers):
    """More or less memory by virtio-mem."""
    size = numbers.choice([0, numbers.randrange(plug.BLOCK // UNIT + 1)])
    world.need('mem0' in world.plugs and 'mem0' not in world.leaving)
    world.say(f'virtio-mem: {size * UNIT // MIB} MiB')
    device = world.plugs['mem0'].device()
    world.attempt('not found|unplug', 'qom-set', property='requested-size',
                  path=f'/machine/peripheral/{device}', value=size * UNIT)
