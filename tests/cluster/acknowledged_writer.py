"""An application that writes to a device and keeps its own account, outside of the node, of what was
acknowledged.

    acknowledged_writer.py DEVICE BLOCKS SEED FIRST >>LOG

Every block of 4 KiB says which it is, in which write it came, and carries a checksum. Before a write
"try NUMBER FIRST-BLOCK COUNT" is logged, after it and a flush "ok NUMBER", and the log is synced.
Ends with the first error of the device.
"""

import mmap
import os
import random
import struct
import sys
import zlib

BLOCK = 4096
HEAD = struct.Struct("<8sQQI")
MAGIC = b"lockstep"
AT_ONCE_MAX = 16


def block(number, position):
    body = random.Random(number * 1000003 + position).randbytes(BLOCK - HEAD.size)
    return HEAD.pack(MAGIC, number, position, zlib.crc32(body)) + body


def number_in(data, position):
    """Which write the block came with; 0 if it was never written, None if it is damaged."""
    if not any(data):
        return 0
    magic, number, said, checksum = HEAD.unpack_from(data)
    intact = magic == MAGIC and said == position and checksum == zlib.crc32(data[HEAD.size:])
    return number if intact else None


def write_forever(device, blocks, seed, number):
    dice = random.Random(seed)
    memory = mmap.mmap(-1, BLOCK * AT_ONCE_MAX)  # aligned, as direct I/O wants it
    log = sys.stdout.fileno()
    while True:
        count = dice.randint(1, AT_ONCE_MAX)
        first = dice.randrange(blocks - count)
        for at in range(count):
            memory[at * BLOCK:(at + 1) * BLOCK] = block(number, first + at)
        os.write(log, f"try {number} {first} {count}\n".encode())
        with memoryview(memory) as view, view[:count * BLOCK] as piece:
            if os.pwrite(device, piece, first * BLOCK) != count * BLOCK:
                raise OSError("a short write")
        os.fsync(device)
        os.write(log, f"ok {number}\n".encode())
        os.fsync(log)
        number += 1


def main():
    path, blocks, seed, first = sys.argv[1:]
    try:
        write_forever(os.open(path, os.O_RDWR | os.O_DIRECT), int(blocks), int(seed), int(first))
    except OSError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main()
