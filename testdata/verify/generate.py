#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of this directory.

A vector is a file of `key: value` lines, an empty line, and a request as it
was received: the request line, the header, an empty line and the body, to the
last byte. Lines end in LF.

    scheme     standard, hmac, token, bearer, basic or none
    config     how the scheme is configured, in JSON
    now        when the request is verified, in seconds since 1970
    expect     ok, missing, malformed, mismatch or expired
    check      the same, for the header alone
    covered    the parts of the request of which no bit may change: header
               names, body, method, uri
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
        self.secret = {"text": "whpk_" + b64(public[-32:])}

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


def signed_with(name, why, config, header, signed=BODY, covered="", parts=(BODY,), id="", ts=0, sign=keyed(), **more):
    """In header values, @ is the signature."""
    config = {"secrets": [{"text": KEY.decode()}], **config}
    ok = more.get("expect", "ok") == "ok"
    claims = {}
    if ok:
        claims = {"content": content("signed parts", *parts)}
        if id:
            claims["id"] = id
        if ts:
            claims["timestamp"] = ts
    write(name, why, "hmac", config, [(k, str(v).replace("@", sign(signed))) for k, v in header],
          covered=covered if ok else "", claims=claims, **more)


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
    parts=(b"POST", *WHERE, BODY), sign=BASE64, ts=NOW * 1000, covered="method uri body X-HubSpot-Signature-v3 X-HubSpot-Request-Timestamp")
signed_with("hmac-square", "URL and body", {
    "signature": {"headers": ["X-Square-HmacSha256-Signature"], "encoding": "base64"}, "signed": URL + "{body}"},
    [("X-Square-HmacSha256-Signature", "@")], signed=TO + BODY, parts=(*WHERE, BODY), sign=BASE64, covered="uri body")
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
