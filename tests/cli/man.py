#!/usr/bin/env python3
"""Manual pages: groff finds nothing to complain about, and every command and flag that --help lists is in them.

usage: man.py FOLDER OF PROGRAMS AND PAGES"""
import os
import re
import shutil
import subprocess
import sys


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def names(page, folder):
    """What must be in a page: lines of its program's help that name a flag or a command."""
    program = os.path.join(folder, page)
    text = output(program, "--help")
    if page == "etcdctl":
        text += output(program, "options")
    flags = re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", text, flags=re.M)
    commands = [] if page == "etcd" else re.findall(r"^  ([a-z-]+)  +\w", text, flags=re.M)
    return flags, commands


def main():
    if not shutil.which("groff"):
        print("SKIP: no groff")
        return 77
    wrong = 0
    for page in ("etcd", "etcdctl", "etcdutl"):
        source = os.path.join(sys.argv[1], page + ".1")
        p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=300n", source], capture_output=True, text=True)
        flags, commands = names(page, sys.argv[1])
        missing = [f for f in flags if not re.search(r"(?<![\w-])%s(?![\w-])" % f, p.stdout)]
        missing += [c for c in commands if c != "help" and not re.search(r"^ +%s\b" % c, p.stdout, flags=re.M)]
        if p.stderr or missing or len(flags) < 2:
            print("%s(1): %s missing %s" % (page, p.stderr, missing))
            wrong = 1
        print("%s(1): %d flags and %d commands of its help are there" % (page, len(flags), len(commands)))
    return wrong


sys.exit(main())
