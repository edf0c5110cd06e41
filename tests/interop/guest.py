"""Small QEMU guests that run the in-kernel DRBD 8.4 of Debian's 6.1 kernel: the real peer.

A guest boots in some six seconds without hardware virtualisation: an initramfs (busybox, modules,
guest-init, guest-agent) and a read-only image with drbd-utils and a few tools, made from the
packages of this machine. Its cable ends in the bridge of a Cluster (tests/cluster/nodes.py), so
that it is a neighbour of our nodes. Commands go over virtio-serial ports, and work while the
network does not.

    lab = Lab(directory); lab.prepare()
    guest = Guest(lab, cluster, "karl", 21, disk_size)
    guest.boot(); guest.run("cat /proc/drbd"); guest.crash()
"""

import base64
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cluster"))
from nodes import NETWORK, Failed, run, until  # noqa: E402

MODULES = ("virtio_pci virtio_blk virtio_net virtio_console virtio_rng crc32c_generic crc32c_intel "
           "ext4 loop md5 sha1_generic sha256_generic drbd").split()
TOOLS = ("bash dd cat cp mv rm ls ln mkdir stat sha256sum cmp od head tail tr sync date sleep seq wc "
         "cut sort uniq timeout truncate mknod true false touch basename dirname grep sed mawk mount "
         "umount blkdiscard blockdev dmesg ip mke2fs mkfs.ext3 e2fsck drbdadm drbdsetup "
         "drbdmeta").split()


class Lab:
    """Kernel, initramfs and tools image, made once and kept in `directory`."""

    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        self.kernel = f"{self.directory}/vmlinuz"
        self.initrd = f"{self.directory}/initrd.gz"
        self.tools = f"{self.directory}/tools.img"

    def prepare(self):
        stamp = f"{self.directory}/ready"
        sources = [f"{HERE}/guest-init", f"{HERE}/guest-agent", __file__]
        if os.path.exists(stamp) and all(os.path.getmtime(stamp) > os.path.getmtime(each)
                                         for each in sources):
            return
        os.makedirs(self.directory, exist_ok=True)
        version = self._kernel()
        self._initrd(version)
        self._tools()
        with open(stamp, "w", encoding="ascii") as file:
            file.write(version + "\n")

    def _kernel(self):
        unpacked = f"{self.directory}/kernel"
        if not glob.glob(f"{unpacked}/boot/vmlinuz-*"):
            fitting = self._packages()
            if not fitting:
                run("apt-get", "update", "-q")
                fitting = self._packages()
            if not fitting:
                raise Failed("no 6.1 kernel package is known; run apt-get update")
            newest = max(fitting, key=lambda each: [int(n) for n in re.findall(r"\d+", each)])
            run("apt-get", "download", "-q", newest, cwd=self.directory)
            package = glob.glob(f"{self.directory}/{newest}_*.deb")[0]
            run("dpkg", "-x", package, unpacked)
            os.unlink(package)
        image = glob.glob(f"{unpacked}/boot/vmlinuz-*")[0]
        shutil.copyfile(image, self.kernel)
        return os.path.basename(image)[len("vmlinuz-"):]

    @staticmethod
    def _packages():
        names = run("apt-cache", "pkgnames", "linux-image-6.1").stdout.split()
        return [each for each in names
                if re.fullmatch(r"linux-image-6\.1\.\d+-\d+-amd64-unsigned", each)]

    def _initrd(self, version):
        root = f"{self.directory}/initrd"
        shutil.rmtree(root, ignore_errors=True)
        for each in ("bb", "m", "usr", "tmp", "etc"):
            os.makedirs(f"{root}/{each}")
        shutil.copy(shutil.which("busybox"), f"{root}/bb/busybox")
        for source, target in (("guest-init", "init"), ("guest-agent", "agent")):
            shutil.copy(f"{HERE}/{source}", f"{root}/{target}")
            os.chmod(f"{root}/{target}", 0o755)
        run("depmod", "-b", f"{self.directory}/kernel", version)
        order = []
        for module in MODULES:
            listed = run("modprobe", "-d", f"{self.directory}/kernel", "-S", version,
                         "--show-depends", module).stdout
            for path in re.findall(r"^insmod (\S+)", listed, re.M):
                name = os.path.basename(path)
                if name not in order:
                    order.append(name)
                    shutil.copy(path, f"{root}/m/{name}")
        with open(f"{root}/modules.list", "w", encoding="ascii") as file:
            file.write("".join(f"{name}\n" for name in order))
        run("bash", "-c", f"find . | cpio -o -H newc --quiet | gzip -1 > {self.initrd}", cwd=root)

    def _tools(self):
        root = f"{self.directory}/tools"
        shutil.rmtree(root, ignore_errors=True)
        for each in ("bin", "sbin", "lib/x86_64-linux-gnu", "lib64", "lib/drbd", "etc"):
            os.makedirs(f"{root}/{each}")
        libraries = set()
        for tool in TOOLS:
            # The original drbd-utils, whatever of ours may stand before it.
            path = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
            if path is None:
                raise Failed(f"{tool} is not installed")
            shutil.copy(path, f"{root}/bin/{tool}")
            listed = run("ldd", path, check=False).stdout
            libraries.update(re.findall(r"(/\S+) \(0x", listed))
        for path in libraries:
            place = "lib64" if path.startswith("/lib64/") else "lib/x86_64-linux-gnu"
            shutil.copy(path, f"{root}/{place}/")
        for name in ("drbdadm", "drbdsetup", "drbdmeta"):
            os.symlink(f"../bin/{name}", f"{root}/sbin/{name}")
        os.symlink("mawk", f"{root}/bin/awk")
        for path in glob.glob("/lib/drbd/drbd*"):
            shutil.copy(path, f"{root}/lib/drbd/")
        shutil.copy("/etc/mke2fs.conf", f"{root}/etc/")
        size = sum(os.path.getsize(os.path.join(where, name))
                   for where, _, names in os.walk(root) for name in names
                   if not os.path.islink(os.path.join(where, name)))
        with open(self.tools, "wb") as image:
            image.truncate(size * 6 // 5 + (16 << 20))
        run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", "LABTOOLS", "-d",
            root, self.tools)
        shutil.rmtree(root)


class Guest:
    """One machine with the in-kernel DRBD. Its disk is /dev/vda, kept while it is off."""

    def __init__(self, lab, cluster, name, number, disk_size):
        self.lab = lab
        self.cluster = cluster
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.number = number
        self.directory = f"{cluster.directory}/{name}"
        self.tap = f"tap{cluster.tag}{number}"
        self.process = None
        os.makedirs(self.directory, exist_ok=True)
        self.image = f"{self.directory}/disk.img"
        with open(self.image, "wb") as image:
            image.truncate(disk_size)

    def boot(self):
        hub = self.cluster.hub
        if run("ip", "-n", hub, "link", "show", self.tap, check=False).returncode != 0:
            run("ip", "-n", hub, "tuntap", "add", self.tap, "mode", "tap")
            run("ip", "-n", hub, "link", "set", self.tap, "master", "br0")
        run("ip", "-n", hub, "link", "set", self.tap, "up")
        ports = []
        for each in range(2):
            ports += ["-chardev", f"socket,id=c{each},path=cmd{each}.sock,server=on,wait=off",
                      "-device", f"virtserialport,chardev=c{each},name=cmd{each}"]
        command = [
            "ip", "netns", "exec", hub, "qemu-system-x86_64", "-accel", "tcg,thread=multi",
            "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt", "-smp", "1", "-m", "512",
            "-nodefaults", "-no-reboot", "-display", "none",
            "-kernel", self.lab.kernel, "-initrd", self.lab.initrd, "-append",
            "console=ttyS0 loglevel=7 net.ifnames=0 mitigations=off random.trust_cpu=on tsc=reliable "
            f"lab.name={self.name} lab.ip={self.address} lab.hosts={self.name}={self.address}",
            "-serial", "file:console.log",
            "-drive", "file=disk.img,if=none,id=d0,format=raw,cache=writeback,discard=unmap",
            "-device", "virtio-blk-pci,drive=d0,serial=disk0",
            "-drive", f"file={self.lab.tools},if=none,id=dt,format=raw,readonly=on",
            "-device", "virtio-blk-pci,drive=dt,serial=labtools",
            "-netdev", f"tap,id=n0,ifname={self.tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,mac=52:54:00:78:00:{self.number:02x}",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci", *ports]
        with open(f"{self.directory}/qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        until(self._answers, f"guest {self.name} to boot", 120)
        self.run("[ -e /dev/drbd0 ] || mknod /dev/drbd0 b 147 0")

    def _answers(self):
        if self.process.poll() is not None:
            raise Failed(f"qemu ended: {open(f'{self.directory}/qemu.log').read()[-400:]}")
        try:
            return self.try_run("echo ok", seconds=10)[1] == "ok\n"
        except (OSError, Failed):
            return False

    def try_run(self, script, seconds=60):
        """(exit status, output) of a shell script in the guest."""
        identifier = uuid.uuid4().hex[:12].encode()
        request = b"\n" + identifier + b" " + base64.b64encode(script.encode()) + b"\n"
        deadline = time.monotonic() + seconds
        with socket.socket(socket.AF_UNIX) as port:
            directory = os.open(self.directory, os.O_RDONLY)
            try:
                port.connect(f"/proc/self/fd/{directory}/cmd0.sock")
            finally:
                os.close(directory)
            port.sendall(request)
            answer = b""
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"{self.name}: no answer within {seconds} s: {script}")
                port.settimeout(left)
                try:
                    piece = port.recv(1 << 16)
                except socket.timeout:
                    continue
                if not piece:
                    raise Failed(f"{self.name}: the guest is gone: {script}")
                answer += piece
                for line in answer.split(b"\n")[:-1]:
                    words = line.split(b" ")
                    if words[0] == identifier:
                        text = base64.b64decode(words[2]) if len(words) > 2 else b""
                        return int(words[1]), text.decode("utf-8", "replace")

    def run(self, script, seconds=60):
        status, text = self.try_run(script, seconds)
        if status != 0:
            raise Failed(f"{self.name}: {script}: exit {status}\n{text}")
        return text

    def write(self, path, text):
        encoded = base64.b64encode(text.encode()).decode()
        self.run(f"mkdir -p $(dirname {path}); echo {encoded} | base64 -d > {path}")

    def state(self, resource="r0"):
        status, text = self.try_run(f"drbdadm cstate {resource}; drbdadm role {resource}; "
                                    f"drbdadm dstate {resource}")
        words = text.split()
        return tuple(words) if status == 0 and len(words) == 3 else ("?", "?", "?")

    def wait_for(self, connection=None, disks=None, resource="r0", seconds=60):
        def reached():
            now = self.state(resource)
            return ((connection is None or now[0] == connection)
                    and (disks is None or now[2] == disks))
        try:
            until(reached, "", seconds)
        except Failed as late:
            raise Failed(f"{self.name}: wanted {connection} {disks}, is {self.state(resource)}\n"
                         + self.try_run("dmesg | tail -30")[1]) from late

    def link(self, up):
        run("ip", "-n", self.cluster.hub, "link", "set", self.tap, "up" if up else "down")

    def crash(self):
        """Pulls the plug."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
