"""Random drbd.conf files from a grammar of our own, and mutations of them by one token."""
import re

HOSTS = ("alpha", "beta")

# name -> candidate values: words, numbers at and near the limits, suffixes.
DISK = {
    "on-io-error": ("pass_on", "call-local-io-error", "detach"),
    "fencing": ("dont-care", "resource-only", "resource-and-stonith"),
    "size": ("0", "8s", "10G", "512M"),
    "resync-rate": ("1", "250", "50M", "4194304", "33K", "2G"),
    "al-extents": ("67", "1237", "3833", "65534"),
    "c-plan-ahead": ("0", "20", "300"),
    "c-delay-target": ("1", "10", "100"),
    "c-fill-target": ("0", "100", "24M", "1048576"),
    "c-max-rate": ("250", "102400", "4G"),
    "c-min-rate": ("0", "250", "4M"),
    "disk-timeout": ("0", "6000"),
    "max-bio-bvecs": ("0", "128"),
    "read-balancing": ("prefer-local", "round-robin", "1M-striping"),
    "rs-discard-granularity": ("0", "65536"),
}
DISK_FLAGS = ("disk-barrier", "disk-flushes", "disk-drain", "md-flushes", "al-updates",
              "discard-zeroes-if-aligned", "disable-write-same")
DISK_NO_FLAGS = ("no-disk-barrier", "no-disk-flushes", "no-disk-drain", "no-md-flushes")
NET = {
    "protocol": ("A", "B", "C", "a", "c"),
    "timeout": ("1", "60", "600"),
    "connect-int": ("1", "10", "120"),
    "ping-int": ("1", "120"),
    "ping-timeout": ("1", "300"),
    "ko-count": ("0", "7", "200"),
    "max-epoch-size": ("1", "20000", "8K"),
    "max-buffers": ("32", "8000", "128K"),
    "unplug-watermark": ("1", "131072"),
    "sndbuf-size": ("0", "512K", "10M"),
    "rcvbuf-size": ("0", "1M"),
    "cram-hmac-alg": ("sha1", "md5", '"sha256"'),
    "shared-secret": ('"a b"', "plain", '"quo\\"te"', '"back\\\\slash"', '""', "\"<&'>\""),
    "after-sb-0pri": ("disconnect", "discard-zero-changes", "discard-node-alpha",
                      "discard-node-beta"),
    "after-sb-1pri": ("disconnect", "consensus", "call-pri-lost-after-sb"),
    "after-sb-2pri": ("disconnect", "violently-as0p"),
    "rr-conflict": ("disconnect", "violently", "call-pri-lost"),
    "data-integrity-alg": ("crc32c",),
    "on-congestion": ("block", "pull-ahead"),
    "congestion-fill": ("0", "1G"),
    "congestion-extents": ("67", "500"),
    "csums-alg": ("md5",),
    "verify-alg": ("sha1", "crc32c"),
    "socket-check-timeout": ("0", "300"),
}
NET_FLAGS = ("allow-two-primaries", "always-asbp", "tcp-cork", "use-rle", "csums-after-crash-only")
NET_NO_FLAGS = ("no-tcp-cork",)
OPTIONS = {"cpu-mask": ("f", '""', "ff00"), "on-no-data-accessible": ("io-error", "suspend-io")}
STARTUP = {"wfc-timeout": ("0", "15", "300000"), "degr-wfc-timeout": ("60",),
           "outdated-wfc-timeout": ("2",)}
PROXY = {"memlimit": ("100M", "5M"), "read-loops": ("3",), "compression": ("on",), "bwlimit": ("7",)}
HANDLER_COMMANDS = ('"/bin/true"', "/bin/false", "\"/bin/sh -c 'exit 3'; echo x > /dev/null\"")
HANDLERS = {name: HANDLER_COMMANDS
            for name in ("pri-on-incon-degr", "pri-lost-after-sb", "pri-lost", "fence-peer",
                         "outdate-peer", "unfence-peer", "local-io-error", "split-brain",
                         "initial-split-brain", "before-resync-target", "after-resync-target",
                         "before-resync-source", "out-of-sync")}
SYNCER = {"rate": ("10M", "250", "1"), "al-extents": ("127", "3389"), "verify-alg": ("sha1",),
          "csums-alg": ("crc32c",), "cpu-mask": ("3",), "c-plan-ahead": ("5",),
          "c-fill-target": ("1M",), "on-no-data-accessible": ("suspend-io",)}


class Generator:
    """One configuration. `old_syntax` is 8.3's: no volumes, no options {}, syncer {}."""

    by_other_ways = True  # floating hosts, and more than two

    def __init__(self, rng, old_syntax=False):
        self.rng = rng
        self.old = old_syntax
        self.lines = []
        self.depth = 0

    def line(self, text):
        blank = self.rng.choice(("", "", "", "  ", "\t"))
        comment = self.rng.choice(("", "", "", "", ' # \u00fcn\u00efcode { ; "'))
        self.lines.append("\t" * self.depth + blank + text + comment)
        if self.rng.random() < 0.05:
            self.lines.append(self.rng.choice(("", "# comment", "   ")))

    def open(self, text):
        self.line(text + " {")
        self.depth += 1

    def close(self):
        self.depth -= 1
        self.line("}")

    def chance(self, probability):
        return self.rng.random() < probability

    def some(self, table, most):
        names = list(table)
        self.rng.shuffle(names)
        return names[:self.rng.randint(0, most)]

    def values(self, table, most):
        for name in self.some(table, most):
            self.line(f"{name} {self.rng.choice(table[name])};")

    def flags(self, flags, no_flags):
        for name in self.some(flags, 2):
            self.line(name + (";" if self.old else self.rng.choice((";", " yes;", " no;"))))
        for name in self.some(no_flags, 1):
            self.line(f"{name};")

    def disk_section(self):
        self.open("disk")
        if self.old:
            table = {name: DISK[name] for name in ("on-io-error", "fencing", "disk-timeout")}
            self.values(table, 2)
            self.flags((), DISK_NO_FLAGS)
        else:
            self.values(DISK, 4)
            self.flags(DISK_FLAGS, DISK_NO_FLAGS)
        self.close()

    def net_section(self):
        self.open("net")
        table = dict(NET)
        flags = NET_FLAGS
        if self.old:
            for name in ("protocol", "csums-alg", "verify-alg", "socket-check-timeout"):
                del table[name]
            flags = ("allow-two-primaries", "always-asbp")
        self.values(table, 5)
        self.flags(flags, NET_NO_FLAGS)
        self.close()

    def syncer_section(self):
        self.open("syncer")
        self.values(SYNCER, 4)
        if self.chance(0.3):
            self.line("use-rle;")
        self.close()

    def startup_section(self):
        self.open("startup")
        self.values(STARTUP, 2)
        if self.chance(0.3):
            self.line(f"become-primary-on {self.rng.choice(HOSTS)};")
        self.close()

    def sections(self):
        if self.chance(0.5) or self.old:
            self.line(f"protocol {self.rng.choice('ABC' if self.old else 'ABCabc')};")
        if self.chance(0.5):
            self.disk_section()
        if self.chance(0.5):
            self.net_section()
        if self.chance(0.8 if self.old else 0.15):
            self.syncer_section()
        if self.chance(0.2) and not self.old:
            self.open("options")
            self.values(OPTIONS, 2)
            self.close()
        if self.chance(0.3):
            self.startup_section()
        if self.chance(0.3):
            self.open("handlers")
            self.values({name: HANDLERS[name] for name in HANDLERS
                         if not self.old or name != "unfence-peer"}, 3)
            self.close()

    def volume_body(self, minor, disk):
        statements = [self.rng.choice((f"device /dev/drbd{minor};", f"device minor {minor};",
                                       f"device drbd{minor} minor {minor};",
                                       f"device /dev/drbd_x{minor} minor {minor};")),
                      f"disk {self.rng.choice((disk, chr(34) + disk + chr(34)))};",
                      self.rng.choice(("meta-disk internal;", f"meta-disk /dev/mdx [{minor}];",
                                       f"flexible-meta-disk /dev/fm{minor};",
                                       "meta-disk internal;" if self.old else
                                       self.rng.choice((f"meta-disk /dev/md{minor};",
                                                        "flexible-meta-disk internal;"))))]
        self.rng.shuffle(statements)
        for statement in statements:
            self.line(statement)

    def address(self, host, number):
        if self.chance(0.2):
            return f"address ipv6 [fd00::{number + 1:x}:{host + 1}]:{7700 + number};"
        family = self.rng.choice(("", "", "ipv4 "))
        return f"address {family}10.1.{number}.{host + 1}:{7700 + number};"

    def proxy(self, index, number):
        self.open(f"proxy on {HOSTS[index]}")
        self.line(f"inside 127.0.0.{index + 1}:{7600 + number};")
        self.line(f"outside 10.3.{number}.{index + 1}:{7600 + number};")
        if self.chance(0.3):
            self.open("options")
            self.values(PROXY, 2)
            self.close()
        self.close()

    def host(self, index, number, minor, volumes, proxied):
        alias = f" {HOSTS[index]}.example" if self.chance(0.1) and not self.old else ""
        self.open(f"on {HOSTS[index]}{alias}")
        if not volumes:
            self.volume_body(minor, f"/dev/sd{index}{number}")
        for volume in volumes:
            self.open(f"volume {volume}")
            self.volume_body(minor + volume, f"/dev/vg{number}/lv{volume}")
            if self.chance(0.2):
                self.disk_section()
            self.close()
        self.line(self.address(index, number))
        if proxied:
            self.proxy(index, number)
        self.close()

    def resource(self, number):
        name = self.rng.choice((f"r{number}", f'"r {number}"', f"data.{number}-x"))
        if self.chance(0.06):
            self.line(f"skip {self.rng.choice(('', 'because '))}{{ any; {{ thing }} }}")
        self.open(f"resource {name}")
        volumes = [] if self.old or self.chance(0.6) else sorted(
            self.rng.sample(range(0, 5), self.rng.randint(1, 3)))
        self.sections()
        proxied = not self.old and self.chance(0.2)
        if proxied and self.chance(0.5):
            self.open("proxy")
            self.values(PROXY, 2)
            if self.chance(0.5):
                self.open("plugin")
                self.line("zlib level 9;")
                self.close()
            self.close()
        for index in range(len(HOSTS)):
            self.host(index, number, number * 10, volumes, proxied)
        self.close()
        if not self.old and not volumes and self.chance(0.15):
            self.stacked(name, number)

    def stacked(self, lower, number):
        """On the device of the resource `lower`, with a third host."""
        self.open(f"resource up{number}")
        self.open(f"stacked-on-top-of {lower}")
        self.line(f"device /dev/drbd{60 + number} minor {60 + number};")
        self.line(f"address 10.8.{number}.1:{7500 + number};")
        self.close()
        self.open("on gamma")
        self.volume_body(60 + number, f"/dev/sdg{number}")
        self.line(f"address 10.8.{number}.3:{7500 + number};")
        self.close()
        self.close()

    def floating(self, number):
        """The node is found by its address: one that every machine has, or none of it."""
        self.open(f"resource f{number}")
        for address in (self.rng.choice(("127.0.0.1", "10.7.0.1")), "10.7.0.2"):
            self.open(f"floating {address}:{7400 + number}")
            self.volume_body(70 + number, f"/dev/sdf{number}")
            self.close()
        self.close()

    def three_hosts(self, number):
        """Which of the others is the peer has to be said."""
        self.open(f"resource t{number}")
        for index, host in enumerate((*HOSTS, "gamma")):
            self.open(f"on {host}")
            self.volume_body(80 + number, f"/dev/sdt{number}")
            self.line(f"address 10.6.{number}.{index + 1}:{780 + number};")
            self.close()
        self.close()

    def document(self):
        self.open("global")
        self.line("disable-ip-verification;")
        self.line(f"usage-count {self.rng.choice(('no', 'yes'))};")
        if self.chance(0.3):
            # 8.3 insists on its being larger than every minor.
            self.line(f"minor-count {self.rng.choice((255,) if self.old else (1, 32, 255))};")
        if self.chance(0.3):
            self.line(f"dialog-refresh {self.rng.choice((0, 5, 600))};")
        self.close()
        if self.chance(0.6):
            self.open("common")
            self.sections()
            self.close()
        for number in range(1, self.rng.randint(1, 3) + 1):
            self.resource(number)
        if self.by_other_ways and not self.old:
            if self.chance(0.15):
                self.floating(1)
            if self.chance(0.15):
                self.three_hosts(1)
        return "\n".join(self.lines) + "\n"


class Generator9(Generator):
    """DRBD 9's syntax, as far as two nodes use it."""

    by_other_ways = False

    RESOURCE = {"quorum": ("majority", "off", "all"), "on-no-quorum": ("io-error", "suspend-io"),
                "auto-promote": ("yes", "no"), "cpu-mask": ("f",)}
    NET9 = {"protocol": ("A", "C"), "timeout": ("60", "90"), "verify-alg": ("sha1",),
            "transport": ("tcp",), "allow-remote-read": ("yes",),
            "fencing": ("dont-care", "resource-only"), "shared-secret": ('"a b"',)}

    def net9(self):
        self.open("net")
        self.values(self.NET9, 4)
        self.close()

    def host9(self, index, number, with_address):
        self.open(f"on {HOSTS[index]}")
        self.line(f"node-id {index};")
        if with_address:
            self.line(self.address(index, number))
        self.close()

    def connection(self, number, shape):
        if shape == "mesh":
            self.open("connection-mesh")
            self.line(f"hosts {' '.join(HOSTS)};")
        else:
            self.open("connection")
            if shape == "path":
                self.open("path")
            for index, name in enumerate(HOSTS):
                self.line(f"host {name} " + self.address(index, number))
            if shape == "path":
                self.close()
            if self.chance(0.3):
                self.open("volume 0")
                self.open("disk")
                self.line("c-max-rate 5M;")
                self.close()
                self.close()
        if self.chance(0.5):
            self.net9()
        self.close()

    def resource(self, number):
        self.open(f"resource r{number}")
        minor = number * 10
        if self.chance(0.5):
            self.volume_body(minor, f"/dev/sd{number}")
        else:
            self.open("volume 0")
            self.volume_body(minor, f"/dev/sd{number}")
            self.close()
        if self.chance(0.5):
            self.open("options")
            self.values(self.RESOURCE, 3)
            self.close()
        if self.chance(0.5):
            self.net9()
        shape = self.rng.choice(("plain", "mesh", "hosts", "path"))
        before = self.chance(0.3) and shape in ("hosts", "path")
        if before:
            self.connection(number, shape)
        for index in range(len(HOSTS)):
            self.host9(index, number, shape in ("plain", "mesh"))
        if shape != "plain" and not before:
            self.connection(number, shape)
        self.close()

    def sections(self):
        if self.chance(0.5):
            self.net9()


class AdjustPair:
    """A configuration of one resource, and what `drbdsetup show` could say about it at that time:
    options changed, added or missing, volumes, disks and addresses too."""

    SECTIONS = {"options": (OPTIONS, ()), "net": (NET, NET_FLAGS), "disk": (DISK, DISK_FLAGS)}
    # Translated or written differently before they reach drbdsetup.
    NOT_SHOWN = ("after-sb-0pri", "protocol")
    # The original attaches anew, or resizes, if the file says what is the default anyway.
    VALUES = {"size": ("10G", "512M"), "max-bio-bvecs": ("8", "128")}

    def __init__(self, rng):
        self.rng = rng

    def options(self, section):
        table, flags = self.SECTIONS[section]
        names = [name for name in table if name not in self.NOT_SHOWN]
        chosen = {name: self.rng.choice(self.VALUES.get(name, table[name]))
                  for name in self.rng.sample(names, self.rng.randint(0, min(4, len(names))))}
        chosen.update({name: self.rng.choice(("yes", "no"))
                       for name in flags if self.rng.random() < 0.1})
        return chosen

    def changed(self, options, section):
        """Most often the same; else one removed, one changed or others added."""
        out = dict(options)
        kind = self.rng.choice(("same", "same", "removed", "changed", "others"))
        table, flags = self.SECTIONS[section]
        if kind == "removed" and out:
            del out[self.rng.choice(list(out))]
        elif kind == "changed" and out:
            name = self.rng.choice(list(out))
            values = ("yes", "no") if name in flags else self.VALUES.get(name, table[name])
            out[name] = self.rng.choice(values)
        elif kind == "others":
            out.update(self.options(section))
        return out

    @staticmethod
    def section(name, options):
        return f"{name} {{ " + " ".join(f"{key} {value};" for key, value in options.items()) + " }\n"

    def generate(self):
        """The text of the file and that of show."""
        wanted = {name: self.options(name) for name in self.SECTIONS}
        shown = {name: self.changed(wanted[name], name) for name in self.SECTIONS}
        volumes = sorted(self.rng.sample(range(4), self.rng.randint(1, 3)))
        running = sorted(set(volumes) if self.rng.random() < 0.6 else
                         set(self.rng.sample(range(4), self.rng.randint(0, 3))))
        config = "global { disable-ip-verification; }\nresource r0 {\n"
        config += "".join(self.section(name, wanted[name]) for name in self.SECTIONS)
        for index, host in enumerate(HOSTS):
            config += f"on {host} {{ address 10.0.0.{index + 1}:7788;\n"
            config += "".join(f"volume {number} {{ device minor {number + 10}; disk /dev/s{number}; "
                              "meta-disk internal; }\n" for number in volumes)
            config += "}\n"
        return config + "}\n", self.show(shown, running)

    def show(self, shown, running):
        if self.rng.random() < 0.05:
            return ""
        text = "resource r0 {\n" + self.section("options", shown["options"])
        connected = self.rng.random() < 0.85
        if connected:
            peer = self.rng.choice(("10.0.0.2:7788",) * 4 + ("10.0.0.9:7788", "10.0.0.2:7799"))
            text += self.section("net", shown["net"])
            text += f"_remote_host {{ address ipv4 {peer}; }}\n"
        text += "_this_host {\n"
        if connected:
            text += "address ipv4 10.0.0.1:7788;\n"
        for number in running:
            minor = number + self.rng.choice((10,) * 9 + (20,))
            text += f"volume {number} {{ device minor {minor};\n"
            if self.rng.random() < 0.85:
                disk = self.rng.choice((f"/dev/s{number}",) * 6 + ("/dev/other",))
                metadata = self.rng.choice(("internal",) * 6 + ('"/dev/m"', '"/dev/m" [ 1 ]'))
                text += f'disk "{disk}"; meta-disk {metadata};\n'
                text += self.section("disk", self.changed(shown["disk"], "disk")
                                     if self.rng.random() < 0.3 else shown["disk"])
            text += "}\n"
        return text + "}\n}\n"


TOKEN = re.compile(r'#[^\n]*|"(?:[^"\\\n]|\\.)*"|[A-Za-z0-9/._-]+|[{};:\[\]]')
INTRUDERS = ("{", "}", ";", "disk", "net", "on", "volume", "bogus-word", "99999999", "-1", '"open',
             "123456789", "10.0.0.1", "no", "yes", "include", "skip", "x" * 129, "@", "0")


def mutate(rng, text):
    """One token of `text` is removed, doubled, replaced or preceded by another one."""
    tokens = [match for match in TOKEN.finditer(text) if not match.group().startswith("#")]
    chosen = rng.choice(tokens)
    intruder = rng.choice(INTRUDERS)
    new = rng.choice(("", chosen.group() + " " + chosen.group(), intruder,
                      intruder + " " + chosen.group()))
    return text[:chosen.start()] + " " + new + " " + text[chosen.end():]
