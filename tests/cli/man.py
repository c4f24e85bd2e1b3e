#!/usr/bin/env python3
"""Manual pages and completion: groff finds nothing to complain about, and every command and flag that --help lists, at any depth, is in the page
and is offered to a shell.

usage: man.py FOLDER OF PROGRAMS AND PAGES"""
import os
import re
import shutil
import subprocess
import sys

FLAG = re.compile(r"^ +(?:-\w, )?(--[a-z0-9-]+)", re.M)


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def tree(program, words=()):
    """(words, flags) of every command, groups included."""
    text = output(program, *words, "--help")
    yield words, FLAG.findall(text)
    listed = "".join(re.findall(r"ommands:\n((?:  .*\n)+)", text))
    for name in re.findall(r"^  ([a-z][a-z-]*)", listed, flags=re.M):
        if name != "help":
            yield from tree(program, words + (name,))


def etcd(program):
    """Its commands stand beside its flags."""
    for words in ((), ("gateway", "start"), ("grpc-proxy", "start")):
        yield words, FLAG.findall(output(program, *words, "--help"))


def missing_of(program, page, plain):
    """What --help names and the page, or the shell, does not. How many commands and flags there are."""
    missing, commands, count = [], 0, 0
    for words, flags in etcd(program) if page == "etcd" else tree(program):
        commands += bool(words)
        if words and not re.search(r"^ +%s\b" % " ".join(words), plain, flags=re.M):
            missing.append("page: " + " ".join(words))
        offered = [] if page == "etcd" else output(program, "__complete", *words, "--").split()
        for f in flags:
            count += 1
            if not re.search(r"(?<![\w-])%s(?![\w-])" % f, plain):
                missing.append("page: %s %s" % (" ".join(words), f))
            if page != "etcd" and f not in offered and f + "=" not in offered:
                missing.append("completion: %s %s" % (" ".join(words), f))
    if page == "etcdctl":
        flags = FLAG.findall(output(program, "options"))
        count += len(flags)
        missing += ["page: " + f for f in flags if not re.search(r"(?<![\w-])%s(?![\w-])" % f, plain)]
        missing += ["completion: " + f for f in flags if f not in output(program, "__complete", "get", "--").split()]
    return missing, commands, count


def main():
    if not shutil.which("groff"):
        print("SKIP: no groff")
        return 77
    wrong = 0
    for page in ("etcd", "etcdctl", "etcdutl"):
        source = os.path.join(sys.argv[1], page + ".1")
        p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=300n", source], capture_output=True, text=True)
        missing, commands, flags = missing_of(os.path.join(sys.argv[1], page), page, p.stdout)
        if p.stderr or missing or flags < 2:
            print("%s(1): %s missing %s" % (page, p.stderr, missing))
            wrong = 1
        print("%s(1): %d flags and %d commands of its help are there" % (page, flags, commands))
    return wrong


sys.exit(main())
