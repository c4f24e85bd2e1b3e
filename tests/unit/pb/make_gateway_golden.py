#!/usr/bin/env python3
"""Asks the JSON gateway of a Go etcd what it makes of the bodies below; writes gateway.txt for test_json.c.

    GO_ETCD=path/to/etcd tests/unit/pb/make_gateway_golden.py > tests/unit/pb/gateway.txt

One line per request: path, body, verdict, answer, separated by tabs; bytes that are not printable ASCII, and the
backslash, as \\xHH. Verdict: ok, decode (the body was refused before the server saw it) or server (the server
refused the request). Space outside of strings, which Go adds at random per build, is removed from answers. Member
and cluster id are fixed by the advertised URL, so that a second run gives the same file."""
import base64, json, os, socket, subprocess, sys, tempfile, time, urllib.error, urllib.request



def nested(levels):
    body = '{}'
    for _ in range(levels):
        body = '{"success":[{"requestTxn":%s}]}' % body
    return body


CASES = []


def case(path, *bodies):
    for b in bodies:
        CASES.append((path, b if isinstance(b, bytes) else b.encode()))


# the server echoes ID and TTL: integers
grant = '/v3/lease/grant'
number = 1000
for n in ['%d', '"%d"', '%d.0', '%d.000', '"%d.0"', '%de0', '%dE+00', '"%de0"', '%d00e-2', '0.%de4', '"0.%de4"',
          '%d', '"%d "', '" %d"', '"%d,"', '"%d]"', '"+%d"', '"0%d"', '0%d', '+%d', '%d.5', '"%d.5"', '%de', '"%de"',
          '"%d."', '%d.', '"%dx"', '"0x%d"', '[%d]', '{"a":%d}', '"%d\\u00a0"', '"\\u0031%d"']:
    number += 1
    case(grant, '{"ID":%s,"TTL":"100"}' % (n % number))
case(grant, '{"ID":9223372036854775807,"TTL":1}', '{"ID":"9223372036854775806","TTL":1}', '{"ID":9223372036854775808,"TTL":1}',
     '{"ID":-9223372036854775808,"TTL":1}', '{"ID":-9223372036854775809,"TTL":1}', '{"ID":-0,"TTL":1,"x":0}',
     '{"ID":9.223372036854775805e18,"TTL":1}', '{"ID":1e18,"TTL":1}', '{"ID":1e19,"TTL":1}', '{"ID":1e30,"TTL":1}',
     '{"ID":1e99999999999,"TTL":1}', '{"ID":0e99999999999,"TTL":1}', '{"ID":"","TTL":1}', '{"ID":"null","TTL":1}',
     '{"ID":true,"TTL":1}', '{"ID":null,"TTL":1}', '{"id":2001,"ttl":2}', '{"ID":2001,"ID":2002,"TTL":2}',
     '{"ID":2003,"TTL":2,"unknown":{"a":[1,{"b":null}],"c":"d"},"other":[[]]}', '{"ID":2004,"TTL":3,"[x]":1}',
     '{"\\u0049D":2005,"TTL":3}', '{"ID":2006,"TTL":3} trailing', '{"ID":2007,"TTL":3}{"ID":2008,"TTL":3}',
     ' \t\r\n{ "ID" : 2009 , "TTL" : 3 } ', '', ' ', 'null', '[]', '"x"', '12', '-', '{-', '{', '{"ID"', '{"ID":', '{"ID":1,}', '{,}',
     '{"ID":1 "TTL":2}', "{'ID':1}", '{"ID":1,"TTL":2]', '\ufeff{"ID":2010,"TTL":3}', '{"ID":tru}', '{"ID":nul,"TTL":1}',
     '{"ID":2011,"TTL":3,"x":"\\ud800"}', '{"ID":2012,"TTL":3,"x":"\\ud83d\\ude00"}', '{"ID":2013,"TTL":3,"x":"\\x"}',
     b'{"ID":2014,"TTL":3,"x":"\xff"}', b'{"ID":2015,"TTL":3,"x":"\x01"}', '{"ID":2016,"TTL":3,"x":"\x7f"}',
     '{"ID":2017,"TTL":3,"x":' + '[' * 200 + ']' * 200 + '}')
# a txn that puts and reads: bytes, oneofs, enums by name
txn = '/v3/kv/txn'
for v in ['YQ==', 'YQ', 'YWI=', 'YWI', 'YWJj', '++//', '--__', '+-==', '-+8=', 'YQ=', 'Y', 'Y===', '====', '=', 'YR==',
          'YQ==\\n', 'YW\\nJj', 'Y\\nW\\nJ\\nj', 'YQ\\r\\n', 'Y Q', 'YQ==YQ==', 'YQ=a', 'YWJjZA', '\\u0059Q==', 'A\\/8=',
          '_-8', '_w==', 'AA==', '', 'YWJj\\u003d']:
    case(txn, '{"success":[{"requestPut":{"key":"aw==","value":"%s"}},{"request_range":{"key":"aw=="}}]}' % v)
case(txn, '{"compare":[{"key":"aw==","target":"VERSION","result":"GREATER","version":"0"}],'
     '"success":[{"requestRange":{"key":"aw=="}},{"requestPut":{"key":"bA==","value":"eA==","prevKv":true}}],'
     '"failure":[{"requestDeleteRange":{"key":"aw=="}}]}',
     '{"compare":[{"key":"bnVsbA==","target":3,"result":0,"value":""}],"failure":[{"requestDeleteRange":{"key":"bA==","prev_kv":true}}]}',
     '{"success":[{"requestTxn":{"success":[{"requestRange":{"key":"aw==","countOnly":true}}]}}]}',
     '{"success":[{"requestPut":{"key":"aw=="},"requestRange":{"key":"aw=="}}]}',
     '{"success":[{"requestPut":null,"requestRange":{"key":"aw=="}}]}', '{"success":[{"requestPut":null}]}',
     '{"success":[null]}', '{"success":null}', '{"success":{}}', '{"success":[]}', '{"success":[{}]}',
     '{"compare":[{"key":"aw==","version":1,"mod_revision":2}]}',
     '{"compare":[{"key":"aw==","version":1,"modRevision":null}]}', '{"success":[{"requestRange":{"key":["aw=="]}}]}',
     nested(3), nested(100), nested(128))
# enums, bools, names of fields
rng = '/v3/kv/range'
case('/v3/kv/put', '{"key":"YQ==","value":"AQID"}', '{"key":"Yg==","value":"eA==","lease":"1001"}',
     '{"key":"YQ==","value":"","prev_kv":true}', '{"key":"YQ==","prevKv":true,"ignoreValue":false}',
     '{"key":"YQ==","prev_kv":true,"prevKv":true}', '{"key":"YQ==","prev_kv":"true"}', '{"key":"YQ==","prev_kv":1}',
     '{"key":"YQ==","prev_kv":null}', '{"KEY":"YQ=="}')
case(rng, '{"key":"YQ==","range_end":"eg=="}', '{"key":"YQ==","rangeEnd":"eg==","sortOrder":"DESCEND","sort_target":"KEY"}',
     '{"key":"YQ==","sort_order":2,"sort_target":0}', '{"key":"YQ==","sort_order":"2"}', '{"key":"YQ==","sort_order":"descend"}',
     '{"key":"YQ==","sort_order":"SIDEWAYS"}', '{"key":"YQ==","sort_order":77}', '{"key":"YQ==","sort_order":-1}',
     '{"key":"YQ==","sort_order":2147483648}', '{"key":"YQ==","sort_order":1.0}', '{"key":"YQ==","sort_order":true}',
     '{"key":"YQ==","sort_order":""}', '{"key":"YQ==","keys_only":true}', '{"key":"YQ==","count_only":true,"limit":"0"}',
     '{"key":"YQ==","serializable":false}', '{"key":"YQ==","limit":{}}', '{"key":"YQ==","revision":"1"}',
     '{"key":5}', '{"key":true}', '{"key":{}}', '{"key":null}', '{"key_":"YQ=="}', '{"_key":"YQ=="}', '{"Key":"YQ=="}',
     '{"key":"YQ==","max_mod_revision":"9007199254740993","minCreateRevision":"0"}', '{"key":"YQ==","maxModRevision":0}')
# strings, nested empty messages, lists of strings, camelCase names, uint32
case('/v3/auth/role/add', '{"name":"plain"}', '{"name":"\\u00e9\\ud83d\\ude00<>&\\u2028"}', '{"name":"q\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\x7f"}',
     '{"name":"\\ud83d"}', '{"name":"\\ud83dx"}', '{"name":"\\ude00\\ud83d"}', b'{"name":"\xc3"}', '{"name":5}', '{"name":""}',
     '{"name":"\u20ac"}')
case('/v3/auth/role/list', '{}', '')
case('/v3/auth/role/grant', '{"name":"plain","perm":{"permType":"READ","key":"YQ==","range_end":"eg=="}}',
     '{"name":"plain","perm":{"perm_type":"WRITE","key":"Yg=="}}', '{"name":"plain","perm":{"permType":2,"key":"Yw==","rangeEnd":"AA=="}}',
     '{"name":"plain","perm":{}}', '{"name":"plain"}')
case('/v3/auth/role/get', '{"role":"plain"}')
case('/v3/auth/user/add', '{"name":"u","password":"p","options":{}}', '{"name":"v","options":{"noPassword":true}}')
case('/v3/auth/user/grant', '{"user":"u","role":"plain"}')
case('/v3/auth/user/get', '{"name":"u"}')
case('/v3/auth/user/list', '{}')
case('/v3/auth/status', '{}')
case('/v3/lease/timetolive', '{"ID":1001,"keys":true}', '{"ID":"999"}')
case('/v3/lease/revoke', '{"ID":1001}')
case('/v3/kv/lease/revoke', '{"ID":1002}', '{"ID":1002}')
case('/v3/cluster/member/list', '{"linearizable":true}', '{}')
case('/v3/maintenance/alarm', '{"action":"GET"}', '{"action":"ACTIVATE","memberID":"1","alarm":"CORRUPT"}', '{}',
     '{"action":"DEACTIVATE","memberId":1,"alarm":"CORRUPT"}', '{"action":"DEACTIVATE","memberID":1,"alarm":"CORRUPT"}',
     '{"action":"ACTIVATE","memberID":"18446744073709551615","alarm":"NOSPACE"}', '{"action":0}',
     '{"action":"DEACTIVATE","memberID":18446744073709551615,"alarm":1}',
     '{"action":"GET","memberID":18446744073709551616}', '{"action":"GET","memberID":-1}', '{"action":"GET","memberID":-0}')
case('/v3/maintenance/hashkv', '{}', '{"revision":"3"}')
case('/v3/maintenance/defragment', '{}')
case('/v3/maintenance/downgrade', '{"action":"VALIDATE","version":"3.6"}', '{"action":"CANCEL"}', '{"action":"VALIDATE","version":""}')
case('/v3/kv/compaction', '{"revision":"3","physical":true}', '{"revision":3}')
case('/v3/lock/lock', '{"name":"bG9jaw==","lease":"2003"}')
case('/v3/election/campaign', '{"name":"ZQ==","lease":2004,"value":"dg=="}')
case('/v3/election/leader', '{"name":"ZQ=="}')
case('/v3/election/resign', '{"leader":{"name":"ZQ==","key":"ZS83ZDQ=","rev":"1","lease":"2004"}}', '{}')


def escape(raw):
    return ''.join(chr(c) if 0x20 <= c < 0x7f and c != 0x5c else '\\x%02x' % c for c in raw)


def without_space(raw):
    out, quoted, skip = bytearray(), False, False
    for c in raw:
        if not quoted and c == 0x20:
            continue
        if c == 0x22 and not skip:
            quoted = not quoted
        skip = quoted and c == 0x5c and not skip
        out.append(c)
    return bytes(out)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def ask(url, body):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method='POST'), timeout=10) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def verdict(status, answer):
    if status == 200:
        return 'ok'
    message = json.loads(answer)['message'].replace('\u00a0', ' ')
    return 'decode' if message.startswith(('proto:', 'invalid character', 'unexpected EOF')) else 'server'


def main():
    client, peer = free_port(), free_port()
    base = 'http://127.0.0.1:%d' % client
    with tempfile.TemporaryDirectory() as d:
        etcd = subprocess.Popen(
            [os.environ['GO_ETCD'], '--name=golden', '--data-dir=' + d, '--listen-client-urls=' + base,
             '--advertise-client-urls=http://127.0.0.1:2379', '--listen-peer-urls=http://127.0.0.1:%d' % peer,
             '--initial-advertise-peer-urls=http://127.0.0.1:2380', '--initial-cluster=golden=http://127.0.0.1:2380'],
            stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(base + '/health', timeout=1)
                    break
                except OSError:
                    time.sleep(0.1)
            for path, body in CASES:
                status, answer = ask(base + path, body)
                print(path, escape(body), verdict(status, answer), escape(without_space(answer)), sep='\t')
        finally:
            etcd.terminate()
            etcd.wait()


main()
