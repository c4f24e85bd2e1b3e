"""A collector of traces: keeps what servers send, decoded by proto/otlp.proto.

    with Collector() as c:                      c.address: "127.0.0.1:port"
        batches = c.wait(lambda spans: ...)     [(resource, schema, scope, version, scope schema, span)] once the predicate holds
    Collector(refuse=grpc.StatusCode.UNAVAILABLE)       answers all with that"""
import concurrent.futures
import threading
import time

import grpc

import etcdproc
from etcdapi import otlp


def value(v):
    return getattr(v, v.WhichOneof("value")) if v.WhichOneof("value") else None


def attributes(list_):
    return {a.key: value(a.value) for a in list_}


class Row:
    """One span with what it came in."""

    def __init__(self, rs, ss, span):
        self.resource, self.resource_schema = attributes(rs.resource.attributes), rs.schema_url
        self.scope, self.version, self.schema = ss.scope.name, ss.scope.version, ss.schema_url
        self.span, self.attributes = span, attributes(span.attributes)


class Collector(grpc.GenericRpcHandler):
    PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    def __init__(self, port=None, refuse=None):
        self.refuse, self.rows, self.calls, self.metadata = refuse, [], 0, []
        self._lock = threading.Lock()
        self.address = "127.0.0.1:%d" % (port or etcdproc.free_port())
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[self], options=[("grpc.so_reuseport", 0)])
        if not self._server.add_insecure_port(self.address):
            raise OSError("port of " + self.address)

    def service(self, details):
        if details.method != self.PATH:
            return None
        with self._lock:
            self.metadata.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self._export, otlp.ExportTraceServiceRequest.FromString,
                                                   otlp.ExportTraceServiceResponse.SerializeToString)

    def _export(self, request, context):
        with self._lock:
            self.calls += 1
            refuse = self.refuse
        if refuse:
            context.abort(refuse, "not now")
        with self._lock:
            for rs in request.resource_spans:
                for ss in rs.scope_spans:
                    self.rows += [Row(rs, ss, s) for s in ss.spans]
        return otlp.ExportTraceServiceResponse()

    def wait(self, enough, seconds=30):
        """The rows, once enough(rows), or after that time."""
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                rows = list(self.rows)
            if enough(rows) or time.monotonic() > end:
                return rows
            time.sleep(0.05)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *exc):
        self._server.stop(None)
