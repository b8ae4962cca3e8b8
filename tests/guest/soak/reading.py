"""Operations: look at records, read and dump memory.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import lib
from lib import MIB, TINY_CACHE, require
from soak.operations import operation
from soak.running import go_on

# What is read at a time.
PIECE = 8 * MIB


def check_info(world, info):
    """What must be true of a backend at any time."""
    name = info['id']
    total = sum(info[f'{kind}-size'] for kind in
                ('resident', 'standby', 'remote', 'zero', 'source'))
    require(total == info['size'] == world.backends()[name],
            f"the sizes of {name} sum to {total}, not to {info['size']}")
    require(info['state'] in ('running', 'shrinking'),
            f"{name} is in state {info['state']}")
    local = lib.local_size(info)
    over = info['over-limit-pages'] * lib.PAGE
    require(info['state'] == 'shrinking' or
            local <= info['cache-size'] + over,
            f"{name} has {local} bytes local, its cache is "
            f"{info['cache-size']}")
    cache = world.caches.get(name, info['cache-size'])
    require(info['cache-size'] == cache,
            f"the cache of {name} is {info['cache-size']}, not {cache}")


@operation(10)
def query(world, _):
    """What an operator sees is possible."""
    world.say('query')
    for info in world.infos().values():
        check_info(world, info)
    world.command('query-remote-stores')
    world.command('query-memory-devices')


@operation(4)
def check_records(world, numbers):
    """The records of a pager agree."""
    name = numbers.choice(sorted(world.infos()))
    world.say(f'check the records of {name}')
    require(world.command('qom-get', path=f'/objects/{name}',
                          property='x-consistent'),
            f'the records of {name} do not agree')


def save(world, start, size, file):
    """Guest-physical memory, into a file."""
    path = world.directory / file
    world.command('pmemsave', val=start, size=size, filename=str(path))
    return path


def random_piece(world, numbers):
    """Where to read."""
    return numbers.randrange(world.machine.size // PIECE) * PIECE


@operation(3)
def read_memory(world, numbers):
    """A piece of memory, while the guest changes it."""
    start = random_piece(world, numbers)
    world.say(f'pmemsave {start:#x}')
    save(world, start, PIECE, 'piece').unlink()


@operation(2)
def read_twice(world, numbers):
    """Memory that nobody changes is the same after it has been away."""
    start = random_piece(world, numbers)
    world.need(not world.dump)
    world.say(f'pmemsave {start:#x} before and after it goes')
    world.command('stop')
    before = save(world, start, PIECE, 'before').read_bytes()
    if not world.jobs_of('ram0', 'remote-memory-evacuate'):
        world.machine.set_cache(TINY_CACHE)
        world.caches['ram0'] = TINY_CACHE
        world.wait(lambda: world.infos()['ram0']['state'] == 'running',
                   'the cache shrinks')
    after = save(world, start, PIECE, 'after').read_bytes()
    require(before == after, 'memory has changed while the guest stood still')
    if not world.stopped:
        go_on(world)


@operation(1)
def dump(world, numbers):
    """The guest into a file, while other things are done."""
    start = random_piece(world, numbers)
    whole = numbers.random() < 0.2
    world.need(not world.dump)
    world.say('dump ' + ('everything' if whole else f'from {start:#x}'))
    piece = {} if whole else {'begin': start, 'length': 4 * PIECE}
    if not whole and start + 4 * PIECE > world.machine.size:
        piece['begin'] = 0
    world.dump = world.directory / 'dump'
    world.command('dump-guest-memory', paging=False, detach=True,
                  protocol=f'file:{world.dump}', **piece)
