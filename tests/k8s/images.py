"""Images from deploy/image/build, brought to the nodes of a lab."""
import glob
import os
import shutil

from lab import STATE, check, run

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def build(settings, tag, variant="minimal"):
    """The name of an image of settings.ours that every node has, now and when it starts later. Call with the lab up."""
    name = "lab.local/etcd:" + tag
    archive = os.path.join(STATE, "images", "etcd_%s.tar" % tag)
    os.makedirs(os.path.dirname(archive), exist_ok=True)
    entrypoint = settings.entrypoint or os.path.join(TOP, "build", "deploy", "image", "etcd-entrypoint")
    run(os.path.join(TOP, "deploy", "image", "build"), "--bin", settings.ours, "--entrypoint", entrypoint,
        "--variant", variant, "--name", name, "--out", archive)
    sockets = glob.glob(os.path.join(STATE, "node*", "run-containerd", "containerd.sock"))
    check(sockets, "no node is up")
    for socket in sockets:
        run("ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive)
        marks = os.path.join(os.path.dirname(os.path.dirname(socket)), "images")
        os.makedirs(marks, exist_ok=True)
        open(os.path.join(marks, os.path.basename(archive)), "w").close()
    return name


def available():
    return shutil.which("ctr") is not None
