#!/usr/bin/env python3
"""Certificate, key, authority and revocation list change under load: no call of an established connection fails, new connections see the new
files with their next handshake, files that are broken leave the old ones in use.

usage: rotation.py [--ours ETCD]"""
import argparse
import os
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from authority import Authority

try:
    import grpc
    from etcdapi import Api, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def client(target, ca, pair):
    return Api(target, ca=read(ca), pair=(read(pair[0]), read(pair[1])))


class Load:
    """Puts and a watch over one connection, for as long as the test lasts."""
    def __init__(self, target, ca, pair, number):
        self.api, self.key, self.failed, self.done, self.stop = client(target, ca, pair), b"k%d" % number, None, 0, False
        self.watch = self.api.stream("Watch/Watch")
        self.watch.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=self.key)))
        assert self.watch.next(5).created
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop:
            try:
                self.api.call("KV/Put", rpc.PutRequest(key=self.key, value=b"v%d" % self.done), timeout=10)
            except grpc.RpcError as e:
                self.failed = e
                return
            event = self.watch.next(10)
            if event is None or isinstance(event, grpc.RpcError) or not event.events:
                self.failed = "the watch: %s" % event
                return
            self.done += 1


def connects(target, ca, pair):
    api = client(target, ca, pair)
    try:
        api.call("KV/Range", rpc.RangeRequest(key=b"a"), timeout=3)
        return True
    except grpc.RpcError:
        return False
    finally:
        api.close()


def put(files, source):
    """As certificate managers do: a new file, renamed into place."""
    for name, path in zip(files, source):
        shutil.copy(path, name + ".new")
        os.rename(name + ".new", name)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    args = p.parse_args()
    if not args.ours or not shutil.which("openssl"):
        print("SKIP: needs a server (CETCD_ETCD) and openssl")
        sys.exit(etcdproc.SKIPPED)
    with tempfile.TemporaryDirectory(prefix="rotation") as root:
        one, two = Authority(os.path.join(root, "one")), Authority(os.path.join(root, "two"))
        pair, ca = (os.path.join(root, "cert"), os.path.join(root, "key")), os.path.join(root, "trusted")
        put(pair, one.server)
        put([ca], [one.ca])
        server = etcdproc.Server(args.ours)
        port = etcdproc.free_port()
        target = "127.0.0.1:%d" % port
        server.flags += ["--listen-client-urls=%s,https://%s" % (server.endpoint, target), "--cert-file=" + pair[0], "--key-file=" + pair[1],
                         "--trusted-ca-file=" + ca]
        with server:
            loads = [Load(target, one.ca, one.client, i) for i in range(8)]
            time.sleep(0.5)
            assert connects(target, one.ca, one.client) and not connects(target, two.ca, two.client)
            put(pair, two.server)
            put([ca], [two.ca])
            assert connects(target, two.ca, two.client), "the new certificate is not used"
            assert not connects(target, one.ca, one.client), "the old one still is"
            print("ok: new connections see certificate and authority of now")
            for files, source in ((pair, (two.server[0], one.server[1])), (pair, (two.ca, two.server[1])), ([pair[0]], ["/dev/null"]), ([ca], ["/dev/null"])):
                put(files, source)
                assert connects(target, two.ca, two.client), "files that do not fit are taken: %s" % (source,)
            assert server.process.poll() is None
            print("ok: files that do not fit each other, or are none, leave those before in use")
            for i in range(20):
                put(pair, (one if i % 2 else two).server)
                put([ca], [(one if i % 2 else two).ca])
                connects(target, one.ca, one.client)
            put(pair, one.server)
            put([ca], [one.ca])
            assert connects(target, one.ca, one.client)
            time.sleep(0.5)
            for load in loads:
                load.stop = True
            for load in loads:
                load.thread.join()
                assert not load.failed, "a call of an established connection failed: %s" % load.failed
            print("ok: 22 rotations under load, %d calls and as many events on %d connections, none failed" %
                  (sum(load.done for load in loads), len(loads)))
            for load in loads:
                load.api.close()


main()
