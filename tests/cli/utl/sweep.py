#!/usr/bin/env python3
"""Damage drawn from a seed, in every part of a snapshot, a database, a log and .snap files: what Go's etcdutl refuses ours refuses,
with an Error line, no trace and no crash; what Go's takes, ours takes with the same result, or refuses.

usage: sweep.py [--ours ETCDUTL] [--seed N] [--rounds N] [SECTION...]

Sections: snapshot, image, log, snap. The last line repeats a run. --ours defaults to $CETCD_ETCDUTL; Go's comes from $CETCD_ORACLE
or build-oracle. Exit code 77 (skipped) without them."""
import argparse
import collections
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

import cases
import etcdproc

SECONDS = 20


PAGE = 4096


def damage(rng, data):
    """One change, told in a word, in pages that hold something: heads of pages are met as often as what is in them."""
    kind = rng.choice(["bit", "bit", "bit", "head", "head", "byte", "run", "zero", "cut"])
    size = len(data)
    page = rng.choice([p for p in range(0, size, PAGE) if any(data[p:p + PAGE])] or [0])
    used = max(len(data[page:page + PAGE].rstrip(b"\0")), 1)
    # The head of a page has its id, flags, count, overflow and first elements, or the fields of a meta page.
    at = page + rng.randrange(min(80, used) if kind == "head" else used)
    if kind in ("bit", "head"):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        data[at] = rng.randrange(256)
    elif kind == "run":
        end = min(at + rng.randrange(1, 64), size)
        data[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
    elif kind == "zero":
        end = min(at + rng.choice([1, 8, 64, 512, 4096]), size)
        data[at:end] = bytes(end - at)
    else:
        del data[at:]
    return "%s at %d of %d" % (kind, at, size)


class Sweep:
    def __init__(self, ours, go, top, rng):
        self.programs = {"Go": os.path.abspath(go), "ours": os.path.abspath(ours)}
        self.top, self.rng = top, rng
        self.golden = cases.Golden(os.path.join(top, "golden"))
        self.wrong, self.counts = 0, collections.Counter()

    def run(self, who, words, prepare):
        """(exit code, stdout, stderr, what is left beside the inputs)"""
        d = os.path.join(self.top, who)
        shutil.rmtree(d, True)
        os.mkdir(d)
        inputs = prepare(d)
        try:
            p = subprocess.run([self.programs[who], "--timeout=1s", *words], cwd=d, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS)
            code, out, err = p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired:
            code, out, err = "hangs", "", ""
        return code, out, err, sorted(set(os.listdir(d)) - set(inputs))

    def compare(self, what, words, prepare, same_out=True):
        go, ours = self.run("Go", words, prepare), self.run("ours", words, prepare)
        why = None
        if ours[0] == "hangs" or ours[0] < 0 or ours[0] > 128:
            why = "ours: %s" % ours[0]
        elif ours[0] and not re.search(r"^Error: .|panic: ", ours[2], re.M):
            why = "no Error line"
        elif ours[0] and ours[3]:
            why = "left behind: %s" % ours[3]
        elif go[0] and not ours[0]:
            why = "only Go's refuses"
        elif not go[0] and not ours[0] and same_out and go[1] != ours[1]:
            why = "%r is not %r" % (ours[1], go[1])
        self.counts["both refuse" if go[0] and ours[0] else "both take it" if not go[0] and not ours[0] else "only ours refuses" if ours[0] else "only Go's refuses"] += 1
        if why:
            self.wrong += 1
            if self.wrong < 30:
                print("%s: etcdutl %s: %s\n  Go: %s %s\n  ours: %s %s" % (what, " ".join(words), why, go[0], go[2].strip()[-300:], ours[0], ours[2].strip()[-300:]))

    # ---- sections: one round each ----

    def snapshot(self):
        """A snapshot file; in half of the cases the digest behind it is right for what is there."""
        seal = self.rng.random() < 0.5
        said = []

        def change(data):
            image, digest = (data[:-32], b"") if seal else (data, b"")
            said.append(damage(self.rng, image))
            return image + (hashlib.sha256(image).digest() if seal else digest)

        path = os.path.join(self.top, "damaged.db")
        self.golden.file(change)(path)

        def prepare(d):
            shutil.copy(path, os.path.join(d, "s.db"))
            return ["s.db"]
        for words in (["snapshot", "status", "s.db"], ["snapshot", "restore", "s.db", "--data-dir", "r"], ["hashkv", "s.db"]):
            self.compare("snapshot, %s%s" % (said[0], ", sealed" if seal else ""), words, prepare, same_out=words[0] != "hashkv" or not seal)

    def directory(self, names, pick, words_of):
        name = self.rng.choice(names)
        source = self.golden.unpacked(name)
        path = self.rng.choice(sorted(pick(source)))
        with open(path, "rb") as f:
            data = bytearray(f.read())
        used = len(data.rstrip(b"\0")) + 16
        data = data[:used] if path.endswith(".wal") else data
        said = damage(self.rng, data)
        inside = os.path.relpath(path, source)

        def prepare(d):
            subprocess.run(["cp", "-r", "--sparse=always", source, os.path.join(d, "d")], check=True)
            with open(os.path.join(d, "d", inside), "r+b") as f:
                if said.startswith("cut"):
                    f.truncate(len(data))
                f.write(data)
            return ["d"]
        for words in words_of:
            self.compare("%s, %s, %s" % (name, inside, said), words, prepare)

    def image(self):
        self.directory(["plain", "leases", "auth", "bigvalue", "restored"], lambda d: [os.path.join(d, "member", "snap", "db")],
                       (["snapshot", "status", "d/member/snap/db"], ["hashkv", "d/member/snap/db"], ["defrag", "--data-dir", "d"],
                        ["snapshot", "restore", "d/member/snap/db", "--skip-hash-check", "--data-dir", "r"]))

    def files(self, d, sub, end):
        folder = os.path.join(d, "member", sub)
        return [os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(end)]

    def log(self):
        self.directory(["plain", "wal-unclean", "cluster3-1", "restored"], lambda d: self.files(d, "wal", ".wal"),
                       (["migrate", "--data-dir", "d", "--target-version", "3.6"],))

    def snap(self):
        self.directory(["wal-segments", "v36", "restored"], lambda d: self.files(d, "snap", ".snap"),
                       (["migrate", "--data-dir", "d", "--target-version", "3.6"],))


SECTIONS = ["snapshot", "image", "log", "snap"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCDUTL"))
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--rounds", type=int, default=100)
    p.add_argument("sections", nargs="*")
    args = p.parse_args()
    go = etcdproc.oracle("etcdutl")
    if not args.ours or not go:
        print("SKIP: no etcdutl to test (CETCD_ETCDUTL) or to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    top = tempfile.mkdtemp(prefix="cetcd-utl-")
    wrong = 0
    try:
        for section in args.sections or SECTIONS:
            s = Sweep(args.ours, go, top, random.Random(args.seed))
            for _ in range(args.rounds):
                getattr(s, section)()
            wrong += s.wrong
            print("%s: %s; %d wrong" % (section, ", ".join("%d %s" % (n, w) for w, n in sorted(s.counts.items())), s.wrong))
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("sweep.py --seed %d --rounds %d %s" % (args.seed, args.rounds, " ".join(args.sections)))
    sys.exit(1 if wrong else 0)


main()
