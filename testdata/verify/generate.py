#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of this directory.

A vector is a file of `key: value` lines, an empty line, and a request as it
was received: the request line, the header, an empty line and the body, to the
last byte. Lines end in LF.

    scheme     standard, hmac, public_key, token, bearer, basic or none
    config     how the scheme is configured, in JSON
    now        when the request is verified, in seconds since 1970
    expect     ok, missing, malformed, mismatch or expired
    check      the same, for the header alone
    covered    the parts of the request of which no bit may change: header
               names, body, method, uri, and json: with a path into the body
    id, timestamp, content
               the claims, if expect is ok; timestamp in milliseconds
    why        what the vector shows

The signatures come from Python and OpenSSL, and the content hashes from here,
so that nothing is checked against itself. It needs openssl on the path.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
NOW = 1700000000
KEY = b"a key of thirty-two bytes, or so"
OTHER = b"another key, from before the day"
BODY = b'{"id": "evt_1",\t"text": "caf\xc3\xa9"}\n'


def b64(b):
    return base64.b64encode(b).decode()


def mac(key, message, algorithm="sha256"):
    return hmac.new(key, message, algorithm).digest()


def whsec(key):
    return {"text": "whsec_" + b64(key)}


class Ed25519:
    """A fixed key pair; openssl signs."""

    def __init__(self, seed):
        der = bytes.fromhex("302e020100300506032b657004220420") + hashlib.sha256(seed).digest()
        self.pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + b"\n-----END PRIVATE KEY-----\n"
        public = self.openssl("pkey", "-pubout", "-outform", "DER")
        self.public = public[-32:]
        self.secret = {"text": "whpk_" + b64(self.public)}

    def sign(self, message):
        with tempfile.NamedTemporaryFile() as f:
            f.write(message)
            f.flush()
            return self.openssl("pkeyutl", "-sign", "-rawin", "-in", f.name, key="-inkey")

    def openssl(self, *arguments, key="-in"):
        with tempfile.NamedTemporaryFile() as f:
            f.write(self.pem)
            f.flush()
            return subprocess.run(["openssl", *arguments, key, f.name], check=True, capture_output=True).stdout


class P256:
    """A fixed key pair. It signs by itself, because openssl signs anew each time:
    with the nonce of RFC 6979, the signature is always the same."""

    P = 2**256 - 2**224 + 2**192 + 2**96 - 1
    N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

    def __init__(self, private):
        self.private = private
        x, y = self.times(private, self.G)
        self.spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + x.to_bytes(32) + y.to_bytes(32)

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        if a == b:
            slope = 3 * (a[0] ** 2 - 1) * pow(2 * a[1], -1, self.P)
        elif a[0] == b[0]:
            return None
        else:
            slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.P)
        x = (slope**2 - a[0] - b[0]) % self.P
        return x, (slope * (a[0] - x) - a[1]) % self.P

    def times(self, n, point):
        total = None
        for bit in bin(n)[2:]:
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, point)
        return total

    def numbers(self, message):
        digest = hashlib.sha256(message).digest()
        z = int.from_bytes(digest)
        seed = self.private.to_bytes(32) + (z % self.N).to_bytes(32)
        v, k = b"\1" * 32, bytes(32)
        for step in (b"\0", b"\1"):
            k = mac(k, v + step + seed)
            v = mac(k, v)
        nonce = int.from_bytes(mac(k, v))  # beyond N once in 2**32
        r = self.times(nonce, self.G)[0] % self.N
        return r, (z + r * self.private) * pow(nonce, -1, self.N) % self.N

    def der(self, *numbers):
        text = b""
        for n in numbers:
            b = n.to_bytes(n.bit_length() // 8 + 1)
            text += bytes([2, len(b)]) + b
        return bytes([0x30, len(text)]) + text

    def padded(self, r, s):
        """The same with a zero before s: BER, but not DER."""
        text = self.der(r, s)
        at = 4 + text[3]
        return bytes([0x30, text[1] + 1]) + text[2:at] + bytes([2, text[at + 1] + 1, 0]) + text[at + 2:]

    def sign(self, message):
        return self.der(*self.numbers(message))

    def sign_high(self, message):
        """The other right signature, of which s is the negative."""
        r, s = self.numbers(message)
        return self.der(r, self.N - s)


# RFC 6979, A.2.5.
assert P256(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721).numbers(b"sample") == (
    0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8)


def content(form, *parts):
    h = hashlib.sha256()
    for part in (form.encode(), *parts):
        h.update(struct.pack(">Q", len(part)) + part)
    return h.hexdigest()


def write(name, why, scheme, config, header, body=BODY, method="POST", uri="/hooks?from=here", now=NOW,
          expect="ok", check=None, covered="", claims=None):
    lines = [("why", why), ("scheme", scheme), ("config", json.dumps(config, ensure_ascii=False)), ("now", now),
             ("expect", expect), ("check", check or ("ok" if expect in ("mismatch", "expired") else expect))]
    if covered:
        lines.append(("covered", covered))
    lines += (claims or {}).items()
    head = f"{method} {uri} HTTP/1.1\nHost: hooks.example.com:8443\n"
    head += "".join(f"{k}: {v}\n" for k, v in header)
    text = "".join(f"{k}: {v}\n" for k, v in lines) + "\n" + head + "\n"
    (HERE / (name + ".txt")).write_bytes(text.encode() + body)


# --- Standard Webhooks -----------------------------------------------------

ID = "msg_2XqV8F"


def standard(name, why, secrets=None, signatures=None, family="webhook", id=ID, ts=str(NOW), body=BODY,
             extra=(), drop=(), covered=True, config=None, **more):
    """Signatures are functions of the signed text, or texts."""
    text = f"{id}.{ts}.".encode() + body
    signatures = signatures or [lambda m: "v1," + b64(mac(KEY, m))]
    listed = more.pop("separator", " ").join(s if isinstance(s, str) else s(text) for s in signatures)
    header = [(f"{family}-{k}", v) for k, v in (("id", id), ("timestamp", ts), ("signature", listed)) if k not in drop]
    ok = more.get("expect", "ok") == "ok"
    write(name, why, "standard", {"secrets": secrets or [whsec(KEY)], **(config or {})}, header + list(extra), body=body,
          covered=f"{family}-id {family}-timestamp body" if ok and covered else "",
          claims={"id": id, "timestamp": int(ts) * 1000, "content": content("standard", id.encode(), body)} if ok else None,
          **more)


def v1(key):
    return lambda m: "v1," + b64(mac(key, m))


PAIR, OTHER_PAIR = Ed25519(b"one"), Ed25519(b"two")


def v1a(pair):
    return lambda m: "v1a," + b64(pair.sign(m))


standard("standard-v1", "the plain case")
standard("standard-svix", "the same under Svix's names", family="svix")
standard("standard-empty-body", "a body may be empty", body=b"")
standard("standard-binary-body", "a body is bytes, not text", body=bytes(range(256)))
standard("standard-v1a", "ed25519", secrets=[PAIR.secret], signatures=[v1a(PAIR)])
standard("standard-v1-and-v1a-symmetric", "both versions, and only the secret is known",
         signatures=[v1a(PAIR), v1(KEY)])
standard("standard-v1-and-v1a-public", "both versions, and only the public key is known",
         secrets=[PAIR.secret], signatures=[v1(KEY), v1a(PAIR)])
standard("standard-mixed-secrets", "a secret and a public key; the public key it is",
         secrets=[whsec(OTHER), PAIR.secret], signatures=[v1(KEY), v1a(PAIR)])
standard("standard-rotated-secret", "the last of two secrets signed", secrets=[whsec(OTHER), whsec(KEY)])
standard("standard-rotated-signature", "the last of two signatures is right", signatures=[v1(OTHER), v1(KEY)])
standard("standard-16-signatures", "as many as may be, and the last is right", signatures=[v1(OTHER)] * 15 + [v1(KEY)])
standard("standard-17-signatures", "one too many", signatures=[v1(OTHER)] * 16 + [v1(KEY)], expect="malformed")
standard("standard-undecodable-first", "what does not decode is skipped", signatures=["v1,what?", "v1", "v9,x", v1(KEY)])
standard("standard-supabase", "a secret after its version, signatures after commas and spaces",
         secrets=[{"text": "v1,whsec_" + b64(KEY)}], signatures=[v1(OTHER), v1(KEY)], separator=", ")
standard("standard-supabase-first", "the first is right, and a comma follows it", signatures=[v1(KEY), v1(OTHER)], separator=", ")
standard("standard-polar", "the key is the text", secrets=[{"text": "polar_whs_example", "encoding": "raw"}],
         signatures=[v1(b"polar_whs_example")])
standard("standard-secret-without-prefix", "base64 alone", secrets=[{"text": b64(KEY)}])
standard("standard-secret-unpadded", "base64 without its padding", secrets=[{"text": "whsec_" + b64(KEY).rstrip("=")}])
standard("standard-unpadded-signature", "a signature without its padding", signatures=[lambda m: v1(KEY)(m).rstrip("=")])
standard("standard-at-tolerance", "exactly 5 minutes old", now=NOW + 300)
standard("standard-at-tolerance-ahead", "exactly 5 minutes ahead", now=NOW - 300)
standard("standard-expired", "a second more", now=NOW + 301, expect="expired")
standard("standard-expired-ahead", "a second more ahead", now=NOW - 301, expect="expired")
standard("standard-tolerance", "a window of its own", config={"tolerance": 10**10}, now=NOW + 11, expect="expired")
standard("standard-old-forgery", "expired means genuine but old", signatures=[v1(OTHER)], now=NOW + 301, expect="mismatch")
standard("standard-wrong-secret", "another secret", secrets=[whsec(OTHER)], expect="mismatch")
standard("standard-truncated", "the first half of the MAC", signatures=[lambda m: "v1," + b64(mac(KEY, m)[:16])], expect="malformed")
standard("standard-extended", "the MAC and a byte", signatures=[lambda m: "v1," + b64(mac(KEY, m) + b"\0")], expect="malformed")
standard("standard-unknown-version", "the right MAC under v2", signatures=[lambda m: "v2," + b64(mac(KEY, m))], expect="malformed")
standard("standard-v1-labelled-v1a", "a MAC keyed with the public key", secrets=[PAIR.secret],
         signatures=[lambda m: "v1," + b64(mac(base64.b64decode(PAIR.secret["text"][5:]), m))], expect="malformed")
standard("standard-v1a-labelled-v1", "an ed25519 signature called v1", secrets=[PAIR.secret],
         signatures=[lambda m: "v1," + b64(PAIR.sign(m))], expect="malformed")
standard("standard-v1a-wrong-pair", "somebody else's key pair", secrets=[PAIR.secret], signatures=[v1a(OTHER_PAIR)], expect="mismatch")
standard("standard-url-alphabet", "the URL alphabet of base64 is another", body=b"3",
         signatures=[lambda m: "v1," + base64.urlsafe_b64encode(mac(KEY, m)).decode()], expect="malformed")
for part in ("id", "timestamp", "signature"):
    standard(f"standard-no-{part}", "a part of the family is missing", drop=[part], expect="missing")
    value = {"id": ID, "timestamp": NOW, "signature": "v1,AAAA"}[part]
    standard(f"standard-{part}-twice", "which of them would count?", extra=[(f"webhook-{part}", value)], expect="malformed")
standard("standard-parts-of-two-families", "parts of one family never complete the other", drop=["id"],
         extra=[("svix-id", ID)], expect="missing")
standard("standard-extra-id", "the id is that of the family that verified", family="svix", extra=[("webhook-id", "msg_attacker")])
standard("standard-two-families", "both complete, and the second is right", family="webhook",
         extra=[("svix-id", "msg_x"), ("svix-timestamp", NOW), ("svix-signature", "v1," + b64(bytes(32)))])
standard("standard-other-family-twice", "a duplicate in a family that would not have counted", family="svix",
         extra=[("webhook-id", "a"), ("webhook-id", "b")], expect="malformed")
standard("standard-dot-in-id", "the signed text could be cut elsewhere", id="msg.1", expect="malformed")
standard("standard-space-in-id", "an id is printable and has no space", id="msg 1", expect="malformed")
standard("standard-long-id", "257 bytes", id="m" * 257, expect="malformed")
standard("standard-longest-id", "256 bytes", id="m" * 256)
for spelling, ts in {"plus": f"+{NOW}", "zero": f"0{NOW}", "float": f"{NOW}.0", "hex": hex(NOW), "minus": f"-{NOW}",
                     "milliseconds": f"{NOW}000", "overflow": "9223372036854775808", "word": "now"}.items():
    standard(f"standard-timestamp-{spelling}", "a time has one spelling", ts=ts, expect="malformed")

# --- HMAC ------------------------------------------------------------------


def keyed(key=KEY, algorithm="sha256", form="hex"):
    def sign(message):
        m = mac(key, message, algorithm)
        return m.hex() if form == "hex" else b64(m)
    return sign


def signed_with(name, why, config, header, signed=BODY, covered="", parts=(BODY,), id="", ts=0, sign=keyed(),
                scheme="hmac", body=BODY, **more):
    """In header values and in the body, @ is the signature."""
    if scheme == "hmac":
        config = {"secrets": [{"text": KEY.decode()}], **config}
    ok = more.get("expect", "ok") == "ok"
    claims = {}
    if ok:
        claims = {"content": content("signed parts", *parts)}
        if id:
            claims["id"] = id
        if ts:
            claims["timestamp"] = ts
    write(name, why, scheme, config, [(k, str(v).replace("@", sign(signed))) for k, v in header],
          body=body.replace(b"@", sign(signed).encode()), covered=covered if ok else "", claims=claims, **more)


GITHUB = {"signature": {"headers": ["X-Hub-Signature-256"], "prefix": "sha256="}}
signed_with("hmac-github", "a prefix and hex", GITHUB, [("X-Hub-Signature-256", "sha256=@")], covered="X-Hub-Signature-256 body")
signed_with("hmac-github-upper-case", "hex in capitals is the same signature", GITHUB, [("X-Hub-Signature-256", "sha256=@")],
            covered="body", sign=lambda m: keyed()(m).upper())
signed_with("hmac-github-no-prefix", "the prefix has to be there", GITHUB, [("X-Hub-Signature-256", "@")], expect="malformed")
signed_with("hmac-github-sha1-prefix", "the algorithm is the configured one", GITHUB, [("X-Hub-Signature-256", "sha1=@")],
            sign=keyed(algorithm="sha1"), expect="malformed")
signed_with("hmac-github-sha1-in-disguise", "a shorter MAC of the right form", GITHUB, [("X-Hub-Signature-256", "sha256=@")],
            sign=keyed(algorithm="sha1"), expect="malformed")
signed_with("hmac-github-truncated", "half of the MAC", GITHUB, [("X-Hub-Signature-256", "sha256=@")],
            sign=lambda m: keyed()(m)[:32], expect="malformed")
signed_with("hmac-github-wrong-secret", "another secret", GITHUB, [("X-Hub-Signature-256", "sha256=@")],
            sign=keyed(OTHER), expect="mismatch")
signed_with("hmac-github-missing", "no signature", GITHUB, [], expect="missing")
signed_with("hmac-github-empty", "an empty signature", GITHUB, [("X-Hub-Signature-256", "")], expect="missing")
signed_with("hmac-github-twice", "the header twice", GITHUB, [("X-Hub-Signature-256", "sha256=@")] * 2, expect="malformed")
signed_with("hmac-rotated-secret", "the last of two secrets signed",
            {**GITHUB, "secrets": [{"text": OTHER.decode()}, {"text": KEY.decode()}]}, [("X-Hub-Signature-256", "sha256=@")], covered="body")
for algorithm in ("sha1", "sha384", "sha512"):
    signed_with(f"hmac-{algorithm}", "another algorithm", {"algorithm": algorithm, "signature": {"headers": ["X-Signature"]}},
                [("x-signature", "@")], sign=keyed(algorithm=algorithm), covered="X-Signature body")
for encoding, text in {"base64": b64(KEY), "hex": KEY.hex(), "whsec": "whsec_" + b64(KEY)}.items():
    signed_with(f"hmac-secret-{encoding}", "a secret that has to be decoded",
                {**GITHUB, "secrets": [{"text": text, "encoding": encoding}]}, [("X-Hub-Signature-256", "sha256=@")], covered="body")

SHOPIFY = {"signature": {"headers": ["X-Shopify-Hmac-Sha256", "Shopify-Hmac-Sha256"], "encoding": "base64"}}
BASE64 = keyed(form="base64")
signed_with("hmac-shopify", "base64", SHOPIFY, [("X-Shopify-Hmac-Sha256", "@")], sign=BASE64, covered="X-Shopify-Hmac-Sha256 body")
signed_with("hmac-shopify-new-name", "the other name", SHOPIFY, [("Shopify-Hmac-Sha256", "@")], sign=BASE64, covered="body")
signed_with("hmac-shopify-both-names", "both, and the second is right", SHOPIFY,
            [("X-Shopify-Hmac-Sha256", b64(bytes(32))), ("Shopify-Hmac-Sha256", "@")], sign=BASE64, covered="body")
signed_with("hmac-shopify-first-malformed", "both, and the first is no signature", SHOPIFY,
            [("X-Shopify-Hmac-Sha256", "?"), ("Shopify-Hmac-Sha256", "@")], sign=BASE64, covered="body")
signed_with("hmac-shopify-name-twice", "one of the two names is there twice", SHOPIFY,
            [("X-Shopify-Hmac-Sha256", "@"), ("Shopify-Hmac-Sha256", "@"), ("Shopify-Hmac-Sha256", "@")], sign=BASE64, expect="malformed")

SLACK = {"signature": {"headers": ["X-Slack-Signature"], "prefix": "v0="}, "signed": "v0:{timestamp}:{body}",
         "timestamp": {"header": "X-Slack-Request-Timestamp"}}


def slack(name, why, ts=str(NOW), **more):
    signed_with(name, why, SLACK, [("X-Slack-Request-Timestamp", ts), ("X-Slack-Signature", "v0=@")],
                signed=f"v0:{ts}:".encode() + BODY, covered="X-Slack-Request-Timestamp X-Slack-Signature body",
                ts=NOW * 1000, **more)


slack("hmac-slack", "the timestamp in a header")
slack("hmac-slack-at-tolerance", "exactly 5 minutes", now=NOW + 300)
slack("hmac-slack-expired", "a second more", now=NOW + 301, expect="expired")
slack("hmac-slack-expired-ahead", "a second more ahead", now=NOW - 301, expect="expired")
slack("hmac-slack-forged-and-old", "expired means genuine but old", now=NOW + 301, sign=keyed(OTHER), expect="mismatch")
slack("hmac-slack-leading-zero", "a time has one spelling", ts=f"0{NOW}", expect="malformed")
signed_with("hmac-slack-no-timestamp", "the timestamp is missing", SLACK, [("X-Slack-Signature", "v0=@")],
            signed=b"v0::" + BODY, expect="missing")
signed_with("hmac-slack-timestamp-twice", "the timestamp twice", SLACK,
            [("X-Slack-Request-Timestamp", NOW)] * 2 + [("X-Slack-Signature", "v0=@")], signed=f"v0:{NOW}:".encode() + BODY, expect="malformed")

STRIPE = {"signature": {"headers": ["Stripe-Signature"], "key": "v1"}, "signed": "{timestamp}.{body}", "timestamp": {"key": "t"}}


def stripe(name, why, value, **more):
    signed_with(name, why, STRIPE, [("Stripe-Signature", value)], signed=f"{NOW}.".encode() + BODY, ts=NOW * 1000,
                covered="body", **more)


stripe("hmac-stripe", "the timestamp beside the signature", f"t={NOW},v1=@")
stripe("hmac-stripe-spaces", "pieces are trimmed", f"t={NOW}, v1=@")
stripe("hmac-stripe-order", "in any order", f"v1=@,t={NOW}")
stripe("hmac-stripe-last-of-many", "the last of several, some of them unreadable", f"t={NOW},v1={'0' * 64},v1=bad,v0={'0' * 64},v1=@")
stripe("hmac-stripe-17", "too many signatures", f"t={NOW}," + f"v1={'0' * 64}," * 16 + "v1=@", expect="malformed")
stripe("hmac-stripe-v0", "the right MAC under another key", f"t={NOW},v0=@", expect="malformed")
stripe("hmac-stripe-two-times", "the timestamp twice", f"t={NOW},t={NOW},v1=@", expect="malformed")
stripe("hmac-stripe-no-time", "no timestamp", "v1=@", expect="missing")
stripe("hmac-stripe-other-time", "a fresher timestamp than the signed one", f"t={NOW + 1},v1=@", expect="mismatch")

signed_with("hmac-paddle", "another separator", {
    "signature": {"headers": ["Paddle-Signature"], "key": "h1", "split": ";"}, "signed": "{timestamp}:{body}",
    "timestamp": {"key": "ts"}}, [("Paddle-Signature", f"ts={NOW};h1=@")], signed=f"{NOW}:".encode() + BODY, covered="body", ts=NOW * 1000)
signed_with("hmac-workos", "milliseconds", {
    "signature": {"headers": ["WorkOS-Signature"], "key": "v1"}, "signed": "{timestamp}.{body}",
    "timestamp": {"key": "t", "unit": "ms"}}, [("WorkOS-Signature", f"t={NOW}001, v1=@")],
    signed=f"{NOW}001.".encode() + BODY, covered="body", ts=NOW * 1000 + 1)
signed_with("hmac-split-without-key", "a list without keys", {
    "signature": {"headers": ["X-Signature"], "split": " "}}, [("X-Signature", f"{'0' * 64} @")], covered="body")
signed_with("hmac-split-with-prefix", "a list with prefixes", {
    "signature": {"headers": ["X-Signature"], "split": ",", "prefix": "sha256="}},
    [("X-Signature", f"sha256={'0' * 64}, sha256=@")], covered="body")

LINEAR = {"signature": {"headers": ["Linear-Signature"]}, "timestamp": {"json": "webhookTimestamp", "unit": "ms"}, "tolerance": 60 * 10**9}


def linear(name, why, body, **more):
    signed_with(name, why, LINEAR, [("Linear-Signature", "@")], signed=body, body=body, parts=(body,), ts=NOW * 1000, **more)


linear("hmac-linear", "the timestamp in the body", f'{{"action": "create", "webhookTimestamp": {NOW}000}}'.encode(), covered="Linear-Signature body")
linear("hmac-linear-expired", "60 seconds and a bit", f'{{"webhookTimestamp": {NOW}000}}'.encode(), now=NOW + 61, expect="expired")
linear("hmac-linear-no-timestamp", "genuine, but without a timestamp", b'{"webhookTimestamp": null}', expect="missing", check="ok")
linear("hmac-linear-two-timestamps", "genuine, but ambiguous", f'{{"webhookTimestamp": 1, "webhookTimestamp": {NOW}000}}'.encode(), expect="malformed", check="ok")
linear("hmac-linear-exponent", "a time has one spelling", b'{"webhookTimestamp": 17e11}', expect="malformed", check="ok")
linear("hmac-linear-not-json", "genuine, but no JSON", b"webhookTimestamp", expect="malformed", check="ok")

URL = "{http.request.scheme}://{http.request.hostport}{http.request.uri}"
WHERE = (b"https", b"hooks.example.com:8443", b"/hooks?from=here")
TO = b"https://hooks.example.com:8443/hooks?from=here"
signed_with("hmac-hubspot-v3", "method, URL, body and time", {
    "signature": {"headers": ["X-HubSpot-Signature-v3"], "encoding": "base64"},
    "signed": "{http.request.method}" + URL + "{body}{timestamp}", "timestamp": {"header": "X-HubSpot-Request-Timestamp", "unit": "ms"}},
    [("X-HubSpot-Signature-v3", "@"), ("X-HubSpot-Request-Timestamp", f"{NOW}000")], signed=b"POST" + TO + BODY + f"{NOW}000".encode(),
    parts=(b"POST" + WHERE[0], b"".join(WHERE[1:]) + BODY), sign=BASE64, ts=NOW * 1000, covered="method uri body X-HubSpot-Signature-v3 X-HubSpot-Request-Timestamp")
signed_with("hmac-square", "URL and body", {
    "signature": {"headers": ["X-Square-HmacSha256-Signature"], "encoding": "base64"}, "signed": URL + "{body}"},
    [("X-Square-HmacSha256-Signature", "@")], signed=TO + BODY, parts=(WHERE[0], b"".join(WHERE[1:]) + BODY), sign=BASE64, covered="uri body")
signed_with("hmac-missing-placeholder", "what is not there is not signed as if it were empty", {
    "signature": {"headers": ["X-Signature"]}, "signed": "{http.request.tls.server_name}{body}"}, [("X-Signature", "@")],
    expect="missing", check="ok")
SIGNED_HEADER = {"signature": {"headers": ["X-Signature"]}, "signed": "{http.request.header.X-Topic}\n{body}"}
TOPIC = (b"orders", BODY)
signed_with("hmac-signed-header", "another header is signed", SIGNED_HEADER,
            [("x-topic", "orders"), ("X-Signature", "@")],
            signed=b"orders\n" + BODY, parts=TOPIC, covered="X-Topic body")
signed_with("hmac-signed-header-twice", "two values are not one", SIGNED_HEADER, [("X-Topic", "orders"), ("X-Topic", ""), ("X-Signature", "@")],
            signed=b"orders,\n" + BODY, expect="malformed", check="ok")
signed_with("hmac-signed-header-missing", "none is not an empty one", SIGNED_HEADER, [("X-Signature", "@")],
            signed=b"\n" + BODY, expect="missing", check="ok")

WITH_ID = {"signature": {"headers": ["X-Signature"]}, "signed": "{id}.{timestamp}.{body}", "id": {"header": "X-Id"},
           "timestamp": {"header": "X-Time", "unit": "rfc3339"}}


def with_id(name, why, id=ID, ts="2023-11-14T22:13:20Z", **more):
    signed_with(name, why, WITH_ID, [("X-Id", id), ("X-Time", ts), ("X-Signature", "@")], signed=f"{id}.{ts}.".encode() + BODY,
                parts=(id.encode(), BODY), id=id, ts=NOW * 1000, covered="X-Id X-Time X-Signature body", **more)


with_id("hmac-id", "an id, and a time as in RFC 3339")
with_id("hmac-id-time-zone", "a time in another zone", ts="2023-11-15T00:13:20+02:00")
with_id("hmac-id-separator", "an id that could end elsewhere", id="msg.1", expect="malformed", check="ok")
with_id("hmac-id-not-a-time", "RFC 3339 has a T", ts="2023-11-14 22:13:20Z", expect="malformed")
with_id("hmac-id-control", "an id is printable", id="caf\u00e9", expect="malformed")

# --- The URL ---------------------------------------------------------------

SQUARE = {"signature": {"headers": ["X-Square-HmacSha256-Signature"], "encoding": "base64"}, "signed": "{url}{body}"}


def square(name, why, url, config=None, **more):
    signed_with(name, why, {**SQUARE, **(config or {})}, [("X-Square-HmacSha256-Signature", "@")], signed=url + BODY,
                parts=(url + BODY,), sign=BASE64, covered="uri body", **more)


square("hmac-url", "the URL as the server sees it", TO)
square("hmac-url-public", "the URL that the sender was given", b"https://inbox.example.com/hooks?from=here", {"public_url": "https://inbox.example.com"})
square("hmac-url-public-prefix", "a proxy cut the beginning of the path off",
       b"https://inbox.example.com:444/at/hooks?from=here", {"public_url": "https://inbox.example.com:444/at/"})
square("hmac-url-public-other", "the URL that the server sees is not the one of the sender", TO,
       {"public_url": "https://inbox.example.com"}, expect="mismatch")
signed_with("hmac-url-trello", "the URL after the body", {
    "algorithm": "sha1", "signature": {"headers": ["X-Trello-Webhook"], "encoding": "base64"}, "signed": "{body}{url}"},
    [("X-Trello-Webhook", "@")], signed=BODY + TO, parts=(BODY + TO,), sign=keyed(algorithm="sha1", form="base64"),
    covered="uri body X-Trello-Webhook")

# --- In the body -----------------------------------------------------------

MAILGUN = {"signature": {"json": "signature.signature"}, "timestamp": {"json": "signature.timestamp"},
           "id": {"json": "signature.token"}, "signed": "{timestamp}{id}"}
TOKEN_ID = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"
IN_BODY = f'{{"signature": {{"timestamp": "{NOW}", "token": "{TOKEN_ID}", "signature": "@"}}, "event-data": {{}}}}'


def mailgun(name, why, body=IN_BODY, signed=f"{NOW}{TOKEN_ID}", **more):
    signed_with(name, why, MAILGUN, [], signed=signed.encode(), body=body.encode(), parts=(TOKEN_ID.encode(),),
                id=TOKEN_ID, ts=NOW * 1000, covered="json:signature.timestamp json:signature.token json:signature.signature",
                check="ok", **more)


mailgun("hmac-mailgun", "the signature in the body, of a timestamp and an id")
mailgun("hmac-mailgun-number", "a number is its digits", IN_BODY.replace(f'"{NOW}"', str(NOW)))
mailgun("hmac-mailgun-other-data", "the rest of the body is anyone's", IN_BODY.replace("{}}", '{"id": "forged"}}'))
mailgun("hmac-mailgun-expired", "genuine, but old", now=NOW + 301, expect="expired")
mailgun("hmac-mailgun-other-token", "another id", IN_BODY.replace("a8ce", "a8cf"), expect="mismatch")
mailgun("hmac-mailgun-shifted", "a digit moved from the id to the timestamp", IN_BODY.replace(f'{NOW}", "token": "', f'{NOW}1", "token": "'),
        signed=f"{NOW}1{TOKEN_ID}", expect="expired")
mailgun("hmac-mailgun-two-signatures", "a member given twice", IN_BODY.replace('"token"', '"signature": "", "token"'), expect="malformed")
mailgun("hmac-mailgun-two-tokens", "an id given twice", IN_BODY.replace('"token"', '"token": "", "token"'), expect="malformed")
mailgun("hmac-mailgun-no-signature", "no signature", IN_BODY.replace('"@"', "null"), expect="missing")
mailgun("hmac-mailgun-no-token", "no id", IN_BODY.replace(TOKEN_ID, ""), expect="missing")
mailgun("hmac-mailgun-not-json", "another body", "timestamp=1700000000", expect="malformed")
mailgun("hmac-mailgun-not-hex", "no signature of the form", IN_BODY.replace("@", "what?"), expect="malformed")

JSON_ID = {"signature": {"headers": ["X-Signature"]}, "id": {"json": "id"}}
signed_with("hmac-json-id", "the body covers the id in it", JSON_ID, [("X-Signature", "@")], id="evt_1", covered="X-Signature body")
signed_with("hmac-json-id-named", "an id in the body, signed by name too", {**JSON_ID, "signed": "{id}.{body}"}, [("X-Signature", "@")],
            signed=b"evt_1." + BODY, parts=(b"evt_1", BODY), id="evt_1", covered="X-Signature body")
signed_with("hmac-json-id-missing", "genuine, but without an id", JSON_ID, [("X-Signature", "@")], signed=b"{}", body=b"{}",
            expect="missing", check="ok")
signed_with("hmac-json-id-spaces", "an id is printable, and has no spaces", JSON_ID, [("X-Signature", "@")], signed=b'{"id": "a b"}',
            body=b'{"id": "a b"}', expect="malformed", check="ok")

# --- Public keys -----------------------------------------------------------

DISCORD = {"keys": [{"text": PAIR.public.hex()}], "algorithm": "ed25519", "signature": {"headers": ["X-Signature-Ed25519"]},
           "signed": "{timestamp}{body}", "timestamp": {"header": "X-Signature-Timestamp"}}


def discord(name, why, config=None, sign=lambda m: PAIR.sign(m).hex(), ts=str(NOW), body=BODY, **more):
    signed_with(name, why, {**DISCORD, **(config or {})}, [("X-Signature-Timestamp", ts), ("X-Signature-Ed25519", "@")],
                signed=ts.encode() + body, sign=sign, ts=NOW * 1000, body=body, parts=(body,), scheme="public_key",
                covered="X-Signature-Timestamp body", **more)


SPKI = bytes.fromhex("302a300506032b6570032100") + PAIR.public
PEM = "-----BEGIN PUBLIC KEY-----\n" + b64(SPKI) + "\n-----END PUBLIC KEY-----\n"
discord("ed25519-discord", "ed25519 in hex, of the timestamp and the body")
discord("ed25519-empty-body", "a body may be empty", body=b"")
for encoding, key in {"base64": b64(PAIR.public), "base64-spki": b64(SPKI), "hex-spki": SPKI.hex(), "pem": PEM}.items():
    discord(f"ed25519-key-{encoding}", "another way to write the key", {"keys": [{"text": key, "encoding": encoding.split("-")[0]}]})
discord("ed25519-rotated-key", "the last of two keys", {"keys": [{"text": OTHER_PAIR.public.hex()}, {"text": PAIR.public.hex()}]})
discord("ed25519-wrong-key", "another key", sign=lambda m: OTHER_PAIR.sign(m).hex(), expect="mismatch")
discord("ed25519-truncated", "63 bytes", sign=lambda m: PAIR.sign(m)[:-1].hex(), expect="malformed")
discord("ed25519-extended", "65 bytes", sign=lambda m: PAIR.sign(m).hex() + "00", expect="malformed")
discord("ed25519-twice-as-long", "two signatures in one", sign=lambda m: PAIR.sign(m).hex() * 2, expect="malformed")
discord("ed25519-mac", "a MAC keyed with the public key", sign=lambda m: mac(PAIR.public, m).hex(), expect="malformed")
ORDER = 2**252 + 27742317777372353535851937790883648493
discord("ed25519-not-reduced", "the same numbers written differently",
        sign=lambda m: (PAIR.sign(m)[:32] + (int.from_bytes(PAIR.sign(m)[32:], "little") + ORDER).to_bytes(32, "little")).hex(), expect="mismatch")
discord("ed25519-at-tolerance", "exactly 5 minutes", now=NOW + 300)
discord("ed25519-expired", "a second more", now=NOW + 301, expect="expired")
discord("ed25519-shifted", "a digit moved from the body to the timestamp", ts=f"{NOW}1", expect="expired")
discord("ed25519-leading-zero", "a time has one spelling", ts=f"0{NOW}", expect="malformed")

CURVE, OTHER_CURVE = P256(int.from_bytes(hashlib.sha256(b"one").digest())), P256(int.from_bytes(hashlib.sha256(b"two").digest()))
SENDGRID = {"keys": [{"text": b64(CURVE.spki)}], "algorithm": "ecdsa-p256",
            "signature": {"headers": ["X-Twilio-Email-Event-Webhook-Signature"], "encoding": "base64"}, "signed": "{timestamp}{body}",
            "timestamp": {"header": "X-Twilio-Email-Event-Webhook-Timestamp"}}


def sendgrid(name, why, sign=lambda m: CURVE.sign(m), config=None, body=b"[]\r\n", **more):
    signed_with(name, why, {**SENDGRID, **(config or {})},
                [("X-Twilio-Email-Event-Webhook-Timestamp", NOW), ("X-Twilio-Email-Event-Webhook-Signature", "@")],
                signed=str(NOW).encode() + body, sign=lambda m: b64(sign(m)), ts=NOW * 1000, body=body, parts=(body,),
                scheme="public_key", covered="X-Twilio-Email-Event-Webhook-Timestamp body", **more)


PEM = "-----BEGIN PUBLIC KEY-----\n" + b64(CURVE.spki)[:64] + "\n" + b64(CURVE.spki)[64:] + "\n-----END PUBLIC KEY-----\n"
sendgrid("ecdsa-sendgrid", "ECDSA in DER, of the timestamp and the body")
sendgrid("ecdsa-high", "the other right signature makes the same claims", CURVE.sign_high)
for encoding, key in {"hex": CURVE.spki.hex(), "pem": PEM}.items():
    sendgrid(f"ecdsa-key-{encoding}", "another way to write the key", config={"keys": [{"text": key, "encoding": encoding}]})
sendgrid("ecdsa-rotated-key", "the last of two keys", config={"keys": [{"text": b64(OTHER_CURVE.spki)}, {"text": b64(CURVE.spki)}]})
SHORT = next(b for b in (f"[{i}]".encode() for i in range(9999)) if len(CURVE.sign(str(NOW).encode() + b)) < 70)
sendgrid("ecdsa-short", "shorter than most", body=SHORT)
sendgrid("ecdsa-wrong-key", "another key", OTHER_CURVE.sign, expect="mismatch")
sendgrid("ecdsa-truncated", "a byte is missing", lambda m: CURVE.sign(m)[:-1], expect="mismatch")
sendgrid("ecdsa-extended", "a byte too many, still of a possible length", lambda m: CURVE.sign(m)[:69] + b"\0", expect="mismatch")
sendgrid("ecdsa-too-long", "longer than any", lambda m: CURVE.sign(m) + bytes(8), expect="malformed")
sendgrid("ecdsa-too-short", "shorter than any", lambda m: bytes.fromhex("3005020100020100")[:7], expect="malformed")
sendgrid("ecdsa-zeros", "zeros, which a careless verifier takes (CVE-2022-21449)", lambda m: CURVE.der(0, 0), expect="mismatch")
sendgrid("ecdsa-order", "the same with the order of the curve", lambda m: CURVE.der(CURVE.N, CURVE.N), expect="mismatch")
sendgrid("ecdsa-padded", "a number has one length", lambda m: CURVE.padded(*CURVE.numbers(m)), expect="mismatch")
sendgrid("ecdsa-raw", "r and s alone", lambda m: b"".join(n.to_bytes(32) for n in CURVE.numbers(m)), expect="mismatch")
sendgrid("ecdsa-expired", "a second more than 5 minutes", now=NOW + 301, expect="expired")

# --- Tokens ----------------------------------------------------------------

UNSIGNED = {"content": content("request", b"POST", b"/hooks?from=here", BODY)}


def simple(name, why, scheme, config, header, **more):
    if more.get("expect", "ok") == "ok":
        more["claims"] = UNSIGNED
    elif more["expect"] == "mismatch":
        more["check"] = "mismatch"
    write(name, why, scheme, config, header, **more)


TOKEN = {"header": "x-webhook-token", "tokens": ["61a95ee", "s3cr3t"]}
simple("token", "a token", "token", TOKEN, [("X-Webhook-Token", "s3cr3t")], covered="X-Webhook-Token")
simple("token-prefix", "a part of the token", "token", TOKEN, [("X-Webhook-Token", "s3cr3")], expect="mismatch")
simple("token-case", "a token in capitals", "token", TOKEN, [("X-Webhook-Token", "S3CR3T")], expect="mismatch")
simple("token-empty", "an empty token", "token", TOKEN, [("X-Webhook-Token", "")], expect="missing")
simple("token-missing", "no token", "token", TOKEN, [], expect="missing")
simple("token-twice", "the token twice", "token", TOKEN, [("X-Webhook-Token", "s3cr3t")] * 2, expect="malformed")
BEARER = {"tokens": ["eyJ0eXAiOiJKV1Qi"]}
simple("bearer", "a bearer token", "bearer", BEARER, [("Authorization", "Bearer eyJ0eXAiOiJKV1Qi")])
simple("bearer-lower-case", "the name of the scheme has no case", "bearer", BEARER, [("Authorization", "bearer  eyJ0eXAiOiJKV1Qi")])
simple("bearer-wrong", "another token", "bearer", BEARER, [("Authorization", "Bearer eyJ0eXAiOiJKV1Q")], expect="mismatch")
simple("bearer-bare", "a token without its scheme", "bearer", BEARER, [("Authorization", "eyJ0eXAiOiJKV1Qi")], expect="missing")
simple("bearer-empty", "no token after the scheme", "bearer", BEARER, [("Authorization", "Bearer ")], expect="malformed")
simple("bearer-twice", "two of them", "bearer", BEARER, [("Authorization", "Bearer eyJ0eXAiOiJKV1Qi")] * 2, expect="malformed")
BASIC = {"user": "hooks", "passwords": ["a:b:c", "caf\u00e9"]}
simple("basic", "a user and a password", "basic", BASIC, [("Authorization", "Basic " + b64("hooks:caf\u00e9".encode()))])
simple("basic-colon", "colons in the password", "basic", BASIC, [("Authorization", "BASIC " + b64(b"hooks:a:b:c"))])
simple("basic-wrong-password", "a part of the password", "basic", BASIC, [("Authorization", "Basic " + b64(b"hooks:a"))], expect="mismatch")
simple("basic-wrong-user", "another user", "basic", BASIC, [("Authorization", "Basic " + b64(b"hook:a:b:c"))], expect="mismatch")
simple("basic-no-colon", "no colon", "basic", BASIC, [("Authorization", "Basic " + b64(b"hooks"))], expect="malformed")
simple("basic-not-base64", "no base64", "basic", BASIC, [("Authorization", "Basic hooks:caf\u00e9")], expect="malformed")
simple("basic-bearer", "another scheme", "basic", BASIC, [("Authorization", "Bearer x")], expect="missing")
simple("none", "anything", "none", {}, [])
