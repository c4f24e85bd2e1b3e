#!/usr/bin/env python3
"""etcd-agent backup and restore: a directory, and a store that knows S3's part that is used and checks each signature.

usage: backup.py      programs from CETCD_AGENT, CETCD_ETCD, CETCD_ETCDCTL"""
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from fake_kube import Kube
from s3_client import signature

AGENT, ETCD, CTL = (os.environ.get(v, "") for v in ("CETCD_AGENT", "CETCD_ETCD", "CETCD_ETCDCTL"))
KEY, SECRET, REGION = "access", "a/secret+key", "eu-test-1"


def signed(handler):
    """The signature that a request should have, as it arrived."""
    names = handler.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    url = urllib.parse.urlsplit(handler.path)
    return signature(handler.command, url.path, url.query, handler.headers, names, handler.headers["x-amz-content-sha256"], REGION, SECRET)


class Store:
    def __init__(self):
        self.objects, self.page, self.uploads, self.asked = {}, 2, {}, []
        self.faults = []                # one for each of the next requests: None, a status, (status, code), "reset", "half"
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                fault = store.faults.pop(0) if store.faults else None
                store.asked.append((self.command, self.path, fault))
                self.etag = None
                if fault is None or fault == "half":
                    code, answer = store.answer(self, body)
                elif fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                else:
                    status, text = fault if isinstance(fault, tuple) else (fault, "SlowDown")
                    code, answer = status, b"<Error><Code>%s</Code><Message>not now</Message></Error>" % text.encode()
                self.send_response(code)
                self.send_header("content-length", str(len(answer)))
                if self.etag:
                    self.send_header("ETag", self.etag)
                self.end_headers()
                self.wfile.write(answer[:len(answer) // 2] if fault == "half" else answer)
                self.close_connection |= fault == "half"

            do_GET = do_PUT = do_DELETE = do_POST = serve

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, h, body):
        if not h.headers["authorization"].endswith("Signature=" + signed(h)):
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message></Error>"
        if h.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return 400, b"<Error><Message>The body is another.</Message></Error>"
        url = urllib.parse.urlsplit(h.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        if bucket != "b":
            return 404, b"<Error><Message>The specified bucket does not exist</Message></Error>"
        key = urllib.parse.unquote(key)
        upload = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        if "uploads" in upload:
            self.uploads["up/%d=" % len(self.asked)] = {}
            return 200, b"<R><UploadId>up/%d=</UploadId></R>" % len(self.asked)
        if "uploadId" in upload:
            parts = self.uploads.get(upload["uploadId"][0])
            if parts is None:
                return 404, b"<Error><Code>NoSuchUpload</Code></Error>"
            if h.command == "PUT":
                parts[int(upload["partNumber"][0])] = body
                h.etag = '"%d"' % len(body)
                return 200, b""
            del self.uploads[upload["uploadId"][0]]
            if h.command == "POST":
                self.objects[key] = b"".join(parts[i] for i in sorted(parts))
                assert body.count(b"<PartNumber>") == len(parts) > 1
                return 200, b"<CompleteMultipartUploadResult/>"
            return 204, b""
        if h.command == "PUT":
            self.objects[key] = body
            return 200, b""
        if h.command == "DELETE":
            self.objects.pop(key, None)
            return 204, b""
        if key:
            return (200, self.objects[key]) if key in self.objects else (404, b"<Error><Message>no such key</Message></Error>")
        q = urllib.parse.parse_qs(url.query)
        names = sorted(k for k in self.objects if k.startswith(q["prefix"][0]))
        at = int(q.get("continuation-token", ["0"])[0])
        more = at + self.page < len(names)
        return 200, ("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>%s</IsTruncated>%s%s</ListBucketResult>" % (
            "true" if more else "false", "".join("<Contents><Key>%s</Key></Contents>" % k for k in names[at:at + self.page]),
            "<NextContinuationToken>%d</NextContinuationToken>" % (at + self.page) if more else "")).encode()


def agent(verb, cwd, **env):
    base = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    base.update(env)
    r = subprocess.run([AGENT, verb], env=base, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return r.returncode, r.stdout.decode()


def snapshots(store):
    return sorted(k for k in store.objects if "etcd-snapshot-" in k)


def faults(store, backup):
    """What passes is tried again, what does not is said, and no part of an upload stays."""
    before, small = snapshots(store), dict(BACKUP_KEEP="", S3_PART_SIZE="8192")
    for first in ([429, 503], ["reset", 500], [None, "reset", 502]):
        store.faults[:], store.asked[:] = first, []
        code, out = backup(BACKUP_KEEP="")
        assert code == 0, (first, out)
        assert not store.faults or first[0] is None, store.asked
        store.faults[:] = []
        time.sleep(1.1)
    for first in ([None, 503, "reset"], [None, None, 500]):
        store.faults[:] = first
        code, out = backup(**small)
        assert code == 0 and not store.faults and not store.uploads, (first, out, store.uploads)
        time.sleep(1.1)
    whole = snapshots(store)
    assert len(whole) == len(before) + 5, whole
    for key in whole[-2:]:
        data = store.objects[key]
        assert data[-32:] == hashlib.sha256(data[:-32]).digest(), "not whole: " + key
    # three times the same, and the upload is given up: begin, a part, a part three times, abort
    store.faults[:], store.asked[:] = [None, None, 500, "reset", 503, 503], []     # a kept connection that breaks is dialled anew at once
    code, out = backup(**small)
    assert code == 1 and "503 SlowDown: not now" in out and not store.uploads, (out, store.uploads)
    assert store.asked[-1][0] == "DELETE" and snapshots(store) == whole, store.asked
    store.faults[:] = [None, None, 403]
    code, out = backup(**small)
    assert code == 1 and "403" in out and not store.uploads, out
    # the abort fails as well: that is said
    store.faults[:] = [None, None, 403, 403]
    code, out = backup(**small)
    assert code == 1 and "its parts stay in the store" in out and len(store.uploads) == 1, out
    store.uploads.clear()
    store.faults[:], store.asked[:] = [(403, "RequestTimeTooSkewed")], []
    code, out = backup()
    assert code == 1 and "RequestTimeTooSkewed: not now (the clock here says 20" in out and len(store.asked) == 1, out
    code, out = backup(S3_BUCKET="nobucket")
    assert code == 1 and "404" in out and "The specified bucket does not exist" in out, out
    code, out = backup(S3_ENDPOINT="http://127.0.0.1:1")
    assert code == 1 and "connect to 127.0.0.1:1" in out, out
    # older ones cannot be removed: the snapshot is there all the same, and the code tells the two apart
    store.faults[:] = [None, None, None, None, None, (403, "AccessDenied")]
    code, out = backup(BACKUP_KEEP="5")
    assert code == 3 and "older snapshots could not be removed" in out and "AccessDenied" in out, (code, out)
    assert snapshots(store)[-1] not in whole
    for key in snapshots(store)[:-3]:
        del store.objects[key]
    print("ok: a store that is busy, breaks off or refuses")


def killed(place, backup):
    """Parts that killed jobs left go after a day; other files do not."""
    names = ["etcd-snapshot-20200101T000000Z.db.part", "etcd-snapshot-20200101T000001Z.db.part", "mine.db.part", "etcd-snapshot-x.db.part"]
    for i, name in enumerate(names):
        path = os.path.join(place, name)
        open(path, "w").close()
        if i != 1:
            os.utime(path, (time.time() - 25 * 3600,) * 2)
    code, out = backup()
    assert code == 0, out
    assert sorted(set(os.listdir(place)) & set(names)) == sorted(names[1:]), os.listdir(place)
    for name in names[1:]:
        os.unlink(os.path.join(place, name))
    print("ok: what killed jobs left")


def half(program, data, restore):
    """A restore that is killed in the midst: nobody takes what is there for data, and the next one begins anew."""
    os.rename(program, program + ".real")
    with open(program, "w") as f:
        f.write('#!/bin/sh\n"$0.real" "$@" || exit 1\nfor a in "$@"; do case "$at" in --data-dir) rm -r "$a"/member/snap;; esac; at="$a"; done\nexit 9\n')
    os.chmod(program, 0o755)
    code, out = restore(data)
    assert code == 1 and not os.path.exists(data), out
    os.rename(program + ".real", program)
    code, out = restore(data)
    assert code == 0 and os.path.exists(data + "/member/snap/db"), out
    assert os.listdir(os.path.dirname(data)).count(os.path.basename(data) + ".draft") == 0
    print("ok: a restore that was cut off")


def main():
    if not all(os.access(p, os.X_OK) for p in (AGENT, ETCD, CTL)):
        print("skipped: no programs")
        return etcdproc.SKIPPED
    top = tempfile.mkdtemp(prefix="etcd-backup-")
    bin_dir = os.path.join(top, "bin")                       # the agent looks for the others beside itself
    os.mkdir(bin_dir)
    for name, path in (("etcd-agent", AGENT), ("etcdctl", CTL), ("etcdutl", os.environ["CETCD_ETCDUTL"])):
        shutil.copy(path, os.path.join(bin_dir, name))
    globals()["AGENT"] = os.path.join(bin_dir, "etcd-agent")
    port, peer = etcdproc.free_port(), etcdproc.free_port()
    url = "http://127.0.0.1:%d" % port
    log = open(os.path.join(top, "etcd.log"), "wb")
    server = subprocess.Popen([ETCD, "--data-dir", top + "/d", "--listen-client-urls", url, "--advertise-client-urls", url,
                               "--listen-peer-urls", "http://127.0.0.1:%d" % peer, "--initial-advertise-peer-urls", "http://127.0.0.1:%d" % peer,
                               "--initial-cluster", "default=http://127.0.0.1:%d" % peer], stdout=log, stderr=log,
                              env=dict(os.environ, ETCD_ROOT_PASSWORD="pw"))
    store, kube = Store(), Kube()
    try:
        for _ in range(50):
            if subprocess.run([CTL, "--endpoints", url, "--user=root:pw", "put", "a", "b"], stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode == 0:
                break
            time.sleep(0.2)
        work, place = os.path.join(top, "work"), os.path.join(top, "place")
        os.mkdir(work), os.mkdir(place)
        s3 = dict(S3_ENDPOINT=store.url, S3_BUCKET="b", S3_PREFIX="x y/r/", S3_REGION=REGION, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
        common = dict(BACKUP_ENDPOINTS=url, ETCD_ROOT_PASSWORD="pw", BACKUP_KEEP="3")
        store.objects["x y/r/other.db"] = store.objects["elsewhere"] = b"mine"
        for i in range(5):
            code, out = agent("backup", work, **common, **s3)
            assert code == 0, out
            code, out = agent("backup", work, BACKUP_DIR=place, **common)
            assert code == 0, out
            time.sleep(1.1)                                  # names have seconds
        kept = [k for k in store.objects if "etcd-snapshot-" in k]
        assert len(kept) == 3 and len(store.objects) == 5 and len(os.listdir(place)) == 3, (store.objects.keys(), os.listdir(place))
        assert not os.listdir(work), "left behind: %s" % os.listdir(work)
        print("ok: backup, and pruning over pages of a list")
        code, out = agent("backup", work, **common, **dict(s3, AWS_SECRET_ACCESS_KEY="wrong"))
        assert code == 1 and "signature does not match" in out, out
        code, out = agent("backup", work, **dict(common, ETCD_ROOT_PASSWORD="wrong"), **s3)
        assert code == 1 and "etcdctl snapshot failed" in out, out
        for name in ("S3_PART_SIZE", "BACKUP_KEEP"):
            code, out = agent("backup", work, **dict(dict(common, **s3), **{name: "many"}))
            assert code == 1 and '%s: \\"many\\" is no number' % name in out, out
        assert len([k for k in store.objects if "etcd-snapshot-" in k]) == 3
        print("ok: what fails is said")
        faults(store, lambda **more: agent("backup", work, **dict(dict(common, **s3), **more)))
        killed(place, lambda: agent("backup", work, BACKUP_DIR=place, **common))

        token = os.path.join(top, "token")
        with open(token, "w") as f:
            f.write(kube.token)
        kube.put("statefulsets", "r-etcd", spec={"replicas": 3})
        claim = kube.put("persistentvolumeclaims", "data-r-etcd-0")
        pod = dict(POD_NAME="r-etcd-0", POD_NAMESPACE="n", POD_SELECTOR="app.kubernetes.io/name=r", KUBE_URL=kube.url, KUBE_TOKEN_FILE=token)
        half(os.path.join(bin_dir, "etcdutl"), os.path.join(top, "halved"), lambda data: agent("restore", work, ETCD_DATA_DIR=data, **pod, **s3))
        for source in (s3, dict(BACKUP_DIR=place)):
            data = os.path.join(top, "restored-%d" % len(source))
            if source is s3:            # the newest breaks off, once, and the connection another time
                store.faults[:] = [None, None, "half", "reset"]
            code, out = agent("restore", work, ETCD_DATA_DIR=data, **pod, **source)
            assert code == 0 and os.path.exists(data + "/member/wal"), out
            code, out = agent("restore", work, ETCD_DATA_DIR=data, **pod, **source)
            assert code == 0 and "there is data" in out, out
        code, out = agent("restore", work, ETCD_DATA_DIR=top + "/no", **dict(pod, POD_NAME="r-etcd-1"), **s3)
        assert code == 0 and not os.path.exists(top + "/no"), out
        kube.patch("persistentvolumeclaims", "data-r-etcd-0", {"metadata": {"annotations": {"cetcd/cluster-id": "1"}}})
        code, out = agent("restore", work, ETCD_DATA_DIR=top + "/no", **pod, **s3)
        assert code == 0 and not os.path.exists(top + "/no") and "belongs to a cluster" in out, out
        kube.patch("persistentvolumeclaims", "data-r-etcd-0", {"metadata": {"annotations": None}})
        code, out = agent("restore", work, ETCD_DATA_DIR=top + "/no", RESTORE_SNAPSHOT="none.db", **pod, **s3)
        assert code == 1 and "no such key" in out and not os.path.exists(top + "/no"), out
        print("ok: restore, once and only where a cluster begins")
    finally:
        server.kill()
        server.wait()
        store.server.shutdown()
        kube.server.shutdown()
        shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
