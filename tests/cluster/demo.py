"""The main job on an embedded cluster of two nodes, step by step: metadata, first sync, a
filesystem, the death of the Primary, promotion of the survivor, return, resync, swap back."""

import argparse
import os
import signal
import subprocess
import time

from nodes import Cluster, Failed, data_checksum, main, resource_text, until

DISK = 192 << 20


class Steps:
    def __init__(self):
        self.began = time.monotonic()
        self.proven = []

    def step(self, text):
        print(f"\n[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def proof(self, text):
        self.proven.append(text)
        print(f"           ok: {text}", flush=True)


def show(node, *command):
    print(f"           {node.name}# {' '.join(command)}", flush=True)
    for line in node.run(*command).splitlines():
        print(f"             {line}", flush=True)


def watch_sync(node, seconds=120):
    """Shows the progress of a sync until it is over."""
    last = ""

    def over():
        nonlocal last
        text = node.run("drbdsetup", "proc")
        for line in text.splitlines():
            if "sync'ed" in line and line.strip() != last:
                last = line.strip()
                print(f"             {last}", flush=True)
        return node.state()[2] == "UpToDate/UpToDate"
    until(over, f"the sync on {node.name}", seconds)


def checksum(node, path):
    return node.shell(f"sha256sum {path}").split()[0]


def expect(condition, text):
    if not condition:
        raise Failed(text)


def walk(cluster, steps):
    alpha, beta = cluster.node("alpha"), cluster.node("beta")
    for node in (alpha, beta):
        node.add_disk("sdb1", DISK)

    steps.step("two nodes, each with a disk of its own")
    for node in (alpha, beta):
        node.start()
        node.write("/etc/drbd.conf", resource_text("r0", [alpha, beta],
                                                   disk_options="on-io-error pass_on;",
                                                   net="ping-int 1;"))
    show(alpha, "drbdadm", "dump")

    steps.step("create-md on both, and up")
    for node in (alpha, beta):
        show(node, "drbdadm", "create-md", "r0")
        node.run("drbdadm", "up", "r0")
    for node in (alpha, beta):
        node.wait_for("Connected", "Inconsistent/Inconsistent")
    show(alpha, "drbdsetup", "proc")
    steps.proof("the pair is connected, both disks Inconsistent")

    steps.step("alpha's disk is declared good: the first full sync")
    alpha.run("drbdadm", "--", "--overwrite-data-of-peer", "primary", "r0")
    watch_sync(alpha)
    beta.wait_for("Connected", "UpToDate/UpToDate")
    steps.proof("the first sync made both UpToDate")

    steps.step("a filesystem on /dev/drbd0")
    alpha.run("mkfs.ext3", "-q", "/dev/drbd0")
    alpha.shell("mkdir -p /media/drbd0 && mount -t ext3 /dev/drbd0 /media/drbd0")
    alpha.shell("dd if=/dev/urandom of=/media/drbd0/before bs=64k count=256 conv=fsync status=none")
    before = checksum(alpha, "/media/drbd0/before")
    refused = beta.try_run("drbdadm", "primary", "r0")
    expect(refused.returncode == 11, f"beta became Primary beside alpha: {refused.stdout}")
    steps.proof("16 MiB written; a second Primary is refused (exit 11)")

    steps.step("alpha's plug is pulled while it writes")
    writer = alpha.command("bash", "-c",
                           "i=0; while :; do echo $i > /media/drbd0/count.$((i % 50)); "
                           "sync -d /media/drbd0/count.$((i % 50)); echo $i; i=$((i + 1)); done")
    process = subprocess.Popen(writer, stdout=subprocess.PIPE, text=True)
    acknowledged = -1
    while acknowledged < 200:
        acknowledged = int(process.stdout.readline())
    alpha.power_off()
    for line in process.stdout:
        if line.strip().isdigit():
            acknowledged = int(line)
    process.stdout.close()
    process.wait()
    print(f"           the last write that alpha acknowledged is number {acknowledged}")

    steps.step("beta notices, and is promoted")
    until(lambda: beta.state()[0] == "WFConnection", "beta to notice", 30)
    beta.run("drbdadm", "primary", "r0")
    beta.shell("mkdir -p /media/drbd0 && mount -t ext3 /dev/drbd0 /media/drbd0")
    expect(checksum(beta, "/media/drbd0/before") == before, "the file is not what was written")
    last = int(beta.shell(f"cat /media/drbd0/count.{acknowledged % 50}"))
    expect(last >= acknowledged, f"write {acknowledged} was acknowledged, {last} is there")
    steps.proof("every acknowledged write is on the survivor")
    beta.shell("dd if=/dev/urandom of=/media/drbd0/after bs=64k count=64 conv=fsync status=none")
    after = checksum(beta, "/media/drbd0/after")

    steps.step("alpha comes back and is resynced")
    alpha.start()
    alpha.write("/etc/drbd.conf", resource_text("r0", [alpha, beta],
                                                disk_options="on-io-error pass_on;",
                                                net="ping-int 1;"))
    alpha.run("drbdadm", "up", "r0")
    watch_sync(beta)
    alpha.wait_for("Connected", "UpToDate/UpToDate")
    show(beta, "drbdsetup", "proc")
    steps.proof("what changed was copied, and both are UpToDate")

    steps.step("the roles are swapped back")
    busy = beta.try_run("drbdadm", "secondary", "r0")
    expect(busy.returncode == 11 and "(-12)" in busy.stdout,
           f"demotion of a mounted device: exit {busy.returncode}\n{busy.stdout}")
    steps.proof("a mounted device refuses demotion (-12)")
    beta.run("umount", "/media/drbd0")
    beta.run("drbdadm", "secondary", "r0")
    alpha.run("drbdadm", "primary", "r0")
    alpha.shell("mkdir -p /media/drbd0 && mount -t ext3 /dev/drbd0 /media/drbd0")
    expect(checksum(alpha, "/media/drbd0/before") == before, "'before' differs on alpha")
    expect(checksum(alpha, "/media/drbd0/after") == after, "'after' differs on alpha")
    alpha.run("umount", "/media/drbd0")
    steps.proof("alpha reads what beta wrote while it was away")

    steps.step("both replicas, byte for byte")
    alpha.run("drbdadm", "secondary", "r0")
    for node in (alpha, beta):
        node.run("drbdadm", "down", "r0")
    sums = [data_checksum(node.disks["sdb1"][0], DISK) for node in (alpha, beta)]
    expect(sums[0] == sums[1], "the data areas of the two disks differ")
    steps.proof("the two disks hold the same data")


def keep(cluster):
    """Leaves the nodes running in the care of a process in the background, until it is ended."""
    for node in cluster.nodes:
        node.run("drbdadm", "up", "r0")
    for node in cluster.nodes:
        node.wait_for("Connected", "UpToDate/UpToDate")
    print("\nThe nodes keep running. To type into them:")
    for node in cluster.nodes:
        print(f"{node.name}:")
        print(f"  nsenter --target {node.pid} --mount --uts --ipc --net --pid -- bash")
    print("Both are Secondary. Try there: drbdadm primary r0, mount /dev/drbd0 /media/drbd0,\n"
          "drbdsetup proc, drbdadm status, drbdsetup events2.")
    print("To take them away:\n  ./demo --end", flush=True)
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    with open(care_file(cluster.directory), "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    signal.sigwait({signal.SIGTERM})


def care_file(directory):
    return f"{directory}/in-care-of"


def end_kept(directory):
    """Ends what --keep left; False if there is nothing."""
    try:
        with open(care_file(directory), encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    until(lambda: not os.path.exists(directory), "the nodes to be taken away", 60)
    return True


def demo():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("stage", help="a tree as `cmake --install` with DESTDIR makes it")
    parser.add_argument("--keep", action="store_true", help="leave the nodes running")
    parser.add_argument("--end", action="store_true", help="take away what --keep left running")
    parser.add_argument("--tap", action="store_true", help="name what was proven as TAP does")
    options = parser.parse_args()
    steps = Steps()
    cluster = Cluster("demo", options.stage)
    kept = end_kept(cluster.directory)
    if options.end:
        print("the nodes are gone" if kept else "no nodes were kept")
        return 0
    with cluster:
        walk(cluster, steps)
        report(steps, options.tap)
        if options.keep:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            keep(cluster)
    return 0


def report(steps, tap):
    print("\nProven:")
    for number, each in enumerate(steps.proven, 1):
        print(f"ok {number} - {each}" if tap else f"  - {each}")
    print("ok", flush=True)


if __name__ == "__main__":
    main(demo)
