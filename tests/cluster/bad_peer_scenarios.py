"""Whoever else comes to the replication port: garbage, a peer that falls silent in the middle of a
packet, another version, a stranger. None keeps the peer out, and the log says what came.

    bad_peer_scenarios.py STAGE     prints TAP
"""

import subprocess

from nodes import main, until
from pair import expect, run_pair

LOG = "/run/lockstep/r0.log"

# What is sent on one or two connections from the node's address, which stay open until the input
# ends or the other side closes; hexadecimal.
SENDER = r"""
import socket, sys
address, source, *messages = sys.argv[1:]
sockets = []
for message in messages:
    s = socket.create_connection((address, 7789), source_address=(source, 0))
    s.sendall(bytes.fromhex(message))
    sockets.append(s)
print("sent", flush=True)
sys.stdin.read()
"""

DATA, META = "83740267fff20000", "83740267fff10000"


def features(lowest, highest):
    return "83740267fffe0048" + f"{lowest:08x}0000000f{highest:08x}" + "00" * 60


class Sender:
    def __init__(self, node, to, *messages, source=None):
        command = node.command("python3", "-c", SENDER, to.address, source or node.address, *messages)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        expect(self.process.stdout.readline() == "sent\n", "nothing could be sent")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate("")


def logged(node, words, count=1):
    until(lambda: node.try_run("grep", "-c", words, LOG).stdout.strip() not in ("0", "") and
          int(node.run("grep", "-c", words, LOG)) >= count, f"{words!r} in the log", 30)


def alone(pair):
    """alpha waits for beta, whose engine does not run."""
    pair.fresh(net="connect-int 2; ping-timeout 5;")
    pair.beta.run("drbdadm", "down", "r0")
    pair.alpha.wait_for("WFConnection")


def comes_back(pair):
    pair.beta.run("drbdadm", "up", "r0")
    pair.in_sync()
    pair.beta.run("drbdadm", "down", "r0")
    pair.alpha.wait_for("WFConnection")


def garbage_on_the_port_is_told_from_the_peer(pair):
    alone(pair)
    with Sender(pair.beta, pair.alpha, "deadbeef" * 1000, b"GET / HTTP/1.0\r\n\r\n".hex()):
        logged(pair.alpha, "does not speak DRBD's protocol")
        comes_back(pair)


def a_peer_that_stops_in_the_middle_of_a_packet_is_given_up(pair):
    with Sender(pair.beta, pair.alpha, DATA + features(86, 101)[:60], META):
        until(lambda: pair.alpha.state()[0] == "WFConnection", "the wait for the peer", 30)
    comes_back(pair)


def garbage_after_the_handshake_drops_the_connection(pair):
    with Sender(pair.beta, pair.alpha, DATA + features(86, 101) + "ff" * 64, META):
        logged(pair.alpha, "the peer sent something unusable")
        until(lambda: pair.alpha.state()[0] == "WFConnection", "the wait for the peer", 30)
    comes_back(pair)


def another_version_is_refused_by_name(pair):
    with Sender(pair.beta, pair.alpha, DATA + features(200, 210), META):
        logged(pair.alpha, "200")
        pair.alpha.wait_for("StandAlone")
    pair.alpha.run("drbdadm", "connect", "r0")
    comes_back(pair)


def a_stranger_is_turned_away(pair):
    stranger = "10.78.0.99"
    pair.beta.run("ip", "addr", "add", f"{stranger}/24", "dev", "eth0")
    with Sender(pair.beta, pair.alpha, DATA, META, source=stranger):
        logged(pair.alpha, stranger)
        expect(pair.alpha.state()[0] == "WFConnection", "the stranger was let in")
        comes_back(pair)


SCENARIOS = [garbage_on_the_port_is_told_from_the_peer,
             a_peer_that_stops_in_the_middle_of_a_packet_is_given_up,
             garbage_after_the_handshake_drops_the_connection, another_version_is_refused_by_name,
             a_stranger_is_turned_away]


if __name__ == "__main__":
    main(lambda: run_pair("badpeer", SCENARIOS))
