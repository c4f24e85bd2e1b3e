#!/usr/bin/env python3
"""The image that deploy/image/build makes: the same bytes twice, well formed, small, and what the click-to-deploy application asks of
its image when the programs run inside it.

usage: image.py ENTRYPOINT ETCD ETCDCTL ETCDUTL [ETCD_AGENT]

The programs run in the tree by chroot, as root or in a user namespace; where neither is allowed that half is left out, visibly."""
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import socket

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(TOP, "deploy", "image", "build")
SIZE_MAX = 15_000_000
PASSWORD = "rootpw"


def build(d, out, *more):
    r = subprocess.run([sys.executable, BUILD, "--bin", os.path.join(d, "bin"), "--entrypoint", ENTRYPOINT, "--name", "lab.local/etcd:1",
                        "--out", os.path.join(d, out), *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert r.returncode == 0, r.stdout
    print(r.stdout.strip().splitlines()[-1])
    return os.path.join(d, out)


def read_layout(path):
    """(index, manifest, config, the layer's tar): each blob under the digest that others know it by."""
    with tarfile.open(path) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
        assert all(m.mtime == 0 for m in tar.getmembers())
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rsplit("/", 1)[1], name

    def blob(ref):
        data = files["blobs/sha256/" + ref["digest"][7:]]
        assert len(data) == ref["size"], ref
        return data
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(index["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    layer_ref, = manifest["layers"]
    layer = tarfile.open(fileobj=io.BytesIO(blob(layer_ref)), mode="r:gz")
    return manifest, config, layer


def check_layout(path, shell):
    manifest, config, layer = read_layout(path)
    assert manifest["layers"][0]["size"] <= SIZE_MAX, manifest
    members = {m.name: m for m in layer.getmembers()}
    assert list(members) == sorted(members), "entries out of order"
    for m in members.values():
        assert m.mtime == 0 and not m.uname and m.uid in (0, 65532), m.name
        assert not m.mode & 0o6000, "%s is set-uid" % m.name
    assert config["config"]["User"] == ("0" if shell else "65532:65532")
    assert members["var/lib/etcd"].uid == 65532 and config["config"]["WorkingDir"] == "/var/lib/etcd"
    assert ("usr/bin/bash" in members) == shell and ("usr/bin/sh" in members) == shell
    for name in ("etcd", "etcdctl", "etcdutl", "etcd-agent"):
        assert members["usr/local/bin/" + name].mode == 0o755
    print("ok: layout, order, owners, %d entries" % len(members))


class Box:
    """Programs in the tree. They see the machine's network, and of its files nothing."""

    def __init__(self, root):
        self.root = root
        null = os.path.join(root, "dev", "null")        # a container's runtime gives it; a file will do
        open(null, "w").close()
        os.chmod(null, 0o666)
        if os.geteuid() == 0:
            self.prefix = ["chroot", "--userspec=65532:65532", root]
        else:
            self.prefix = ["unshare", "-r", "chroot", root]

    def works(self):
        r = subprocess.run([*self.prefix, "/usr/local/bin/etcd", "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]})
        return r.returncode == 0 or "chroot:" not in r.stdout.decode() and "unshare:" not in r.stdout.decode()

    def words(self, *command):
        return [*self.prefix, *command]

    def env(self, **more):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", **more}

    def run(self, *command, **env):
        r = subprocess.run(self.words(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env(**env), timeout=30)
        return r.returncode, r.stdout.decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def expect(what, got, code, pattern):
    assert got[0] == code and re.search(pattern, got[1], re.M), "%s: %r" % (what, got)
    print("ok: " + what)


def check_contract(box):
    """The functional tests of the click-to-deploy image, and its entrypoint's refusal."""
    client, peer = free_port(), free_port()
    url, peer_url = "http://127.0.0.1:%d" % client, "http://127.0.0.1:%d" % peer
    expect("etcd --version", box.run("etcd", "--version"), 0, r"\Aetcd Version")
    expect("etcdctl version", box.run("etcdctl", "version"), 0, r"\Aetcdctl version")
    expect("etcdutl version", box.run("etcdutl", "version"), 0, r"\Aetcdutl version")
    expect("no password", box.run("etcd-entrypoint", "etcd", "--version"), 1, "ETCD_ROOT_PASSWORD is required")
    expect("an empty one", box.run("etcd-entrypoint", "etcd", "--version", ETCD_ROOT_PASSWORD=""), 1, "ETCD_ROOT_PASSWORD is required")
    expect("the command runs", box.run("etcd-entrypoint", "etcdctl", "version", ETCD_ROOT_PASSWORD=PASSWORD), 0, r"\Aetcdctl version")
    expect("its exit code", box.run("etcd-entrypoint", "no-such-program", ETCD_ROOT_PASSWORD=PASSWORD), 127, "no-such-program")
    expect("tar, for kubectl cp", box.run("tar", "cf", "-", "/etc/passwd"), 0, "65532")
    server = subprocess.Popen(box.words("etcd-entrypoint", "etcd", "--data-dir=/var/lib/etcd/data", "--listen-client-urls=" + url, "--advertise-client-urls=" + url,
                                        "--listen-peer-urls=" + peer_url, "--initial-advertise-peer-urls=" + peer_url, "--initial-cluster=default=" + peer_url),
                              env=box.env(ETCD_ROOT_PASSWORD=PASSWORD), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        at = "--endpoints=" + url
        end = time.monotonic() + 30
        while box.run("etcdctl", at, "--user=root:" + PASSWORD, "put", "message", "Hello World!")[0]:
            assert time.monotonic() < end and server.poll() is None, "the server does not serve"
            time.sleep(0.1)
        expect("put", box.run("etcdctl", at, "--user=root:" + PASSWORD, "put", "message", "Hello World!"), 0, r"\AOK$")
        expect("get", box.run("etcdctl", at, "--user=root:" + PASSWORD, "get", "message"), 0, "Hello World!")
        expect("nobody without a password", box.run("etcdctl", at, "user", "list"), 1, "user name is empty")
        expect("nor with another", box.run("etcdctl", at, "--user=root:somePasswd", "user", "list"), 2, "authentication failed")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    print("ok: stops")


def check_shell(box):
    """Every tool that the click-to-deploy chart's scripts call."""
    script = r"""set -o errexit -o pipefail -o nounset
mkdir -p /tmp/t/data; echo "id1, started, $(hostname | cut -d . -f 1), x" > /tmp/t/list
grep started /tmp/t/list | cut -d , -f 1 > /tmp/t/data/member_id
cat "$(dirname /tmp/t/data/member_id)/member_id"
printf 'ETCD_NAME="n"\nMember\n' | grep "^ETCD_" > /tmp/t/envs; sed -ie 's/^/export /' /tmp/t/envs; source /tmp/t/envs
[[ "$ETCD_NAME" == n ]]; echo "Member 1f removed from cluster 2e" | grep -E "^Member [a-z0-9]+ removed from cluster [a-z0-9]+$" >/dev/null
sleep 0; rm -rf /tmp/t/data/*; kill -0 $$; echo done
"""
    expect("bash and the tools", box.run("bash", "-eu", "-c", script), 0, r"\Aid1\ndone$")


def main():
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        os.mkdir(os.path.join(d, "bin"))
        for path in PROGRAMS:
            os.symlink(os.path.abspath(path), os.path.join(d, "bin", os.path.basename(path)))
        if not os.path.exists(os.path.join(d, "bin", "etcd-agent")):
            os.symlink("/bin/true", os.path.join(d, "bin", "etcd-agent"))
        first = build(d, "a.tar", "--rootfs", os.path.join(d, "root"))
        time.sleep(1.1)         # a time that slipped in would be another one
        second = build(d, "b.tar")
        with open(first, "rb") as f, open(second, "rb") as g:
            assert f.read() == g.read(), "two runs, two images"
        print("ok: the same bytes twice")
        check_layout(first, False)
        shell = build(d, "s.tar", "--variant", "shell", "--rootfs", os.path.join(d, "shell"))
        check_layout(shell, True)
        box = Box(os.path.join(d, "root"))
        if not box.works():
            print("left out: no chroot here, so nothing ran in the image")
            return
        check_contract(box)
        check_shell(Box(os.path.join(d, "shell")))


ENTRYPOINT, PROGRAMS = sys.argv[1], sys.argv[2:]
if __name__ == "__main__":
    if not all(shutil.which(p) for p in ("ldd", "strip", "tar")):
        print("skipped: no ldd, strip or tar")
        sys.exit(77)
    main()
