"""What is asked of both programs. Inputs are laid out anew before each case, so that commands that write (Go's hashkv
is one) do not meet their own traces."""
import hashlib
import lzma
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "golden")


class Case:
    def __init__(self, *commands, inputs=None, tree=False, inspect=(), only_code=False, nothing_left=False, hashes=True):
        self.commands, self.inputs, self.tree, self.inspect = commands, inputs or {}, tree, inspect
        self.hashes = hashes                    # golden-inspect computes them as well
        self.only_code = only_code              # stderr is not compared: reasons of damage are told differently
        self.nothing_left = nothing_left        # ours leaves no trace; Go's may


class Golden:
    """Inputs made from tests/golden: unpacked once, copied for each case."""

    def __init__(self, cache):
        self.cache = cache
        os.makedirs(cache, exist_ok=True)

    def file(self, change=None):
        def prepare(path):
            with lzma.open(os.path.join(GOLDEN, "snapshot.db.xz")) as f:
                data = bytearray(f.read())
            data = change(data) if change else data
            with open(path, "wb") as f:
                f.write(data)
        return prepare

    def unpacked(self, name):
        path = os.path.join(self.cache, name)
        if not os.path.isdir(path):
            subprocess.run(["tar", "-xJf", os.path.join(GOLDEN, name + ".tar.xz"), "-C", self.cache], check=True)
        return path

    def dir(self, name):
        def prepare(path):
            subprocess.run(["cp", "-r", "--sparse=always", self.unpacked(name), path], check=True)
        return prepare

    def db(self, name, change=None):
        def prepare(path):
            source = os.path.join(self.unpacked(name), "member", "snap", "db")
            subprocess.run(["cp", "--sparse=always", source, path], check=True)
            if change:
                with open(path, "rb") as f:
                    data = change(bytearray(f.read()))
                with open(path, "wb") as f:
                    f.write(data)
        return prepare


DIRECTORIES = ["fresh", "plain", "compact-pending", "leases", "auth", "alarms", "bigvalue", "cluster3-1", "cluster3-2",
               "cluster3-3", "restored", "restored-bumped", "downgrade36", "v36"]


def words(g):
    """Command lines that end before any file is touched, or at once."""
    lines = [
        "", "-h", "--help", "help", "help help", "help snapshot", "help snapshot status", "help nosuch", "help nosuch x",
        "help version extra", "snapshot", "snapshot -h", "snapshot nosuch", "snapshot nosuch --bad", "snapshot --help extra",
        "--bad", "--hel", "snapshot --bad", "snapshot status --bad", "snapshot status -x", "snapshot status s.db -w",
        "snapshot status s.db --timeout=x", "snapshot status s.db --timeout", "snapshot status s.db --timeout=5",
        "snapshot status s.db ---x", "snapshot status s.db --=x", "hashkv s.db --rev x", "hashkv s.db --rev",
        "hashkv s.db --rev 9223372036854775808", "hashkv s.db --rev=1.5", "hashkv --help=maybe s.db", "hashkv", "hashkv a b",
        "version", "version x y", "version -w json", "version -wjson", "version --", "version -h", "version -wjson -h",
        "version -hw json", "version -hx", "-h=false version", "-- version", "versio", "v", "ver", "-w json version",
        "--write-out json version", "--write-out=json version", "completion", "completion bash zsh", "completion zz",
        "completion -h", "defrag", "defra", "defrag --data-dir", "d", "migrate", "migrate --target-version 3.6",
        "migrate --data-dir x", "migrate --force=maybe --data-dir x --target-version 3.6", "m", "migrate --data-dir",
        "migrate --data-dir x --target-version x", "migrate --data-dir x --target-version 3", "migrate --data-dir x --target-version 3.4",
        "migrate --data-dir x --target-version 2.9", "migrate --data-dir x --target-version 3.6.0", "migrate --data-dir x --target-version=",
        "migrate --data-dir x --target-version 3.a", "migrate --data-dir x --target-version 3.99999999999999999999",
        "migrate --data-dir x --target-version 99999999999999999999.1", "migrate --data-dir x --target-version .6",
        "migrate --data-dir x --target-version 3.6-rc", "migrate --data-dir x --target-version 3.-1",
        "migrate --data-dir x --target-version 3.6", "migrate x --data-dir y --target-version 3.6 z",
        "snapshot status", "snapshot status a b", "snapshot status nofile", "snapshot status nofile -w xx",
        "snapshot status nofile -w protobuf", "hashkv nofile", "hashkv nofile -w xx", "hashkv nofile -w protobuf",
        "snapshot restore", "snapshot restore a b", "snapshot restore nofile", "snapshot restore nofile --data-dir r",
        "snapshot restore nofile --data-dir", "snapshot restore nofile --bump-revision -1",
        "snapshot restore nofile --bump-revision x", "snapshot restore nofile --bump-revision 5",
        "snapshot restore nofile --mark-compacted", "snapshot restore nofile --mark-compacted=false --bump-revision 5",
        "snapshot restore nofile --skip-hash-check=x", "snapshot restore nofile --initial-memory-map-size=-1",
        "nosuch", "nosuch -w json", "--timeout 5s nosuch", "statuss", "snapshto", "h", "hash", "hepl", "vresion", "defrga", "s", "c",
        "snap status", "sna res", "snapshot s", "snapshot r", "defrag --data-dir nodir", "defrag --data-dir nodir x",
        "defrag --data-dir=nodir --timeout 1s", "save", "snapshot save x", "iterate-bucket", "list-bucket", "verify",
    ]
    return [Case(line) for line in lines]


def configuration(g):
    """Flags of restore that are judged before the file is."""
    restore = "snapshot restore s.db --data-dir r "
    lines = [
        "--initial-cluster a", "--initial-cluster=", "--initial-cluster a=", "--initial-cluster =http://localhost:2380",
        "--initial-advertise-peer-urls ftp://a", "--initial-advertise-peer-urls=", "--initial-advertise-peer-urls=http://localhost",
        "--initial-advertise-peer-urls=http://localhost:2380/x", "--initial-advertise-peer-urls=localhost:2380",
        "--initial-cluster=default=http://localhost:2380,default=http://a:1",
        "--initial-cluster=default=http://localhost:2380,b=http://localhost:2380", "--name=", "--name m1",
        "--name m1 --initial-cluster m2=http://127.0.0.1:1", "--initial-cluster=default=http://localhost:2380/",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=default=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2381",
        "--initial-advertise-peer-urls=http://localhost:2380,http://localhost:2381",
    ]
    return [Case(restore + line, inputs={"s.db": g.file()}, nothing_left=True) for line in lines]


def status(g):
    cases = [Case("snapshot status s.db" + more, inputs={"s.db": g.file()})
             for more in ("", " -w table", " -w json", " -w fields", " -w protobuf", " -w xx", " -w=simple", " --timeout 1s", " -w ''")]
    cases += [Case("snapshot status -w json s.db", "snapshot status s.db", "-w table snapshot status s.db", "snapshot status -- s.db",
                   inputs={"s.db": g.db(name)}) for name in DIRECTORIES]
    return cases


def hashkv(g):
    cases = []
    for name in DIRECTORIES:
        cases += [Case("hashkv s.db" + more, inputs={"s.db": g.db(name)})
                  for more in ("", " -w json", " --rev 2", " --rev 40", " --rev 60", " --rev 100000", " --rev=-1")]
    cases += [Case("hashkv s.db" + more, inputs={"s.db": g.file()})
              for more in ("", " -w table", " -w json", " -w fields", " -w protobuf", " -w xx", " --rev 0", " --rev 41", " --rev 39")]
    cases.append(Case("hashkv -- s.db --rev 0", inputs={"s.db": g.file()}))
    return cases


def restore(g):
    made = {"inputs": {"s.db": g.file()}, "tree": True}
    three = "--initial-cluster m1=http://127.0.0.1:1,m2=http://127.0.0.1:2,m3=http://127.0.0.1:3"
    cases = [
        Case("snapshot restore s.db", inspect=["default.etcd"], **made),
        Case("snapshot restore s.db --data-dir r", "snapshot restore s.db --data-dir r", inspect=["r"], **made),
        Case("snapshot restore s.db --name m7 --initial-cluster m7=http://localhost:2380", inspect=["m7.etcd"], **made),
        Case("snapshot restore s.db --data-dir a/b/c", inspect=["a/b/c"], **made),
        Case("snapshot restore s.db --data-dir r --bump-revision 1000000 --mark-compacted", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --skip-hash-check", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --initial-memory-map-size 0", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --initial-cluster-token other", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --wal-dir w", **made),
        Case("snapshot restore s.db --data-dir r --wal-dir deep/er/w", **made),
        Case("snapshot restore s.db --data-dir r --wal-dir r/member/wal", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --wal-dir r/w", **made),
        Case("snapshot restore s.db --data-dir r --initial-cluster default=http://localhost:2380, ", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --initial-cluster 'default=http://localhost:2380,default=http://127.0.0.1:9' "
             "--initial-advertise-peer-urls http://127.0.0.1:9,http://localhost:2380", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir r --initial-cluster default=unix://localhost:2380 "
             "--initial-advertise-peer-urls unix://localhost:2380", inspect=["r"], **made),
        Case("snapshot restore d --data-dir r", inputs={"d": os.mkdir}),
        Case("snapshot restore s.db --data-dir d", inputs={"s.db": g.file(), "d": os.mkdir}, tree=True, inspect=["d"]),
        Case("snapshot restore s.db --data-dir d", inputs={"s.db": g.file(), "d": g.file()}),
        Case("snapshot restore s.db --data-dir r --wal-dir d", inputs={"s.db": g.file(), "d": os.mkdir}),
        Case("snapshot restore s.db --data-dir r --bump-revision 7 --mark-compacted", "hashkv r/member/snap/db", inputs={"s.db": g.file()}),
        Case("snapshot restore s.db --data-dir ./x/..//r/.", inspect=["r"], **made),
        Case("snapshot restore s.db --data-dir d/", inputs={"s.db": g.file(), "d": os.mkdir}, inspect=["d"]),
    ]
    cases += [Case("snapshot restore s.db --data-dir r --name %s %s --initial-advertise-peer-urls http://127.0.0.1:%s" % (n, three, n[1]),
                   inspect=["r"], **made) for n in ("m1", "m2", "m3")]
    for name in DIRECTORIES:
        cases.append(Case("snapshot restore s.db --data-dir r", inputs={"s.db": g.db(name)}, nothing_left=True))
        cases.append(Case("snapshot restore s.db --data-dir r --skip-hash-check", "snapshot status r/member/snap/db",
                          inputs={"s.db": g.db(name)}, tree=True, inspect=["r"]))
    return cases


def maintain(g):
    """defrag and migrate. The hash of status covers every row, and so does the reader for a small one."""
    cases = []
    for name in ("plain", "bigvalue", "cluster3-1", "v36", "downgrade36", "compact-pending"):
        cases.append(Case("defrag --data-dir d", "snapshot status d/member/snap/db", inputs={"d": g.dir(name)}, inspect=["d"],
                          hashes=name == "plain"))
        for way in (["3.7"], ["3.6"], ["3.5"], ["3.5", "3.7"], ["3.6", "3.5", "3.6", "3.7"], ["3.8"], ["4.0"]):
            cases.append(Case(*["migrate --data-dir d --target-version " + v for v in way] + ["snapshot status d/member/snap/db"],
                              inputs={"d": g.dir(name)}, inspect=["d"], hashes=False))
    cases += [Case("migrate --data-dir d --force --target-version " + v, inputs={"d": g.dir("plain")}, inspect=["d"], hashes=False)
              for v in ("3.5", "3.6", "3.7", "3.9")]
    cases.append(Case("migrate --data-dir d --target-version 3.6", inputs={"d": g.dir("wal-bitflip")}, only_code=True))
    cases.append(Case("migrate --data-dir d --target-version 3.6", inputs={"d": g.dir("wal-torn")}))
    return cases


def flip(*at):
    def change(data):
        for a in at:
            data[a] ^= 1
        return data
    return change


def cut(size):
    return lambda data: data[:size]


def redigest(change):
    """The image is damaged, and the digest behind it is that of the damaged one."""
    def both(data):
        image = change(data[:-32])
        return image + hashlib.sha256(image).digest()
    return both


def fill(byte, start, end):
    def change(data):
        data[start:end] = bytes([byte]) * (end - start)
        return data
    return change


def damage(g):
    """Damaged files: the exit code is Go's, the reason is told in our own words, and nothing is left behind.
    Pages of the snapshot: 0 and 1 meta, 2 the top, 3 rows, 4 and 5 free."""
    variants = [cut(0), cut(10), cut(31), cut(32), cut(100), cut(4096), cut(5000), cut(8192), flip(100), flip(16), flip(4112),
                flip(16, 4112), fill(0, 0, 8192), fill(0, 0, 4096), fill(0, 4096, 8192), fill(0xff, 0, 8192)]
    cases = []
    for v in variants:
        files = {"s.db": g.file(v)}
        cases += [Case("snapshot restore s.db --data-dir r", inputs=files, only_code=True, nothing_left=True)]
        if v(bytearray(24608)):
            cases += [Case("snapshot status s.db", inputs=files, only_code=True)]
    for size in (24576, 24607, 24609):
        cases += [Case("snapshot restore s.db --data-dir r", inputs={"s.db": g.file(cut(size))}, only_code=True, nothing_left=True),
                  Case("snapshot status s.db", inputs={"s.db": g.file(cut(size))}, only_code=True)]
    for v in (flip(8192), flip(8200), flip(12288), flip(12296), flip(8192 + 16 + 8)):
        cases += [Case("snapshot status s.db", inputs={"s.db": g.file(v)}, only_code=True),
                  Case("snapshot restore s.db --data-dir r", inputs={"s.db": g.file(v)}, only_code=True, nothing_left=True)]
    for v in (fill(0, 0, 8192), fill(0xff, 0, 8192), flip(16, 4112), cut(4096)):
        cases += [Case("hashkv s.db", inputs={"s.db": g.file(v)}, only_code=True),
                  Case("snapshot restore s.db --data-dir r --skip-hash-check", inputs={"s.db": g.file(v)}, only_code=True, nothing_left=True),
                  Case("snapshot restore s.db --data-dir r", inputs={"s.db": g.file(redigest(v))}, only_code=True, nothing_left=True)]
    return cases


def short(g):
    """A few of each kind, for every run of the tests; the long sections are for `make slow`."""
    return hashkv(g)[7:12] + hashkv(g)[-9:-5] + restore(g)[:6] + maintain(g)[:3]


SECTIONS = {f.__name__: f for f in (words, configuration, status, hashkv, restore, maintain, damage, short)}


def section(name, cache):
    return SECTIONS[name](Golden(cache))
