#!/usr/bin/env python3
"""A Kubernetes API as small as the agent needs it: objects in memory, get, list by labels, merge patch, create, over HTTP.
Also the StatefulSet's controller by hand: the test makes and deletes pods and claims itself. `silent` makes it hang up on all."""
import json
import re
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def merge(target, patch):
    """RFC 7396"""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            merge(target[key], value)
        else:
            target[key] = value


def merge_strategic(target, patch):
    """as merge, but conditions are merged by their type"""
    conditions = patch.get("status", {}).pop("conditions", None)
    merge(target, patch)
    if conditions is not None:
        have = {c["type"]: c for c in target.setdefault("status", {}).get("conditions", [])}
        for c in conditions:
            have[c["type"]] = c
        target["status"]["conditions"] = list(have.values())


class Kube:
    def __init__(self, namespace="n", token="secret-token"):
        self.namespace, self.token = namespace, token
        self.lock = threading.RLock()
        self.objects = {}           # (resource, name): object
        self.silent = False
        self.delay = 0              # seconds before each answer
        self.nonsense = None        # (status, bytes) in place of each answer
        self.requests = 0
        self.conflicts = 0          # so many patches of annotations of pods are refused with 409
        self.lists = 0              # of pods
        self.refused = []
        kube = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                kube.requests += 1
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if kube.silent:
                    self.close_connection = True
                    return
                if kube.delay:
                    time.sleep(kube.delay)
                if kube.nonsense:
                    code, text = kube.nonsense
                else:
                    code, answer = kube.answer(self.command, self.path, self.headers, body)
                    text = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                try:
                    self.wfile.write(text)
                except OSError:
                    pass                        # the agent was killed

            do_GET = do_PATCH = do_POST = serve

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method, path, headers, body):
        if headers.get("authorization") != "Bearer " + self.token:
            return 401, {"kind": "Status", "message": "Unauthorized"}
        url = urllib.parse.urlsplit(path)
        m = re.fullmatch(r"/(?:api|apis)/(?:v1|apps/v1)/namespaces/([^/]+)/([a-z]+)(?:/([^/]+))?(/status)?", url.path)
        if not m or m.group(1) != self.namespace:
            self.refused.append((method, path))
            return 403, {"kind": "Status", "message": "forbidden: " + path}
        resource, name = m.group(2), m.group(3)
        allowed = {"statefulsets": {"GET"}, "pods": {"LIST", "PATCH"}, "persistentvolumeclaims": {"LIST", "PATCH"}, "events": {"POST"}}
        verb = "LIST" if method == "GET" and not name else method
        if verb not in allowed.get(resource, ()):
            self.refused.append((method, path))
            return 403, {"kind": "Status", "message": "forbidden: %s %s" % (verb, resource)}
        with self.lock:
            if verb == "LIST":
                self.lists += resource == "pods"
                want = dict(x.split("=") for x in urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0].split(",") if x)
                return 200, {"kind": "List", "items": [o for (r, _), o in sorted(self.objects.items()) if r == resource and
                                                       want.items() <= o["metadata"].get("labels", {}).items()]}
            if verb == "POST":
                o = json.loads(body)
                self.objects[resource, o["metadata"]["name"]] = o
                return 201, o
            o = self.objects.get((resource, name))
            if o is None:
                return 404, {"kind": "Status", "message": "%s \"%s\" not found" % (resource, name)}
            if verb == "PATCH":
                patch = json.loads(body)
                uid = patch.get("metadata", {}).get("uid", o["metadata"]["uid"])
                mine = "annotations" in patch.get("metadata", {}) and resource == "pods"
                if uid != o["metadata"]["uid"] or (mine and self.conflicts):
                    self.conflicts -= mine and self.conflicts > 0
                    return 409, {"kind": "Status", "message": "Precondition failed: UID in precondition: %s, UID in object meta: %s" %
                                 (uid, o["metadata"]["uid"])}
                strategic = headers["content-type"] == "application/strategic-merge-patch+json"
                (merge_strategic if strategic else merge)(o, patch)
            return 200, o

    def put(self, resource, name, **fields):
        with self.lock:
            o = {"metadata": {"name": name, "uid": str(uuid.uuid4()), "labels": {"app.kubernetes.io/name": "r"}}}
            merge(o, fields)
            self.objects[resource, name] = o
            return o

    def get(self, resource, name):
        with self.lock:
            return json.loads(json.dumps(self.objects.get((resource, name))))

    def patch(self, resource, name, patch):
        with self.lock:
            merge(self.objects[resource, name], patch)

    def delete(self, resource, name):
        with self.lock:
            self.objects.pop((resource, name), None)

    def notes(self, resource, name):
        o = self.get(resource, name)
        return (o or {}).get("metadata", {}).get("annotations", {})

    def events(self):
        with self.lock:
            return [o for (r, _), o in self.objects.items() if r == "events"]
