// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Senders that sign a timestamp with the body, with an HMAC-SHA256 in hex or with
// a private key.
var timestampSenders = []Sender{
	{
		Name:  "stripe",
		Title: "Stripe",
		Scheme: ofForm(SecretForm{
			Expected: "the signing secret of the endpoint, whsec_…",
			Not:      []string{"sk_", "rk_", "pk_", "we_"},
		}, inList("Stripe-Signature", "t", "v1", "{timestamp}.{body}", "s", 0)),
		MessageID: inJSON("id"),
		Doc: Doc{
			Secret:   "Workbench → Webhooks → the endpoint: Signing secret. The text itself is the key, whsec_ included.",
			Covers:   bodyAndAge,
			Retries:  "For up to three days, with growing delays, in a sandbox 3 times over a few hours. Each retry is signed anew.",
			Expects:  "Any 2xx, quickly.",
			URL:      "https://docs.stripe.com/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:  "paddle",
		Title: "Paddle Billing",
		Scheme: ofForm(SecretForm{
			Expected: "the secret key of the notification destination, pdl_ntfset_…, not an API key",
			Not:      []string{"pdl_sdbx_apikey_", "pdl_live_apikey_"},
		}, splitBy(";", inList("Paddle-Signature", "ts", "h1", "{timestamp}:{body}", "s", 0))),
		MessageID: inJSON("notification_id"),
		Respond:   200,
		Doc: Doc{
			Secret:   "Developer tools → Notifications → Edit destination: Secret key, pdl_ntfset_….",
			Covers:   bodyAndAge,
			Retries:  "60 times over 3 days for a live account.",
			Expects:  "200 within 5 s.",
			Note:     "Paddle's Node library refuses what is older than 5 s; here it is 5 min, and a replay within it is a duplicate. " + maybeOld,
			URL:      "https://developer.paddle.com/webhooks/signature-verification",
			Evidence: Vector,
		},
	},
	{
		Name:      "workos",
		Title:     "WorkOS",
		Scheme:    inList("WorkOS-Signature", "t", "v1", "{timestamp}.{body}", "ms", 3*time.Minute),
		MessageID: inJSON("id"),
		Respond:   200,
		Doc: Doc{
			Secret:   "Webhooks page of the dashboard, with the endpoint: signing secret.",
			Covers:   bodyAndAge,
			Retries:  "12 times over 3 days in production, for some minutes elsewhere.",
			Expects:  "200.",
			Note:     maybeOld,
			URL:      "https://workos.com/docs/events/data-syncing/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:    "elevenlabs",
		Title:   "ElevenLabs",
		Scheme:  inList("ElevenLabs-Signature", "t", "v0", "{timestamp}.{body}", "s", 30*time.Minute),
		Dedupe:  onContent(),
		Respond: 200,
		Doc: Doc{
			Secret:   "Shown once, when the webhook is created in the workspace's settings: HMAC secret.",
			Covers:   bodyAndAge,
			Retries:  "None, unless they are turned on for the webhook. One that fails 10 times in a row, and has not succeeded for 7 days, is disabled.",
			Expects:  "200.",
			Note:     "The audio of a call comes within the JSON: raise max_body for calls of more than a few minutes. " + maybeOld,
			URL:      "https://elevenlabs.io/docs/eleven-api/resources/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "calendly",
		Title:  "Calendly",
		Scheme: inList("Calendly-Webhook-Signature", "t", "v1", "{timestamp}.{body}", "s", 0),
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "The signing_key with which the webhook subscription was created through the API; for an OAuth app, the webhook signing key that was made with the app. Without one nothing is signed.",
			Covers:   bodyAndAge,
			Retries:  "For 24 hours, with growing delays; then the subscription is disabled.",
			Expects:  "Any 2xx within 15 s.",
			Note:     maybeOld,
			URL:      "https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures",
			Evidence: Unconfirmed,
		},
	},
	{
		Name:  "slack",
		Title: "Slack",
		Scheme: ofForm(SecretForm{
			Expected: "the Signing Secret, not a token",
			Not:      []string{"xoxb-", "xoxp-", "xapp-"},
		}, inHeaders("X-Slack-Signature", "v0=", "X-Slack-Request-Timestamp", "v0:{timestamp}:{body}", "s")),
		MessageID: inJSON("event_id"),
		Respond:   200,
		Handshake: slackChallenge,
		Doc: Doc{
			Secret:    "Basic Information → App Credentials of the app: Signing Secret.",
			Covers:    bodyAndAge,
			Retries:   "3 times: nearly at once, after 1 and after 5 min.",
			Expects:   "Any 2xx within 3 s.",
			Handshake: "Tests the Request URL with url_verification, which the inbox answers by itself, also while the application is down.",
			Note:      "Slash commands and interactivity wait 3 s for what the application answers: give them a URL with `passthrough`, as caddyfiles/slack.Caddyfile does. They have no event_id and are recognized by their content. " + maybeOld,
			URL:       "https://docs.slack.dev/authentication/verifying-requests-from-slack",
			Evidence:  Vector,
		},
	},
	{
		Name:      "zoom",
		Title:     "Zoom",
		Scheme:    inHeaders("X-Zm-Signature", "v0=", "X-Zm-Request-Timestamp", "v0:{timestamp}:{body}", "s"),
		Dedupe:    onContent(),
		Respond:   200,
		Handshake: zoomValidation,
		Doc: Doc{
			Secret:    "Feature page of the app: Secret Token.",
			Covers:    bodyAndAge,
			Retries:   "3 times: after 5 min, 20 min more and 60 min more.",
			Expects:   "200 or 204 within 3 s.",
			Handshake: "Tests the URL with endpoint.url_validation, when it is saved and every 72 hours. The inbox answers by itself, with the first of the secrets, also while the application is down.",
			Note:      maybeOld,
			URL:       "https://developers.zoom.us/docs/api/webhooks/",
			Evidence:  Documented,
		},
	},
	{
		Name:    "webflow",
		Title:   "Webflow",
		Scheme:  inHeaders("X-Webflow-Signature", "", "X-Webflow-Timestamp", "{timestamp}:{body}", "ms"),
		Dedupe:  onContent(),
		Respond: 200,
		Doc: Doc{
			Secret:   "The client secret of the OAuth application that created the webhook; for one that was created with a site token, reportedly the secretKey of the answer.",
			Covers:   bodyAndAge,
			Retries:  "3 times, 10 min apart; a webhook that keeps failing is disabled.",
			Expects:  "200; any other status is a failure.",
			Note:     "Webhooks made in the dashboard of a site are not signed: create them through the API. " + maybeOld,
			URL:      "https://developers.webflow.com/data/docs/working-with-webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:  "linear",
		Title: "Linear",
		Scheme: HMAC{Config: verify.HMACConfig{
			Signature: verify.Signature{Headers: []string{"Linear-Signature"}},
			Timestamp: &verify.Timestamp{JSON: "webhookTimestamp", Unit: "ms"},
			Tolerance: time.Minute,
		}},
		MessageID: inHeader("Linear-Delivery"),
		Dedupe:    onIDAndContent(),
		Respond:   200,
		Doc: Doc{
			Secret:   "Settings → API → Webhooks → the webhook: signing secret.",
			Covers:   "The body, which holds the timestamp.",
			Retries:  "3 times: after 1 min, 1 hour and 6 hours.",
			Expects:  "200 within 5 s.",
			Note:     maybeOld,
			URL:      "https://linear.app/developers/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:  "discord",
		Title: "Discord",
		Scheme: PublicKey{Config: verify.PublicKeyConfig{
			Algorithm: "ed25519",
			Signature: verify.Signature{Headers: []string{"X-Signature-Ed25519"}},
			Signed:    "{timestamp}{body}",
			Timestamp: &verify.Timestamp{Header: "X-Signature-Timestamp"},
		}},
		Dedupe:    onContent(),
		Respond:   204,
		Handshake: discordPing,
		Doc: Doc{
			Secret:    "General Information of the app in the developer portal: Public Key, 64 hex digits.",
			Covers:    bodyAndAge,
			Retries:   "For up to 10 min, with growing delays.",
			Expects:   "204 within 3 s.",
			Handshake: "Tests a URL with a PING, which the inbox answers by itself, and with wrong signatures, which have to be refused with 401. It tests again later, and removes a URL that fails.",
			Note:      "Interactions wait 3 s for what the application answers: give them a URL with `passthrough`, as caddyfiles/discord.Caddyfile does. " + maybeOld,
			URL:       "https://discord.com/developers/docs/events/webhook-events",
			Evidence:  Documented,
		},
	},
	{
		Name:  "sendgrid",
		Title: "Twilio SendGrid Event Webhook",
		Scheme: PublicKey{Config: verify.PublicKeyConfig{
			Algorithm: "ecdsa-p256",
			Signature: verify.Signature{Headers: []string{"X-Twilio-Email-Event-Webhook-Signature"}, Encoding: "base64"},
			Signed:    "{timestamp}{body}",
			Timestamp: &verify.Timestamp{Header: "X-Twilio-Email-Event-Webhook-Timestamp"},
		}},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "Settings → Mail Settings → Event Webhook → Signed Event Webhook: Verification Key, base64.",
			Covers:   bodyAndAge,
			Retries:  "For up to 24 hours after the event, with growing delays.",
			Expects:  "Any 2xx.",
			Note:     "One request carries several events. The body ends in a line break, which is signed too. " + maybeOld,
			URL:      "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
			Evidence: Vector,
		},
	},
}

// inList is a signature and its timestamp in one header, such as t=…,v1=….
func inList(header, timestamp, key, signed, unit string, tolerance time.Duration) HMAC {
	return HMAC{Config: verify.HMACConfig{
		Signature: verify.Signature{Headers: []string{header}, Key: key},
		Signed:    signed,
		Timestamp: &verify.Timestamp{Key: timestamp, Unit: unit},
		Tolerance: tolerance,
	}}
}

// splitBy is scheme with another separator than the comma in the header.
func splitBy(separator string, scheme HMAC) HMAC {
	scheme.Config.Signature.Split = separator
	return scheme
}

// inHeaders is a signature and its timestamp in a header each.
func inHeaders(header, prefix, timestamp, signed, unit string) HMAC {
	return HMAC{Config: verify.HMACConfig{
		Signature: verify.Signature{Headers: []string{header}, Prefix: prefix},
		Signed:    signed,
		Timestamp: &verify.Timestamp{Header: timestamp, Unit: unit},
	}}
}
