#!/usr/bin/env python3
"""Our proxy before our server, and Go's proxy before Go's server: the same calls of tests/e2e's sections get the same answers.

usage: transcripts.py [--namespace] SECTION...; CETCD_ETCD is the binary, Go etcd as in tests/e2e/run.py. Codes of errors are not compared: Go's
proxy makes Unknown of most. --namespace: both proxies put a prefix in front of all keys."""
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "e2e")]

import etcdproc

GO = etcdproc.oracle("etcd")
if not GO or not etcdproc.oracle("etcdctl"):
    print("SKIP: no Go etcd to compare with: make oracle")
    sys.exit(etcdproc.SKIPPED)
try:
    import sections
    import transcript
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)


MORE = ["--namespace=some/where/"] if "--namespace" in sys.argv else []


class Proxied(etcdproc.Server):
    """A server whose address is that of a proxy in front."""

    proxy = None

    def start(self, seconds=30):
        super().start(seconds)
        front = etcdproc.free_port()
        with open(self.log_path, "ab") as log:
            self.proxy = subprocess.Popen([self.binary, "grpc-proxy", "start", "--endpoints=" + self.target,
                                           "--listen-addr=127.0.0.1:%d" % front, "--advertise-client-url=127.0.0.1:2379", *MORE],
                                          stdout=log, stderr=log, cwd=self.root)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", front)).close()
                break
            except OSError:
                time.sleep(0.02)
        self.port, self.target = front, "127.0.0.1:%d" % front
        self.endpoint = "http://" + self.target
        return self

    def end_proxy(self):
        if self.proxy:
            died = self.proxy.poll()
            self.proxy.kill()
            self.proxy.wait()
            self.proxy = None
            assert died is None or self.binary == GO, "the proxy died: %s\n%s" % (died, self.log_tail())

    def stop(self):
        self.end_proxy()
        super().stop()

    def kill(self):
        self.end_proxy()
        super().kill()


transcript.Server = Proxied
transcript.Transcript.error = lambda self, e: self.say("   error " + e.details())
wrong = 0
for name in [a for a in sys.argv[1:] if a != "--namespace"]:
    difference, lines = transcript.compare(sections.ALL[name], os.environ["CETCD_ETCD"], GO)
    print("%s %s (%d lines)" % ("DIFFERS" if difference else "same   ", name, lines))
    print("\n".join(difference[:200]))
    wrong += bool(difference)
sys.exit(1 if wrong else 0)
