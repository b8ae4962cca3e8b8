"""How the soak ends, and what must be true then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import hashlib

from lib import MIB, PAGE, STEP_SECONDS, TINY_CACHE, require
from soak.reading import check_info
from soak.running import go_on

# Other things than pages that a memcached server has for us.
MARKS = 64

# How much is read at once; the monitor should answer in between.
CHUNK = 16 * MIB


def calm_down(world):
    """Nothing goes on any more but the guest."""
    world.wait(lambda: not world.dump, 'the last dump ends')
    world.set_property('fault', error_rate=0, corrupt_rate=0, delay_us=0)
    for name, size in world.backends().items():
        world.wait(lambda name=name: not world.jobs_of(name),
                   f'the last jobs of {name} end')
        world.command('remote-memory-set-cache-size', id=name,
                      cache_size=size // 4)
        world.caches[name] = size // 4
    if world.stopped or world.machine.status() != 'running':
        go_on(world)


def verify(world):
    """All that the guest has is right. Returns what it says of that."""
    console = world.machine.console
    world.wait(world.busy, 'the guest gets to work', 2 * STEP_SECONDS)
    console.position = world.boot
    console.send('')
    result = console.expect('memhog: OK (.*)\n', 2 * STEP_SECONDS)[1]
    console.expect('GUEST: soak ok', 2 * STEP_SECONDS)
    world.pump()
    return result


def check_all_records(world):
    """All records agree with each other and with what is there."""
    infos = world.infos()
    require(set(infos) == set(world.backends()), 'not the right backends')
    for name, info in infos.items():
        check_info(world, info)
        require(world.command('qom-get', path=f'/objects/{name}',
                              property='x-consistent'),
                f'the records of {name} do not agree')


def check_stores(world, server):
    """What the guest gave back, or what was unplugged, is in no store."""
    stores = world.stores

    def is_swept():
        infos = world.infos().values()
        have = {store['id']: store['pages'] for store in
                world.command('query-remote-stores')}
        return all(have[name] * PAGE <= sum(
            info['size'] - info['zero-size'] for info in infos
            if info['store'] == name) for name in stores)
    world.wait(is_swept, 'the stores get their space back')
    pages, = (store['pages'] for store in
              world.command('query-remote-stores') if store['id'] == 'mc')
    require(server.items() <= pages + MARKS,
            f'the server has {server.items()} items for {pages} pages')


def digests(world):
    """A digest of each piece of memory."""
    path = world.directory / 'memory'
    found = []
    areas = [(0, world.machine.size)]
    areas += [(plug.address(), plug.size) for plug in world.plugs.values()
              if plug.name not in world.leaving]
    for base, length in areas:
        for start in range(base, base + length, CHUNK):
            world.command('pmemsave', val=start, size=CHUNK,
                          filename=str(path))
            found.append(hashlib.sha256(path.read_bytes()).digest())
    path.unlink()
    return found


def check_contents(world):
    """Memory is the same with the smallest caches as with larger ones."""
    before = digests(world)
    for name in world.backends():
        world.command('remote-memory-set-cache-size', id=name,
                      cache_size=TINY_CACHE)
        world.caches[name] = TINY_CACHE
    world.wait(lambda: all(info['state'] == 'running'
                           for info in world.infos().values()),
               'the caches shrink')
    require(digests(world) == before, 'memory depends on the cache size')


def finish(world, server):
    """To the end. Returns what the guest says."""
    calm_down(world)
    result = verify(world)
    world.command('stop')
    check_all_records(world)
    check_stores(world, server)
    check_contents(world)
    check_all_records(world)
    return result
