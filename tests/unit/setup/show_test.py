"""`show` of a running resource is what drbdadm reads the running configuration from; and what is
said of a volume that later versions of DRBD would tell more of."""

import json
import re

from engines import DRBDADM, DRBDSETUP, EngineTest, main

CONFIG = """global {{ usage-count no; disable-ip-verification; }}
common {{ net {{ protocol C; {net} }} disk {{ {disk} }} options {{ {options} }} }}
resource r0 {{
    volume 0 {{ device minor {minor}; disk {path}; meta-disk internal; }}
    on alpha {{ address {alpha}; }}
    on beta {{ address {beta}; }}
}}
"""


class Show(EngineTest):
    def configured(self, host, backing, net="", disk="", options=""):
        path = f"{self.directory}/drbd.conf"
        address = host.address.removeprefix("ipv4:")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(net=net, disk=disk, options=options, minor=host.minor(),
                                     path=backing, alpha=address,
                                     beta=address.replace("127.0.0.1", "127.0.0.2")))
        host.environment["__DRBD_NODE__"] = "alpha"
        return path

    def adjust(self, host, path, *words):
        done = host.run("-c", path, "--drbdsetup", DRBDSETUP, *words, "adjust", "r0",
                        program=DRBDADM)
        self.assertEqual(done.returncode, 0, done.stdout)
        return [line for line in done.stdout.splitlines()
                if line and "__DRBD_NODE__" not in line and "PRETENDING" not in line]

    def test_what_show_prints_is_read_back_by_drbdadm_without_a_difference(self):
        host = self.host()
        loop = self.loop_device(host.new_disk())
        every = {"net": "verify-alg sha1; ping-int 7; max-buffers 4000; after-sb-0pri "
                        "discard-zero-changes; rr-conflict call-pri-lost; shared-secret "
                        "\"a word; with \\\"marks\\\"\"; cram-hmac-alg sha1;",
                 "disk": "resync-rate 33M; c-plan-ahead 7; al-extents 1801; on-io-error pass_on; "
                         "disk-flushes no;",
                 "options": "on-no-data-accessible suspend-io;"}
        path = self.configured(host, loop, **every)
        self.assertTrue(any(" attach " in line for line in self.adjust(host, path, "-d")))
        self.adjust(host, path)
        self.assertEqual(self.adjust(host, path, "-d"), [])
        shown = host.setup("show", "r0")
        for line in ('shared-secret   \t"a word; with \\"marks\\"";', "resync-rate     \t33792k;",
                     "al-extents      \t1801;", "on-no-data-accessible\tsuspend-io;"):
            self.assertIn(line, shown)
        # And what has been taken out of the file since is set back, and then there is peace again.
        path = self.configured(host, loop, net=every["net"])
        self.assertIn("--set-defaults", " ".join(self.adjust(host, path, "-d")))
        host.run("-c", path, "--drbdsetup", DRBDSETUP, "adjust", "r0", program=DRBDADM)

    def test_show_defaults_prints_every_option_of_every_section(self):
        host = self.lone()
        host.connect(self.host("beta"), "--protocol=C")
        text = host.setup("show", "r0", "--show-defaults")
        for command, section in (("attach", "disk"), ("connect", "net"),
                                 ("new-resource", "options")):
            xml = host.setup("xml-help", command)
            names = set(re.findall(r'<option name="([a-z-]+)"', xml))
            names -= {"tentative", "discard-my-data", "alternate-address",
                      "alternate-peer-address"}
            for name in names:
                self.assertRegex(text, rf"\n\s+{name}[ \t]", f"{section}: {name}")
        self.assertGreater(text.count("# default") + text.count(", default"), 40)

    def test_show_json_is_json_with_units_and_addresses(self):
        host = self.lone()
        host.setup("disk-options", host.minor(), "--resync-rate=100M")
        host.connect(self.host("beta"), "--protocol=C")
        shown = json.loads(host.setup("show", "r0", "--json"))[0]
        volume = shown["_this_host"]["volumes"][0]
        self.assertEqual(volume["disk"]["resync-rate"], "102400k")
        self.assertIs(volume["disk"]["disk-flushes"], True)
        self.assertEqual(volume["meta-disk"], "internal")
        self.assertEqual(shown["connections"][0]["_cstate"], "Connecting")
        self.assertEqual(shown["connections"][0]["paths"][0]["_this_host"]["port"], self.port)

    def test_a_volume_without_a_disk_by_intention_says_client(self):
        host = self.lone()
        host.setup("detach", host.minor(), "--diskless")
        self.assertIn("disk:Diskless client:yes", host.setup("status", "r0"))
        self.assertIn("disk:Diskless client:yes quorum:yes", host.setup("events2", "--now"))
        self.assertIs(host.device()["client"], True)
        # Not so after a plain detach.
        path = f"{host.directory}/disk0"
        host.apply_al(path)
        host.attach(path)
        host.setup("detach", host.minor())
        self.assertNotIn("client", host.setup("status", "r0"))

    def test_a_new_pair_is_in_sync_without_a_sync_if_told_that_it_is(self):
        pair = self.pair_in_sync()
        for host in (pair.alpha, pair.beta):
            now = host.counters()
            self.assertEqual((now["ns"], now["nr"], now["oos"]), (0, 0, 0))
        self.assertEqual(pair.alpha.setup("get-gi", pair.alpha.minor()).split(":")[:2],
                         pair.beta.setup("get-gi", pair.beta.minor()).split(":")[:2])


if __name__ == "__main__":
    main()
