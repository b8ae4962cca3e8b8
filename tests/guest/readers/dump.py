"""The guest's memory out of a dump.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct
import zlib

from lib import PAGE, require
from readers.content import FIRST, SIZE

# --- ELF -------------------------------------------------------------------

ELF_HEADER = struct.Struct('<16sHHIQQQIHHHHHH')
SEGMENT = struct.Struct('<IIQQQQQQ')
LOADED = 1


def segments(dump):
    """What memory there is: physical address, place in the file, size."""
    header = ELF_HEADER.unpack(dump.read(ELF_HEADER.size))
    require(header[0].startswith(b'\x7fELF'), 'not an ELF file')
    start, size, number = header[5], header[9], header[10]
    for index in range(number):
        dump.seek(start + index * size)
        kind, _, place, _, address, length, *_ = SEGMENT.unpack(
            dump.read(SEGMENT.size))
        if kind == LOADED:
            yield address, place, length


def from_elf(path):
    """The memory that the guest uses, as far as it has been written."""
    memory = b''
    with open(path, 'rb') as dump:
        for address, place, length in sorted(segments(dump)):
            begin = max(FIRST + len(memory), address)
            end = min(FIRST + SIZE, address + length)
            if begin < end:
                require(begin == FIRST + len(memory), 'there is a gap')
                dump.seek(place + begin - address)
                memory += dump.read(end - begin)
    return memory


def check_same(plain, paging):
    """Two files have the same memory: one as physical memory is, and one that
    refers to it in the order of virtual addresses."""
    pieces = 0
    with open(plain, 'rb') as first, open(paging, 'rb') as second:
        blocks = list(segments(first))
        for address, place, length in list(segments(second)):
            for start, offset, size in blocks:
                if length and start <= address < start + size:
                    require(address + length <= start + size,
                            'more than there is')
                    first.seek(offset + address - start)
                    second.seek(place)
                    require(first.read(length) == second.read(length),
                            f'not the same at {address:#x}')
                    pieces += 1
    require(pieces > len(blocks), 'no page tables were followed')


# --- kdump -----------------------------------------------------------------

# What a flattened file begins with, and its records.
FLAT = b'makedumpfile'
FLAT_HEADER = 4096
RECORD = struct.Struct('>qq')

# Where, in the header of a dump, the sizes are: of a block, and in blocks, of
# the second header and of the two bitmaps. After these are descriptors.
BLOCKS = struct.Struct('<III')
BLOCKS_PLACE = 428
DESCRIPTOR = struct.Struct('<QIIQ')
COMPRESSED = 1


def unflatten(data):
    """What a file would be that could be written in any order."""
    if not data.startswith(FLAT):
        return data
    image, place = bytearray(), FLAT_HEADER
    while True:
        offset, size = RECORD.unpack_from(data, place)
        if offset < 0:
            return bytes(image)
        place += RECORD.size
        image.extend(bytes(max(0, offset + size - len(image))))
        image[offset:offset + size] = data[place:place + size]
        place += size


def from_kdump(path):
    """The memory that the guest uses. What is not in the dump is zeros."""
    image = unflatten(path.read_bytes())
    require(image.startswith(b'KDUMP   '), 'not a dump in this format')
    block, second, bitmaps = BLOCKS.unpack_from(image, BLOCKS_PLACE)
    # The second half of the bitmaps says which pages are in the dump.
    bitmap = image[(1 + second + bitmaps // 2) * block:]
    place, memory = (1 + second + bitmaps) * block, b''
    for number in range((FIRST + SIZE) // PAGE):
        page = bytes(PAGE)
        if bitmap[number // 8] >> number % 8 & 1:
            offset, size, flags, _ = DESCRIPTOR.unpack_from(image, place)
            place += DESCRIPTOR.size
            page = image[offset:offset + size]
            page = zlib.decompress(page) if flags & COMPRESSED else page
        if number >= FIRST // PAGE:
            memory += page
    return memory
