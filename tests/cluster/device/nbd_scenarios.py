#!/usr/bin/env python3
"""The NBD server against the clients that people use: nbdinfo, nbdcopy, qemu-io, qemu-img, fio."""

import json
import os
import socket
import subprocess
import sys

from scenario import Server, check, equal, run, tool, until


def nbdinfo_sees_size_flags_and_block_sizes(make):
    server = make("--no-nodes", "--size", str(48 << 20)).up()
    seen = json.loads(tool("nbdinfo", "--json", server.uri()))["exports"][0]
    equal(seen["export-size"], 48 << 20, "size")
    equal(seen["block_size_minimum"], 512, "minimum")
    equal(seen["block_size_preferred"], 4096, "preferred")
    equal(seen["block_size_maximum"], 1 << 20, "maximum")
    for flag in ("can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero"):
        check(seen[flag], flag)
    check(not seen["is_read_only"], "is_read_only")


def nbdinfo_lists_the_export_and_finds_it_by_each_name(make):
    server = make("--no-nodes", "--minor", "5").up()
    listed = json.loads(tool("nbdinfo", "--list", "--json", server.uri()))
    equal([one["export-name"] for one in listed["exports"]], ["r0/0"], "listed")
    for name in ("", "r0", "r0/0", "0", "minor-5"):
        tool("nbdinfo", server.uri(name))
    refused = tool("nbdinfo", server.uri("r0/1"), fails=True)
    check("r0/1" in refused and "No such file" in refused, refused)


def a_volume_with_4096_byte_blocks_says_so(make):
    server = make("--no-nodes", "--block", "4096").up()
    seen = json.loads(tool("nbdinfo", "--json", server.uri()))["exports"][0]
    equal(seen["block_size_minimum"], 4096, "minimum")
    # qemu adds up what is smaller than a block by itself.
    tool("qemu-io", "-f", "raw", "-c", "write -P 7 512 512", "-c", "read -P 7 512 512",
         server.uri())


def nbdcopy_brings_back_what_it_took(make):
    server = make("--no-nodes").up()
    image = f"{Server.work}/image"
    with open(image, "wb") as file:
        file.write(os.urandom(40 << 20) + bytes(24 << 20))
    for size in ("4096", "262144", str(1 << 20)):
        tool("nbdcopy", f"--request-size={size}", "--flush", image, server.uri())
        tool("nbdcopy", f"--request-size={size}", server.uri(), f"{image}.back")
        tool("cmp", image, f"{image}.back")
    os.unlink(image)
    os.unlink(f"{image}.back")


def qemu_io_writes_flushes_discards_and_zeroes(make):
    server = make("--no-nodes").up()
    commands = ["write -P 3 0 1M", "write -f -P 4 1M 64k", "write -z 512k 256k",
                "write -z -u 0 64k", "discard 2M 1M", "flush", "read -P 0 0 64k",
                "read -P 3 64k 448k", "read -P 0 512k 256k", "read -P 4 1M 64k"]
    arguments = [word for one in commands for word in ("-c", one)]
    seen = tool("qemu-io", "-f", "raw", *arguments, server.uri())
    check("Pattern verification failed" not in seen, seen)
    flushes = int(server.ask("count").split()[1])
    check(flushes >= 1, "no flush reached the engine")


def qemu_img_converts_to_it_and_compares_equal(make):
    server = make("--no-nodes").up()
    image = f"{Server.work}/image"
    tool("qemu-img", "create", "-q", "-f", "qcow2", image, "64M")
    tool("qemu-io", "-c", "write -P 9 8M 3M", "-c", "write -P 8 60M 4M", image)
    tool("qemu-img", "convert", "-n", "-O", "raw", image, server.uri())
    seen = tool("qemu-img", "compare", "-F", "raw", image, server.uri())
    check("identical" in seen, seen)
    os.unlink(image)


def fio_verifies_what_it_wrote_at_depth_32(make):
    server = make("--no-nodes").up()
    tool("fio", "--name=verify", "--ioengine=nbd", f"--uri={server.uri()}", "--rw=randwrite",
         "--bsrange=512-128k", "--bs_unaligned=0", "--blockalign=512", "--iodepth=32",
         "--size=64M", "--io_size=64M", "--verify=crc32c", "--do_verify=1", "--fsync=64")


def tcp_serves_the_same_exports(make):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = make("--no-nodes", "--listen", f"127.0.0.1:{port}").up()
    seen = tool("nbdinfo", f"nbd://127.0.0.1:{port}/r0/0")
    check("export-size: 67108864" in seen, seen)
    server.do("withdraw")
    tool("nbdinfo", f"nbd://127.0.0.1:{port}/r0/0", fails=True)


def the_socket_exists_only_while_published(make):
    server = make("--no-nodes")
    server.do("configure")
    check(not os.path.exists(server.socket), "a socket before publication")
    for _ in range(3):
        server.do("publish")
        tool("nbdinfo", server.uri())
        equal(os.stat(server.socket).st_mode & 0o777, 0o600, "mode of the socket")
        server.do("withdraw")
        check(not os.path.exists(server.socket), "a socket after withdrawal")


def a_socket_left_by_a_killed_server_is_replaced(make):
    first = make("--no-nodes").up()
    first.kill()
    check(os.path.exists(first.socket), "no socket is left: nothing to test")
    second = make("--no-nodes").up()
    tool("nbdinfo", second.uri())


def a_socket_in_use_or_a_file_in_its_place_is_an_error(make):
    first = make("--no-nodes").up()
    second = make("--no-nodes")
    second.do("configure")
    answer = second.ask("publish")
    check("another process listens" in answer, answer)
    first.do("withdraw")
    with open(first.socket, "w"):
        pass
    answer = second.ask("publish")
    check("something else has that name" in answer, answer)
    os.unlink(first.socket)
    second.do("publish")


def held_client(server):
    """A client that stays connected until its input ends."""
    client = subprocess.Popen(["qemu-io", "-f", "raw", server.uri()], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    client.stdin.write("read 0 4k\n")
    client.stdin.flush()
    seen = client.stdout.readline()
    check("read 4096/4096" in seen, seen)
    return client


def a_client_refuses_demotion_and_its_leaving_allows_it(make):
    server = make("--no-nodes").up()
    client = held_client(server)
    answer = server.ask("withdraw")
    equal(answer, "in use: 1 NBD client", "withdraw")
    client.stdin.close()
    client.wait(20)
    until(lambda: server.ask("withdraw") == "ok", "withdrawn once the client is gone")
    until(lambda: server.ask("idle") == "yes", "nothing is left")


def a_forced_withdrawal_disconnects_clients_even_with_io_frozen(make):
    server = make("--no-nodes").up()
    client = held_client(server)
    server.do("hold")
    client.stdin.write("write 0 4k\n")
    client.stdin.flush()
    server.do("force")
    check(not os.path.exists(server.socket), "the socket is still there")
    client.stdin.write("quit\n")
    client.stdin.close()
    client.wait(20)
    server.do("resume")
    until(lambda: server.ask("idle") == "yes", "nothing is left")
    server.do("publish")
    tool("nbdinfo", server.uri())


def a_server_without_discards_offers_none(make):
    server = make("--no-nodes", "--no-discard").up()
    seen = json.loads(tool("nbdinfo", "--json", server.uri()))["exports"][0]
    check(not seen["can_trim"] and not seen["can_zero"], "trim or zero is offered")
    seen = tool("qemu-io", "-f", "raw", "-c", "write -P 1 0 64k", "-c", "write -z 0 64k", "-c",
                "read -P 0 0 64k", server.uri())
    check("failed" not in seen, seen)


def errors_of_the_engine_reach_the_client(make):
    server = make("--no-nodes").up()
    server.do("fail 5")
    seen = tool("qemu-io", "-f", "raw", "-c", "write 0 4k", server.uri(), fails=True)
    check("Input/output error" in seen, seen)
    server.do("fail 0")
    tool("qemu-io", "-f", "raw", "-c", "write 0 4k", server.uri())


def silent_connections_keep_clients_out_for_seconds_only(make):
    server = make("--no-nodes").up()
    silent = []
    for _ in range(32):
        one = socket.socket(socket.AF_UNIX)
        one.connect(server.socket)
        silent.append(one)
    tool("nbdinfo", server.uri(), fails=True)

    def served():
        return subprocess.run(["nbdinfo", server.uri()], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    until(served, "a client is served again", 20)
    for one in silent:
        one.close()


def garbage_from_a_client_hurts_nobody_else(make):
    server = make("--no-nodes").up()
    client = held_client(server)
    for seed in range(20):
        with socket.socket(socket.AF_UNIX) as bad:
            bad.connect(server.socket)
            bad.recv(18)
            try:
                bad.sendall(bytes([0, 0, 0, 3]) + os.urandom(4000 + seed))
                bad.shutdown(socket.SHUT_WR)
                bad.settimeout(10)
                while bad.recv(4096):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    client.stdin.write("write -P 1 0 4k\nread -P 1 0 4k\n")
    client.stdin.close()
    seen = client.stdout.read()
    equal(client.wait(20), 0, seen)


TESTS = [
    nbdinfo_sees_size_flags_and_block_sizes,
    nbdinfo_lists_the_export_and_finds_it_by_each_name,
    a_volume_with_4096_byte_blocks_says_so,
    nbdcopy_brings_back_what_it_took,
    qemu_io_writes_flushes_discards_and_zeroes,
    qemu_img_converts_to_it_and_compares_equal,
    fio_verifies_what_it_wrote_at_depth_32,
    tcp_serves_the_same_exports,
    the_socket_exists_only_while_published,
    a_socket_left_by_a_killed_server_is_replaced,
    a_socket_in_use_or_a_file_in_its_place_is_an_error,
    a_client_refuses_demotion_and_its_leaving_allows_it,
    a_forced_withdrawal_disconnects_clients_even_with_io_frozen,
    a_server_without_discards_offers_none,
    errors_of_the_engine_reach_the_client,
    silent_connections_keep_clients_out_for_seconds_only,
    garbage_from_a_client_hurts_nobody_else,
]

if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 3 or test.__name__ in sys.argv[2:]]
    sys.exit(0 if run(chosen, sys.argv[1]) else 1)
