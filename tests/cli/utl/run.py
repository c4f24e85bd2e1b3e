#!/usr/bin/env python3
"""etcdutl against Go's: the same words on copies of the same files; stdout, stderr, exit code and what is made.

usage: run.py [--ours ETCDUTL] [--print] [SECTION...]

--ours defaults to $CETCD_ETCDUTL; Go's comes from $CETCD_ORACLE or build-oracle (make oracle). Exit code 77
(skipped) without one of them. --print shows what ours answers. Sections: cases.py.

What is not compared, and why (normalise() does it):
  log lines      time and source line are dropped; lines of Go's own parts (bbolt, ...) too; took, and sizes after a
                 defragmentation, are another program's
  usage texts    from "Usage:" on: written in our own words
  panics         "failed to open database" with a stack there, an Error line with the reason here; the exit code is
                 compared
  damage         the reason behind "integrity check failed. N errors found." and N: checks differ; where Go panics (exit
                 2) ours may end with 1
  txid, Snapshot.data: the number of commits; 3.7 does not read the rest of what Go writes there
"""
import argparse
import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "golden")
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

import cases
import etcdproc

LOG = re.compile(r"^\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-][0-9:]+)\t(\w+)\t(?:(\w[\w.-]*)\t)?([\w.@/-]+:\d+)\t(.*)$")
STACK = re.compile(r"^(\t|goroutine \d|main\.|\w[\w./@-]*\(|runtime\.|go\.etcd\.io/|github\.com/|golang\.org/|\[recovered\])")
# Lines of Go's that have no twin here: what it does on the way.
UNTOLD = ("failed to detect storage version", "Failed to finalize config")


def normalise_log(m):
    level, logger, _, rest = m.groups()
    if logger or level in ("panic", "fatal"):
        return None
    text, _, fields = rest.partition("\t")
    if fields:
        f = json.loads(fields)
        if text in ("defragmenting", "finished defragmenting directory"):
            f = {"path": f["path"]}
        if text in ("normal migrate failed, trying with force", "Changing major storage version is not supported"):
            f = {}
        if text == "resolved URL Host":
            f.pop("host")
        fields = json.dumps(f, sort_keys=True) if f else ""
    return "%s %s %s" % (level, text, fields)


def normalise(text):
    out, usage, damage, stack = [], False, False, False
    for line in text.split("\n"):
        m = LOG.match(line)
        if m:
            damage = stack = False
            told = normalise_log(m)
            if told and not m.group(4).startswith(UNTOLD):
                out.append(told)
            stack = m.group(1) in ("error", "panic", "fatal")
        elif line.startswith("panic:") or line.startswith("Error: failed to open database"):
            out.append("PANIC " + ("failed to open database" if "failed to open database" in line else "other"))
            usage, stack = False, True
        elif line.startswith("Error:") or line.startswith("Unknown help topic"):
            usage = damage = stack = False
            if "integrity check failed" in line:
                line, damage = re.sub(r"\d+ errors found", "N errors found", line), True
            out.append(line)
        elif line == "Usage:":
            usage = True
            out.append("[usage]")
        elif not (usage or damage or stack) and line:
            out.append(line)
    return out


def normalise_out(text):
    if "\nUsage:\n" in text or text.startswith("Usage:\n"):
        return ["[help]"]
    return text.split("\n")


class World:
    """One of the two programs in a directory of its own, where inputs are laid out before each command."""

    def __init__(self, program, top, inputs):
        self.program, self.inputs = program, inputs
        self.dir = tempfile.mkdtemp(dir=top)

    def lay_out(self):
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        for name, prepare in self.inputs.items():
            prepare(os.path.join(self.dir, name))

    def run(self, words):
        r = subprocess.run([self.program] + words, cwd=self.dir, capture_output=True, timeout=60)
        return r.returncode, r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")

    def tree(self):
        found = []
        for at, dirs, files in os.walk(self.dir):
            rel = os.path.relpath(at, self.dir)
            found += [os.path.join(rel, n) for n in files + dirs]
        return sorted(found)


def inspect(path, hashes):
    """What an independent reader finds, without what may differ. Hashes take it a second for a megabyte."""
    r = subprocess.run([sys.executable, os.path.join(GOLDEN, "golden-inspect"), path] + ([] if hashes else ["--no-crc"]),
                       capture_output=True, text=True)
    if r.returncode:
        return ["golden-inspect: " + r.stderr[-300:]]
    facts = json.loads(r.stdout)
    facts["db"]["meta"] = {"page_size": facts["db"]["meta"]["page_size"]}
    facts["db"].pop("file_size", None)
    for b in facts["db"]["buckets"].values():
        b.pop("inline", None)
        b.pop("pages", None)
    for s in facts.get("snap", []):
        s.pop("data_len", None)
    return json.dumps(facts, indent=1, sort_keys=True).split("\n")


def answer(world, case):
    """The transcript of one case: a list of lines."""
    world.lay_out()
    lines = []
    for command in case.commands:
        code, out, err = world.run(shlex.split(command))
        lines.append("$ etcdutl " + command)
        lines += ["  " + l for l in normalise_out(out) if l]
        if not case.only_code:
            lines += ["  2> " + l for l in normalise(err)]
        lines.append("  (exit %d)" % (1 if code == 2 and case.only_code else code))
    if case.tree:
        lines += ["  made " + n for n in world.tree()]
    for path in case.inspect:
        lines += ["  %s: %s" % (path, l) for l in inspect(os.path.join(world.dir, path), case.hashes)]
    return lines


def show(ours, top, section):
    for case in section:
        world = World(ours, top, case.inputs)
        world.lay_out()
        for command in case.commands:
            code, out, err = world.run(shlex.split(command))
            print("$ etcdutl %s\n%s%s(exit %d)" % (command, out, err, code))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCDUTL"))
    p.add_argument("--print", action="store_true")
    p.add_argument("sections", nargs="*")
    args = p.parse_args()
    go = etcdproc.oracle("etcdutl")
    if not args.ours or not (go or args.print):
        print("SKIP: no etcdutl to test (CETCD_ETCDUTL) or to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    ours = os.path.abspath(args.ours)
    top = tempfile.mkdtemp(prefix="cetcd-utl-")
    wrong = commands = 0
    try:
        for name in args.sections or cases.SECTIONS:
            section = cases.section(name, os.path.join(top, "golden"))
            if args.print:
                show(ours, top, section)
                continue
            for case in section:
                want = answer(World(os.path.abspath(go), top, case.inputs), case)
                world = World(ours, top, case.inputs)
                got = answer(world, case)
                commands += len(case.commands)
                if case.nothing_left and got[-1] != "  (exit 0)":
                    left = [n for n in world.tree() if n.split("/")[1] not in case.inputs]
                    got += ["  left behind: " + n for n in left]
                if want != got:
                    wrong += 1
                    print("\n".join(list(difflib.unified_diff(want, got, "Go", "ours", lineterm="", n=4))[:80]))
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("%d command lines, %d cases differ" % (commands, wrong))
    sys.exit(1 if wrong else 0)


main()
