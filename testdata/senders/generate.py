#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden requests of this directory, one for each sender.

A golden request is a file of `key: value` lines, an empty line, and a request
as it was received, in the form of ../verify. Its name is that of the sender.

    secrets    what a user configures, as the sender shows it: a list in JSON
    user       the name beside them, if there is one
    now        when the request is verified, in seconds since 1970
    covered    the parts of which no byte may change: header names, method, uri,
               body
    marked     where the body is not one of them: the texts in it of which none
               may change, a list in JSON; each occurs once
    id         what identifies the message, its parts joined by ":"; without it,
               the content does
    timestamp  when the sender signed, as the signature proves, in milliseconds
    tolerance  how far that may be from now, in seconds

The signatures come from Python and OpenSSL, so that nothing is checked against
itself. It needs openssl on the path.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
NOW = 1700000000
HOST = "hooks.example.com"
KEY = b"a key of thirty-two bytes, or so"
ID = "b1eaea1a-ee96-4f7d-a2cb-dbadff2da584"
TOLERANCE = {"elevenlabs": 1800, "linear": 60, "mailgun": 9 * 3600, "workos": 180}

written = set()


def b64(b):
    return base64.b64encode(b).decode()


def mac(key, message, algorithm="sha256"):
    return hmac.new(key, message, algorithm).digest()


def write(name, header, body, secrets, covered, user="", marked=(), id="", timestamp=0, method="POST", uri=None,
          content_type="application/json"):
    uri = uri or f"/{name}?from=there"
    lines = [("secrets", json.dumps(secrets))]
    if user:
        lines.append(("user", user))
    lines.append(("now", NOW))
    if covered:
        lines.append(("covered", covered))
    if marked:
        assert all(body.count(m.encode()) == 1 for m in marked), (name, marked)
        lines.append(("marked", json.dumps(marked)))
    if id:
        lines.append(("id", id))
    if timestamp:
        lines += [("timestamp", timestamp), ("tolerance", TOLERANCE.get(name, 300))]
    head = f"{method} {uri} HTTP/1.1\nHost: {HOST}\n"
    if body:
        head += f"Content-Type: {content_type}\n"
    head += "".join(f"{k}: {v}\n" for k, v in header)
    text = "".join(f"{k}: {v}\n" for k, v in lines) + "\n" + head + "\n"
    (HERE / (name + ".txt")).write_bytes(text.encode() + body)
    assert name not in written, name
    written.add(name)


# --- Standard Webhooks, also under Svix's names ------------------------------


def standard(name, family="webhook", secret="whsec_" + b64(KEY), key=KEY, rotated=False):
    id = "msg_2XqV8F"
    body = json.dumps({"type": "example.happened", "data": {"sender": name}}).encode()
    signature = "v1," + b64(mac(key, f"{id}.{NOW}.".encode() + body))
    covered = f"{family}-id {family}-timestamp body"
    if rotated:  # a list, of which not every byte counts
        signature = "v1," + b64(mac(b"the key before", body)) + ", " + signature
    else:
        covered += f" {family}-signature"
    write(name, [(f"{family}-id", id), (f"{family}-timestamp", NOW), (f"{family}-signature", signature)], body, [secret],
          covered, id=id, timestamp=NOW * 1000)


for name in ("standard_webhooks", "openai", "anthropic", "gitlab_signing"):
    standard(name)
for name in ("svix", "clerk", "resend", "anon", "scan_documents"):
    standard(name, family="svix")
standard("polar", secret="polar_whs_example", key=b"polar_whs_example")
standard("supabase", secret="v1,whsec_" + b64(KEY), rotated=True)

# --- An HMAC of the body -----------------------------------------------------


def hmac_body(name, header, value="@", algorithm="sha256", encoding="hex", id_header="", body=None, id="",
              secret="the secret of an example", key=None, uri=None, before=b"", after=b"", covered="", more=()):
    """In value, @ is the signature; before and after are signed around the body; more is of other header fields."""
    body = body or json.dumps({"event": "example.happened", "text": f"caf\u00e9 of {name}"}, ensure_ascii=False).encode()
    m = mac(key or secret.encode(), before + body + after, algorithm)
    fields = [(header, value.replace("@", m.hex() if encoding == "hex" else b64(m)))]
    if id_header:
        fields.insert(0, (id_header, ID))
    fields += more
    write(name, fields, body, [secret], f"{header} {covered}body", id=ID if id_header else id, uri=uri)


hmac_body("github", "X-Hub-Signature-256", "sha256=@", id_header="X-GitHub-Delivery")
hmac_body("gitea", "X-Gitea-Signature", id_header="X-Gitea-Delivery")
hmac_body("forgejo", "X-Forgejo-Signature", id_header="X-Forgejo-Delivery")
hmac_body("gogs", "X-Gogs-Signature", id_header="X-Gogs-Delivery")
hmac_body("bitbucket", "X-Hub-Signature", "sha256=@", id_header="X-Request-UUID")
hmac_body("jira", "X-Hub-Signature", "sha256=@", id_header="X-Atlassian-Webhook-Identifier")
hmac_body("shopify", "X-Shopify-Hmac-Sha256", encoding="base64", id_header="X-Shopify-Webhook-Id",
          body=b'{"product_listing": {"product_id": 921728736}}',
          more=[("X-Shopify-Topic", "product_listings/remove"), ("X-Shopify-Triggered-At", "2023-11-14T22:13:19.567890123Z")])
hmac_body("shopify_events", "Shopify-Hmac-Sha256", encoding="base64", id_header="Shopify-Webhook-Id",
          body=b'{"topic": "Product", "action": "update", "handle": "prices"}',
          more=[("Shopify-Topic", "Product"), ("Shopify-Triggered-At", "2023-11-14T22:13:19.567890123Z")])
hmac_body("intercom", "X-Hub-Signature", "sha1=@", algorithm="sha1",
          body=b'{"type": "notification_event", "id": "notif_7cb5", "topic": "user.created"}', id="notif_7cb5")
hmac_body("meta", "X-Hub-Signature-256", "sha256=@", body=b'{"object": "page", "entry": [{"id": "0", "time": 1700000000}]}')
hmac_body("dropbox", "X-Dropbox-Signature", body=b'{"list_folder": {"accounts": ["dbid:AAH4"]}}')
hmac_body("coinbase", "X-CC-Webhook-Signature", body=b'{"id": 1, "event": {"id": "24934862", "type": "charge:created"}}', id="24934862")
hmac_body("razorpay", "X-Razorpay-Signature", id_header="X-Razorpay-Event-Id")
hmac_body("line", "X-Line-Signature", encoding="base64",
          body=b'{"destination": "U8e7", "events": [{"webhookEventId": "01FZ74A0TD"}, {"webhookEventId": "01FZ74ASS5"}]}')
hmac_body("pagerduty", "X-PagerDuty-Signature", "v1=@", body=b'{"event": {"id": "01BRBXR2X2", "event_type": "incident.triggered"}}', id="01BRBXR2X2")
hmac_body("circleci", "circleci-signature", "v1=@", body=b'{"id": "3888f21b-eaa7", "type": "workflow-completed"}', id="3888f21b-eaa7")
hmac_body("sentry", "Sentry-Hook-Signature", id_header="Request-ID")
hmac_body("typeform", "Typeform-Signature", "sha256=@", encoding="base64",
          body=b'{"event_id": "01H8XEX4PD", "event_type": "form_response"}', id="01H8XEX4PD")
hmac_body("vercel", "x-vercel-signature", algorithm="sha1", body=b'{"id": "uev_0Nqr", "type": "deployment.created"}', id="uev_0Nqr")
hmac_body("lemonsqueezy", "X-Signature")
hmac_body("quickbooks", "intuit-signature", encoding="base64", body=b'{"eventNotifications": [{"realmId": "1185883450"}]}')
hmac_body("xero", "x-xero-signature", encoding="base64", body=b'{"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0m3r4nd"}')

# The delivery id is a hash, keyed with a salt of the site, of the webhook's id and the second.
DELIVERY = hmac.new(b"the salt of a site", f"3{NOW}".encode(), "md5").hexdigest()
hmac_body("woocommerce", "X-WC-Webhook-Signature", encoding="base64", body=b'{"id":727,"status":"processing","total":"29.35"}',
          more=[("X-WC-Webhook-Topic", "order.updated"), ("X-WC-Webhook-ID", 3), ("X-WC-Webhook-Delivery-ID", DELIVERY)],
          id=f"{DELIVERY}:order.updated:727")
hmac_body("docusign", "X-DocuSign-Signature-1", encoding="base64")
hmac_body("asana", "X-Hook-Signature", body=b'{"events": [{"action": "changed", "resource": {"gid": "1337"}}]}')
hmac_body("adyen_platform", "HmacSignature", encoding="base64", secret=KEY.hex().upper(), key=KEY)

# Linear has a time in the body besides.
LINEAR = f'{{"action": "create", "type": "Issue", "webhookTimestamp": {NOW}123, "webhookId": "00002a00"}}'.encode()
write("linear", [("Linear-Delivery", ID), ("Linear-Signature", mac(KEY, LINEAR).hex())], LINEAR, [KEY.decode()],
      "Linear-Signature body", id=ID, timestamp=NOW * 1000 + 123)

# --- An HMAC of a time and the body ------------------------------------------


def hmac_time(name, header, signed, unit="s", body=None, id="", secret="the secret of an example", encoding="hex", covered=""):
    """Header is of pairs, in which @ is the signature and # the time."""
    body = body or json.dumps({"event": "example.happened", "sender": name}).encode()
    ts = str(NOW) if unit == "s" else f"{NOW}456"
    m = mac(secret.encode(), signed.replace("#", ts).encode().replace(b"*", body))
    text = m.hex() if encoding == "hex" else b64(m)
    write(name, [(k, v.replace("@", text).replace("#", ts)) for k, v in header], body, [secret],
          " ".join(k for k, _ in header) + f" {covered}body", id=id, timestamp=NOW * 1000 + (456 if unit == "ms" else 0))


hmac_time("stripe", [("Stripe-Signature", "t=#,v1=@")], "#.*", body=b'{"id": "evt_1OBlQ", "object": "event"}', id="evt_1OBlQ",
          secret="whsec_" + b64(KEY))
hmac_time("slack", [("X-Slack-Request-Timestamp", "#"), ("X-Slack-Signature", "v0=@")], "v0:#:*",
          body=b'{"type": "event_callback", "event_id": "Ev08MFMKH6"}', id="Ev08MFMKH6")
hmac_time("zoom", [("x-zm-request-timestamp", "#"), ("x-zm-signature", "v0=@")], "v0:#:*")
hmac_time("paddle", [("Paddle-Signature", "ts=#;h1=@")], "#:*", body=b'{"event_id": "evt_01hv8", "notification_id": "ntf_01hv8"}', id="ntf_01hv8")
hmac_time("workos", [("WorkOS-Signature", "t=#, v1=@")], "#.*", unit="ms", body=b'{"id": "wh_01FMXJ2W7", "event": "dsync.user.created"}', id="wh_01FMXJ2W7")
hmac_time("elevenlabs", [("ElevenLabs-Signature", "t=#,v0=@")], "#.*")
hmac_time("calendly", [("Calendly-Webhook-Signature", "t=#,v1=@")], "#.*")
hmac_time("webflow", [("x-webflow-timestamp", "#"), ("x-webflow-signature", "@")], "#:*", unit="ms")
hmac_time("hubspot", [("X-HubSpot-Signature-v3", "@"), ("X-HubSpot-Request-Timestamp", "#")],
          f"POSThttps://{HOST}/hubspot?from=there*#", unit="ms", encoding="base64", covered="method uri ")

# --- The URL, and what else has a way of its own ------------------------------

hmac_body("square", "x-square-hmacsha256-signature", encoding="base64", before=f"https://{HOST}/square?from=there".encode(),
          body=b'{"merchant_id": "6SSW7HV8K2ST5", "event_id": "bc316346-6691"}', id="bc316346-6691", covered="uri ")
hmac_body("trello", "X-Trello-Webhook", algorithm="sha1", encoding="base64", after=f"https://{HOST}/trello?from=there".encode(),
          body=b'{"action": {"id": "51f9424bcd6e040f3c002412"}}', id="51f9424bcd6e040f3c002412", covered="uri ")

SECRET = "the secret of an example"
HUBSPOT = b'[{"eventId": 1, "subscriptionId": 12345, "subscriptionType": "contact.creation"}]'
write("hubspot_v1", [("X-HubSpot-Signature", hashlib.sha256(SECRET.encode() + HUBSPOT).hexdigest())], HUBSPOT, [SECRET],
      "X-HubSpot-Signature body")
write("hubspot_v2", [("X-HubSpot-Signature", hashlib.sha256(
    SECRET.encode() + f"POSThttps://{HOST}/hubspot_v2?from=there".encode() + HUBSPOT).hexdigest())], HUBSPOT, [SECRET],
      "X-HubSpot-Signature method uri body")

# Names sorted, each followed by its value; a repeated value counts once.
FORM = b"To=%2B18005551212&From=%2B14158675310&Digits=1234&CallSid=CA1234567890ABCDE&Body=caf%C3%A9+au+lait&To=%2B14158675309"
write("twilio", [("X-Twilio-Signature", b64(mac(b"12345", (
    f"https://{HOST}/twilio?from=there" "Bodycaf\u00e9 au lait" "CallSidCA1234567890ABCDE" "Digits1234" "From+14158675310"
    "To+14158675309" "To+18005551212").encode(), "sha1")))], FORM, ["12345"], "X-Twilio-Signature uri body",
      content_type="application/x-www-form-urlencoded")

ITEM = {"pspReference": "7914073381342284", "originalReference": "8313547924770610", "merchantAccountCode": "ExampleMerchant",
        "merchantReference": "order-1143", "amount": {"value": 1130, "currency": "EUR"}, "eventCode": "AUTHORISATION",
        "success": "true"}
ADYEN = b64(mac(KEY, b"7914073381342284:8313547924770610:ExampleMerchant:order-1143:1130:EUR:AUTHORISATION:true"))
ITEM |= {"additionalData": {"hmacSignature": ADYEN}, "eventDate": "2023-11-14T22:13:20+00:00"}
write("adyen", [], json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": ITEM}]}).encode(), [KEY.hex().upper()],
      "", marked=["7914073381342284", "8313547924770610", "ExampleMerchant", "order-1143", "1130", "EUR", "AUTHORISATION", "true", ADYEN])

TOKEN = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"
MAILGUN = mac(KEY, f"{NOW}{TOKEN}".encode()).hex()
write("mailgun", [], json.dumps({"signature": {"token": TOKEN, "timestamp": str(NOW), "signature": MAILGUN},
                                 "event-data": {"event": "opened", "recipient": "alice@example.com"}}).encode(),
      [KEY.decode()], "", marked=[TOKEN, str(NOW), MAILGUN], id=TOKEN, timestamp=NOW * 1000)


def base64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=")


NETLIFY = b'{"id": "5f1b", "state": "ready", "name": "example"}'
CLAIMS = json.dumps({"iss": "netlify", "sha256": hashlib.sha256(NETLIFY).hexdigest()}).encode()
JWS = base64url(b'{"alg":"HS256","typ":"JWT"}') + b"." + base64url(CLAIMS)
write("netlify", [("X-Webhook-Signature", (JWS + b"." + base64url(mac(SECRET.encode(), JWS))).decode())], NETLIFY, [SECRET],
      "X-Webhook-Signature body")

# --- Signed with a private key -----------------------------------------------


def openssl(key, *arguments, option="-in"):
    with tempfile.NamedTemporaryFile() as f:
        f.write(key)
        f.flush()
        return subprocess.run(["openssl", *arguments, option, f.name], check=True, capture_output=True).stdout


def ed25519(seed, message):
    """Returns the public key and the signature."""
    der = bytes.fromhex("302e020100300506032b657004220420") + hashlib.sha256(seed).digest()
    pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + b"\n-----END PRIVATE KEY-----\n"
    with tempfile.NamedTemporaryFile() as f:
        f.write(message)
        f.flush()
        return (openssl(pem, "pkey", "-pubout", "-outform", "DER")[-32:],
                openssl(pem, "pkeyutl", "-sign", "-rawin", "-in", f.name, option="-inkey"))


class P256:
    """ECDSA with a nonce made of the message, so that a signature stays the same.

    For examples only: the arithmetic takes a time that depends on the key.
    """

    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    g = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        (x1, y1), (x2, y2) = a, b
        if x1 == x2 and (y1 + y2) % self.p == 0:
            return None
        slope = (3 * (x1 * x1 - 1) * pow(2 * y1, -1, self.p) if a == b else (y2 - y1) * pow(x2 - x1, -1, self.p)) % self.p
        x = (slope * slope - x1 - x2) % self.p
        return x, (slope * (x1 - x) - y1) % self.p

    def times(self, k):
        sum, point = None, self.g
        while k:
            if k & 1:
                sum = self.add(sum, point)
            point, k = self.add(point, point), k >> 1
        return sum

    def sign(self, seed, message):
        """Returns the public key, an SPKI in DER, and the signature in DER."""
        number = lambda *parts: int.from_bytes(hashlib.sha256(b"".join(parts)).digest()) % self.n
        d, e, k = number(seed), number(message), number(b"nonce", seed, message)
        r = self.times(k)[0] % self.n
        s = pow(k, -1, self.n) * (e + r * d) % self.n
        der = b"".join(b"\x02" + bytes([len(i)]) + i for i in (v.to_bytes(v.bit_length() // 8 + 1) for v in (r, s)))
        spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
        return spki + b"".join(v.to_bytes(32) for v in self.times(d)), b"\x30" + bytes([len(der)]) + der


DISCORD = b'{"version": 1, "application_id": "1234560123453231555", "type": 1, "event": {"type": "APPLICATION_AUTHORIZED"}}'
key, signature = ed25519(b"discord", str(NOW).encode() + DISCORD)
write("discord", [("X-Signature-Ed25519", signature.hex()), ("X-Signature-Timestamp", NOW)], DISCORD, [key.hex()],
      "X-Signature-Ed25519 X-Signature-Timestamp body", timestamp=NOW * 1000)

SENDGRID = b'[{"email":"hello@example.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5"}]\r\n'
key, signature = P256().sign(b"sendgrid", str(NOW).encode() + SENDGRID)
write("sendgrid", [("X-Twilio-Email-Event-Webhook-Signature", b64(signature)), ("X-Twilio-Email-Event-Webhook-Timestamp", NOW)],
      SENDGRID, [b64(key)], "X-Twilio-Email-Event-Webhook-Signature X-Twilio-Email-Event-Webhook-Timestamp body", timestamp=NOW * 1000)

# --- A secret text, and nothing signed ---------------------------------------


def text(name, header, secret="a long random text", value="@", body=b'{"event": "example.happened"}', id="", more=(), **options):
    write(name, [(header, value.replace("@", secret)), *more], body, [secret], header, id=id, **options)


text("gitlab", "X-Gitlab-Token", id=ID, more=[("Idempotency-Key", ID)])
text("okta", "Authorization", body=b'{"eventType": "com.okta.event_hook", "eventId": "b5a188b9-5ece-4636"}', id="b5a188b9-5ece-4636")
text("anesya", "X-Webhook-Token", more=[("X-Webhook-Id", ID)])
text("idexa", "Authorization", "eyJ0eXAiOiJKV1QiLCJhbGciOiJI", "Bearer @", b"", method="PUT",
     uri="/ocr_feedback/a7046a49-1fe0-483d-b220", id="a7046a49-1fe0-483d-b220")
text("postmark", "Authorization", "a long random text", "Basic " + b64(b"postmark:a long random text"), user="postmark")
write("microsoft_graph", [], b'{"value": [{"subscriptionId": "7f10", "clientState": "a long random text", "changeType": "created"}]}',
      ["a long random text"], "", marked=["a long random text"])

for path in HERE.glob("*.txt"):
    if path.stem not in written:
        path.unlink()
