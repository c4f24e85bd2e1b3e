#!/usr/bin/env python3
"""etcd-agent backup and restore against S3-compatible servers that others wrote: versitygw and MinIO, with and without TLS.

usage: s3.py [versitygw | minio]...

Programs from CETCD_AGENT, CETCD_ETCD, CETCD_ETCDCTL, CETCD_ETCDUTL; the servers from CETCD_S3_SERVERS (a directory; build-oracle, where `make
s3-servers` puts them) or PATH."""
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from fake_kube import Kube
from s3_client import Client

ETCD, CTL, UTL = (os.environ.get(v, "") for v in ("CETCD_ETCD", "CETCD_ETCDCTL", "CETCD_ETCDUTL"))
KEY, SECRET, REGION, BUCKET = "backupkey", "a/secret+key9876", "eu-test-1", "backups"
PREFIX = "x y/a&b <r>/"                 # what has to be encoded in a path, and is escaped in a list
PART = 5 * 1024 * 1024                  # the least that the service takes


def find(name):
    for d in [os.environ.get("CETCD_S3_SERVERS") or os.path.join(os.path.dirname(__file__), "..", "..", "build-oracle"),
              *os.environ["PATH"].split(":")]:
        if os.access(os.path.join(d, name), os.X_OK):
            return os.path.join(d, name)
    return None


def certificate(top):
    """(certificate, key) for localhost, its own CA"""
    crt, key = os.path.join(top, "public.crt"), os.path.join(top, "private.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=s3",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", crt], check=True, stderr=subprocess.DEVNULL)
    return crt, key


def versitygw(program, top, port, tls):
    os.makedirs(top + "/store")
    files = ["--cert", tls[0], "--key", tls[1]] if tls else []
    return [program, "--access", KEY, "--secret", SECRET, "--region", REGION, "--port", "127.0.0.1:%d" % port, "--quiet", *files,
            "posix", "--sidecar", top + "/sidecar", top + "/store"], {}


def minio(program, top, port, tls):
    os.makedirs(top + "/certs")
    for f in tls or ():
        shutil.copy(f, top + "/certs")
    return [program, "server", "--quiet", "--address", "127.0.0.1:%d" % port, "--console-address", "127.0.0.1:%d" % etcdproc.free_port(),
            "--certs-dir", top + "/certs", top + "/store"], {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_SITE_REGION": REGION,
                                                           "MINIO_UPDATE": "off"}


SERVERS = {"versitygw": versitygw, "minio": minio}


class Store:
    """One server with an empty bucket."""

    def __init__(self, name, top, tls):
        self.top = os.path.join(top, name + ("-tls" if tls else ""))
        os.makedirs(self.top)
        port = etcdproc.free_port()
        command, env = SERVERS[name](find(name), self.top, port, tls)
        os.makedirs(self.top + "/sidecar", exist_ok=True)
        self.url = "%s://localhost:%d" % ("https" if tls else "http", port)
        self.log = open(self.top + "/log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.top, env=dict(os.environ, HOME=self.top, **env))
        self.client = Client(self.url, KEY, SECRET, REGION, tls and tls[0])
        end = time.monotonic() + 30
        while True:
            try:
                if self.client("PUT", "/" + BUCKET)[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                self.close()
                raise AssertionError("%s does not serve: %s" % (name, open(self.top + "/log").read()[-2000:]))
            time.sleep(0.2)

    def keys(self):
        keys, query = [], "list-type=2"
        while True:
            code, _, body = self.client("GET", "/" + BUCKET, query)
            assert code == 200, body
            keys += re.findall("<Key>(.*?)</Key>", body.decode())
            more = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", body.decode())
            if not more:
                return [html.unescape(k) for k in keys]
            query = "continuation-token=%s&list-type=2" % urllib.parse.quote(html.unescape(more.group(1)), safe="-._~")

    def snapshots(self):
        return sorted(k for k in self.keys() if "/etcd-snapshot-" in k)

    def put(self, key, body):
        code, _, answer = self.client("PUT", "/%s/%s" % (BUCKET, key), body=body)
        assert code == 200, answer

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def agent(program, verb, cwd, **env):
    base = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    base.update(env)
    r = subprocess.run([program, verb], env=base, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return r.returncode, r.stdout.decode()


def look(name, tls, top, program, url, kube):
    store = Store(name, top, tls)
    work = tempfile.mkdtemp(dir=top)
    s3 = dict(S3_ENDPOINT=store.url, S3_BUCKET=BUCKET, S3_PREFIX=PREFIX, S3_REGION=REGION, S3_CACERT=tls[0] if tls else "",
              AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, S3_PART_SIZE=str(PART))
    common = dict(BACKUP_ENDPOINTS=url, ETCD_ROOT_PASSWORD="pw")
    backup = lambda **more: agent(program, "backup", work, **dict(dict(common, **s3), **more))
    what = "%s, %s: " % (name, store.url.split(":")[0])
    try:
        # not ours: they stay
        for key in (PREFIX + "other.db", PREFIX + "deeper/etcd-snapshot-20200101T000000Z.db", "elsewhere/etcd-snapshot-20200101T000000Z.db"):
            store.put(key, b"mine")
        foreign = set(store.keys())
        assert len(foreign) == 3

        code, out = backup(BACKUP_KEEP="2")
        assert code == 0, out
        first, = set(store.snapshots()) - foreign
        code, _, whole = store.client("GET", "/%s/%s" % (BUCKET, first))
        assert code == 200 and len(whole) > 2 * PART, len(whole)
        copy = os.path.join(work, "copy.db")
        with open(copy, "wb") as f:
            f.write(whole)
        said = subprocess.run([UTL, "snapshot", "status", copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert said.returncode == 0, said.stdout
        os.unlink(copy)
        print(what + "a snapshot of %d parts is whole" % -(-len(whole) // PART))

        # one PUT instead of parts; and a list of more pages than one (1,000 keys each)
        for i in range(1050):
            store.put(PREFIX + "etcd-snapshot-2020%02d%02dT%02d0000Z.db" % (i // 600 + 1, i // 24 % 25 + 1, i % 24), b"old")
        assert len(store.keys()) == 1054
        code, out = backup(BACKUP_KEEP="2", S3_PART_SIZE="")
        assert code == 0, out
        left = set(store.keys()) - foreign
        assert len(left) == 2 and first in left and foreign <= set(store.keys()), left
        print(what + "1050 old ones are pruned, what is not ours stays")

        for more, say in ((dict(AWS_SECRET_ACCESS_KEY="wrong"), "403"), (dict(AWS_ACCESS_KEY_ID="nobody"), "access key"), (dict(S3_BUCKET="nobucket"), "404")):
            for part in (str(PART), ""):
                code, out = backup(S3_PART_SIZE=part, **more)
                assert code == 1 and say in out.lower(), (more, part, out)
        if tls:
            code, out = backup(S3_CACERT="")
            assert code == 1 and "certificate" in out, out
        assert set(store.keys()) - foreign == left and not os.listdir(work)
        code, _, uploads = store.client("GET", "/" + BUCKET, "uploads=")
        assert code == 200 and b"<UploadId>" not in uploads, uploads
        print(what + "a wrong key, a bucket that is not there%s are refused, and it is said" % (", an unknown CA" if tls else ""))

        data = os.path.join(work, "data")
        pod = dict(POD_NAME="r-etcd-0", POD_NAMESPACE="n", POD_SELECTOR="app.kubernetes.io/name=r", KUBE_URL=kube.url, KUBE_TOKEN_FILE=top + "/token")
        code, out = agent(program, "restore", work, ETCD_DATA_DIR=data + "-no", RESTORE_SNAPSHOT="none.db", **pod, **s3)
        assert code == 1 and "404" in out and not os.path.exists(data + "-no"), out
        for wanted in ("latest", os.path.basename(first)):
            code, out = agent(program, "restore", work, ETCD_DATA_DIR=data, RESTORE_SNAPSHOT=wanted, **pod, **s3)
            assert code == 0 and os.path.exists(data + "/member/wal"), out
            check_restored(data)
            shutil.rmtree(data)
        print(what + "restored, the newest and one by its name")
    finally:
        store.close()


def check_restored(data):
    """A member on it has what was backed up."""
    client, peer = etcdproc.free_port(), etcdproc.free_port()
    url = "http://127.0.0.1:%d" % client
    with open(data + ".log", "wb") as log:
        # it was restored for a pod of that name
        server = subprocess.Popen([ETCD, "--name", "r-etcd-0", "--data-dir", data, "--listen-client-urls", url, "--advertise-client-urls", url,
                                   "--listen-peer-urls", "http://127.0.0.1:%d" % peer], stdout=log, stderr=log)
    try:
        for _ in range(100):
            r = subprocess.run([CTL, "--endpoints", url, "--user=root:pw", "get", "a", "--print-value-only"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if r.returncode == 0:
                break
            time.sleep(0.1)
        assert r.stdout == b"b\n", (r, open(data + ".log").read()[-2000:])
    finally:
        server.kill()
        server.wait()
        os.unlink(data + ".log")


def main():
    names = [n for n in sys.argv[1:] or SERVERS if find(n)]
    if not names:
        print("skipped: none of %s is here; `make s3-servers` builds them (needs Go)" % ", ".join(SERVERS))
        return etcdproc.SKIPPED
    top = tempfile.mkdtemp(prefix="etcd-s3-")
    os.mkdir(top + "/bin")              # the agent looks for the others beside itself
    for name in ("AGENT", "ETCDCTL", "ETCDUTL"):
        shutil.copy(os.environ["CETCD_" + name], top + "/bin")
    program = os.path.join(top, "bin", os.path.basename(os.environ["CETCD_AGENT"]))
    port, peer = etcdproc.free_port(), etcdproc.free_port()
    url = "http://127.0.0.1:%d" % port
    log = open(os.path.join(top, "etcd.log"), "wb")
    server = subprocess.Popen([ETCD, "--data-dir", top + "/d", "--listen-client-urls", url, "--advertise-client-urls", url,
                               "--listen-peer-urls", "http://127.0.0.1:%d" % peer, "--initial-advertise-peer-urls", "http://127.0.0.1:%d" % peer,
                               "--initial-cluster", "default=http://127.0.0.1:%d" % peer], stdout=log, stderr=log,
                              env=dict(os.environ, ETCD_ROOT_PASSWORD="pw"))
    kube = Kube()
    try:
        ctl = lambda *args, **more: subprocess.run([CTL, "--endpoints", url, "--user=root:pw", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        for _ in range(50):
            if ctl("put", "a", "b").returncode == 0:
                break
            time.sleep(0.2)
        for i in range(12):
            assert ctl("put", "large%d" % i, input=os.urandom(500 * 1024).hex().encode()).returncode == 0
        with open(top + "/token", "w") as f:
            f.write(kube.token)
        kube.put("statefulsets", "r-etcd", spec={"replicas": 3})
        kube.put("persistentvolumeclaims", "data-r-etcd-0")
        tls = certificate(top)
        for name in names:
            for with_tls in (None, tls):
                look(name, with_tls, top, program, url, kube)
    finally:
        server.kill()
        server.wait()
        log.close()
        kube.server.shutdown()
        shutil.rmtree(top, ignore_errors=True)
    missing = [n for n in SERVERS if n not in names and not sys.argv[1:]]
    if missing:
        print("not asked: %s (`make s3-servers`)" % ", ".join(missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
