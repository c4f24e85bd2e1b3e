"""docs/kubernetes.md: every block that begins with `# run: NAME` is executed in one shell, in the document's order, and what it printed
is checked. `# run: NAME &` goes on in the background."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import images
from lab import Failed, check, lab, wait_for

TOP = images.TOP
BLOCK = re.compile(r"^```(?:shell|bash|sh)?\n# run: ([\w-]+)( &)?\n(.*?)^```", re.M | re.S)


class Shell:
    """A bash that lives through all blocks, as the reader's terminal does."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        cwd=folder, env=environment, start_new_session=True)
        self.lines, self.done = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        self.process.stdin.write("set -E -o pipefail\n")

    def read(self):
        for line in self.process.stdout:
            with self.done:
                self.lines.append(line)
                self.done.notify()

    def script(self, name, text):
        path = os.path.join(self.folder, ".block-" + name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def behind(self, name, text):
        self.process.stdin.write(". %s </dev/null >/dev/null 2>&1 &\n" % self.script(name, text))
        self.process.stdin.flush()

    def __call__(self, name, text, timeout=420):
        """What the block printed; each command in it must succeed."""
        with self.done:
            self.lines.clear()
        mark = "@@%s@@" % name
        self.process.stdin.write("failed=0; trap 'failed=$?' ERR; . %s </dev/null; trap - ERR; echo; echo %s $failed\n"
                                 % (self.script(name, text), mark))
        self.process.stdin.flush()
        end = time.monotonic() + timeout
        with self.done:
            while not (self.lines and self.lines[-1].startswith(mark)):
                check(self.process.poll() is None, "the shell ended in " + name)
                check(self.done.wait(max(0, end - time.monotonic())), "%s does not end: %s" % (name, "".join(self.lines)[-1500:]))
            said, code = "".join(self.lines[:-1]), int(self.lines[-1].split()[1])
        check(code == 0, "%s: exit code %d\n%s" % (name, code, said[-2000:]))
        return said

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def shown(*parts):
    def look(said):
        for p in parts:
            check(re.search(p, said, re.M), "%r is not in %r" % (p, said[-1500:]))
    return look


# what a block must print; those that are not here must only succeed
SHOWN = {
    "pods": shown(r"-etcd-0 +1/1 +Running", r"-etcd-2 +1/1 +Running"),
    "user-list": shown(r"^root\r?$"),
    "put-and-get": shown(r"^OK$", r"^foo\nbar$"),
    "external-address": shown(r"^root$"),
    "metrics": shown(r"^etcd_server_has_leader 1$", r"^etcd_mvcc_db_total_size_in_bytes "),
    "scaled-up": shown(r"-etcd-3, .*false$", r"-etcd-4, .*false$"),
    "snapshot": shown(r"Snapshot saved"),
    "snapshot-forwarded": shown(r"Snapshot saved", r"HASH"),
    "backup-now": shown(r"condition met"),
    "pods-by-selector": shown(r"-etcd-0 +1/1 +Running"),
    "rotate-password": shown(r"^root$"),
    "quorum-condition": shown(r"-etcd-0 True", r"-etcd-1 True", r"-etcd-2 True"),
}


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def every_block(settings, say):
    """The user guide, command by command."""
    with open(os.path.join(TOP, "docs", "kubernetes.md")) as f:
        blocks = BLOCK.findall(f.read())
    check(len(blocks) > 10, "the guide has only %d blocks" % len(blocks))
    unknown = set(SHOWN) - {name for name, _, _ in blocks}
    check(not unknown, "the guide has no blocks %s" % sorted(unknown))
    with lab(settings.ours, nodes=3) as one, tempfile.TemporaryDirectory() as folder:
        shutil.copytree(os.path.join(TOP, "deploy", "chart"), os.path.join(folder, "chart"))
        repo, _, tag = images.build(settings, "guide").rpartition(":")
        new = images.build(settings, "guide-2")
        one.kubectl("delete", "crd", "applications.app.k8s.io")
        environment = dict(one.environment, IMAGE_ETCD_REPO=repo, TAG=tag, NEW_IMAGE=new, NAMESPACE="guide", HOME=folder)
        environment["PATH"] = settings.ours + ":" + environment["PATH"]
        shell, forward = Shell(folder, environment), None
        try:
            for name, behind, text in blocks:
                began = time.monotonic()
                if behind:
                    forward = (name, text)
                    shell.behind(*forward)
                else:
                    if forward and "localhost:2379" in text and not listening(2379):
                        shell.behind(*forward)      # its pod is gone; the reader would start it again
                    if forward and "localhost:2379" in text:
                        wait_for(30, "the forwarded port", lambda: listening(2379))
                    SHOWN.get(name, shown())(shell(name, text))
                say("%s: %.0f s" % (name, time.monotonic() - began))
            left = one.kubectl("get", "all,configmaps,secrets,pvc,serviceaccounts,roles,rolebindings,pdb,networkpolicies,applications", "-n", "guide",
                               "-o", "name").split()
            left = [x for x in left if x not in ("configmap/kube-root-ca.crt", "serviceaccount/default") and "backup" not in x]
            check(not left, "the guide leaves behind: %s" % left)
        except Failed:
            say("pods: " + one.kubectl("get", "pods", "-A", "-o", "wide", fails=True)[1])
            say("log: " + one.kubectl("logs", "-n", "guide", "etcd-1-etcd-0", "--tail=30", fails=True)[1])
            raise
        finally:
            shell.close()


SCENARIOS = [every_block]
