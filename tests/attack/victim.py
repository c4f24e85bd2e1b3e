"""The process under attack, the innocent client beside, and what both are measured by."""
import os
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

MB = 1 << 20


class Memory:
    """Resident bytes of a process: at the beginning, and the most since."""
    def __init__(self, pid):
        self.pid = pid
        self.reset()

    def field(self, name):
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no " + name)

    def reset(self):
        with open("/proc/%d/clear_refs" % self.pid, "w") as f:
            f.write("5")                        # VmHWM starts again
        self.before = self.field("VmRSS")

    def grown(self):
        return self.field("VmHWM") - self.before


def certificates(directory):
    """ca.pem, server.pem/key for 127.0.0.1 and localhost."""
    def run(*args):
        subprocess.run(["openssl"] + list(args), cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
    run("req", "-x509", *curve, "-subj", "/CN=test-ca", "-keyout", "ca-key.pem", "-out", "ca.pem")
    run("req", *curve[:-2], "-subj", "/CN=server", "-keyout", "server-key.pem", "-out", "server.csr")
    with open(os.path.join(directory, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "30",
        "-extfile", "ext", "-out", "server.pem")


def client_context(alpn=("h2",)):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


class Bystander:
    """Puts and reads over a connection of its own; every call must succeed, within a time."""
    def __init__(self, target, seconds=5.0):
        from etcdapi import Api, rpc
        self.api, self.rpc, self.seconds = Api(target), rpc, seconds
        self.failed, self.slowest, self.count, self.stop = None, 0.0, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop:
            began = time.monotonic()
            try:
                self.api.call("KV/Put", self.rpc.PutRequest(key=b"bystander", value=b"x"), timeout=self.seconds)
                self.api.call("KV/Range", self.rpc.RangeRequest(key=b"bystander"), timeout=self.seconds)
            except Exception as e:              # noqa: whatever it is, the test says it
                self.failed = e
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.count += 1
            time.sleep(0.02)

    def check(self):
        assert not self.failed, "another client was not served: %s" % self.failed

    def end(self):
        self.stop = True
        self.thread.join()
        self.api.close()
        self.check()
