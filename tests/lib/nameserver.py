"""A name server (dnsmasq) of a test's own, in network and mount namespaces where port 53 is free and resolv.conf is ours.

    inside_namespaces("NAME_INSIDE")          first of all: the program is run again inside; ends it with 77 where it cannot be
    with NameServer(folder, ["--host-record=m1.example.test,127.0.0.2", "--srv-host=_etcd-client._tcp.example.test,m1.example.test,2379"]): ..."""
import os
import shutil
import socket
import subprocess
import sys
import time

import etcdproc


def skip(why):
    print("SKIP: " + why)
    sys.exit(etcdproc.SKIPPED)


def inside_namespaces(mark):
    if os.environ.get(mark):
        return
    own = ["unshare", "--net", "--mount"]
    if os.geteuid() or not all(shutil.which(p) for p in ("unshare", "ip", "dnsmasq")):
        skip("needs root, unshare, ip and dnsmasq")
    if subprocess.run(own + ["true"], capture_output=True).returncode:
        skip("no namespaces of one's own here (a container or a changed root)")
    os.environ[mark] = "1"
    os.execvp("unshare", own + [sys.executable] + sys.argv)


class NameServer:
    def __init__(self, folder, records):
        resolv = os.path.join(folder, "resolv.conf")
        with open(resolv, "w") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
        self.process = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--no-hosts", "--no-resolv", "--bind-interfaces", "--listen-address=127.0.0.1",
                                         "--user=root", "--pid-file=", "--log-facility=" + os.path.join(folder, "dnsmasq.log"), "--local=/test/", *records])
        self.wait_ready(10)

    def wait_ready(self, seconds):
        """Until it answers a question (the root's name servers), for what asks before is told that there is nobody."""
        question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\0\0\2\0\1"
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            while time.monotonic() < end:
                assert self.process.poll() is None, "dnsmasq ended with %s" % self.process.returncode
                try:
                    s.connect(("127.0.0.1", 53))
                    s.send(question)
                    if s.recv(512)[:2] == question[:2]:
                        return
                except OSError:         # refused, or not answered yet
                    time.sleep(0.02)
        raise AssertionError("dnsmasq does not answer")

    def close(self):
        self.process.terminate()
        self.process.wait()
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
