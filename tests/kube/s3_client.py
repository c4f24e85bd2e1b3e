"""Signature Version 4 as the S3 API reference tells it, written apart from the agent's, and a client that signs with it."""
import datetime
import hashlib
import hmac
import http.client
import ssl
import urllib.parse


def signature(method, path, query, headers, names, payload_sha256, region, secret):
    """headers: of names (lower case, sorted), as they are sent; path and query encoded."""
    date = headers["x-amz-date"]
    canonical = "\n".join([method, path, "&".join(sorted(query.split("&"))) if query else "",
                           "".join("%s:%s\n" % (n, headers[n].strip()) for n in names), ";".join(names), payload_sha256])
    scope = "/".join([date[:8], region, "s3", "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Client:
    def __init__(self, url, key, secret, region, ca_file=None):
        self.url, self.key, self.secret, self.region = urllib.parse.urlsplit(url), key, secret, region
        self.context = ssl.create_default_context(cafile=ca_file) if self.url.scheme == "https" else None

    def __call__(self, method, path, query="", body=b""):
        """(status, headers, body); path as it is meant, not encoded."""
        path = urllib.parse.quote(path, safe="/-._~")
        headers = {"host": self.url.netloc, "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
                   "x-amz-date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")}
        names = sorted(headers)
        headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s/%s/s3/aws4_request,SignedHeaders=%s,Signature=%s" % (
            self.key, headers["x-amz-date"][:8], self.region, ";".join(names),
            signature(method, path, query, headers, names, headers["x-amz-content-sha256"], self.region, self.secret))
        args = dict(host=self.url.hostname, port=self.url.port, timeout=20)
        c = http.client.HTTPSConnection(context=self.context, **args) if self.context else http.client.HTTPConnection(**args)
        try:
            c.request(method, path + ("?" + query if query else ""), body, headers)
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        finally:
            c.close()
