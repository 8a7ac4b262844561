// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Senders that sign in a way of their own.
var ownSenders = []Sender{
	{
		Name:   "twilio",
		Title:  "Twilio",
		Scheme: Twilio{},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "Console → Account Info: Auth Token.",
			Covers:   "The URL that the sender was given, and the form; or the body, by a hash in the URL.",
			Retries:  "Reportedly once after a failed connection; the URL's connection overrides (#rc=…) change that.",
			Expects:  "Any 2xx, reportedly within 15 s.",
			Note:     "Calls and messages that are answered with TwiML wait for what the application answers: they need `passthrough`.",
			URL:      "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
			Evidence: Vector,
		},
	},
	{
		Name:   "adyen",
		Title:  "Adyen standard webhooks (payments)",
		Scheme: Adyen{Form: adyenKey},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "Customer Area → Developers → Webhooks → the webhook: HMAC key, hex digits.",
			Covers:   "Eight fields of the item: its references, merchant account, amount, currency, event code and success. Not the rest of the body.",
			Retries:  "3 times at once, then for up to 30 days, with delays from 2 min to 8 hours.",
			Expects:  "Any 2xx within 10 s; 202 is recommended. Only an old configuration still wants the body [accepted].",
			Note:     "Choose JSON, where a request has exactly one item; one with more is refused. Do not trust fields that are not signed. What differs only in these is a duplicate.",
			URL:      "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/",
			Evidence: Vector,
		},
	},
	{
		Name:   "hubspot_v2",
		Title:  "HubSpot (v2 signature)",
		Scheme: HubSpot{Version: 2},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   hubspotSecret,
			Covers:   "The method, the URL that the sender was given and the body.",
			Retries:  hubspotRetries,
			Expects:  hubspotExpects,
			Note:     "A plain SHA-256 and no timestamp: prefer hubspot where HubSpot sends X-HubSpot-Signature-v3. " + hubspotNote,
			URL:      "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
			Evidence: Vector,
		},
	},
	{
		Name:   "hubspot_v1",
		Title:  "HubSpot (v1 signature)",
		Scheme: HubSpot{Version: 1},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   hubspotSecret,
			Covers:   theBody,
			Retries:  hubspotRetries,
			Expects:  hubspotExpects,
			Note:     "A plain SHA-256 of the secret and the body, which others can lengthen (length extension): bodies that are not UTF-8, as those would be, are refused. Prefer hubspot where HubSpot sends X-HubSpot-Signature-v3. " + hubspotNote,
			URL:      "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
			Evidence: Vector,
		},
	},
	{
		Name:  "mailgun",
		Title: "Mailgun",
		Scheme: HMAC{Config: verify.HMACConfig{
			Signature: verify.Signature{JSON: "signature.signature"},
			Signed:    "{timestamp}{id}",
			Timestamp: &verify.Timestamp{JSON: "signature.timestamp"},
			ID:        &verify.ID{JSON: "signature.token"},

			// Whether a retry is signed anew is not documented, and the last comes
			// after 8 hours. The token, which is signed, stops replays.
			Tolerance: 9 * time.Hour,
		}},
		Respond: 200,
		Doc: Doc{
			Secret:   "API Security page of the account: HTTP webhook signing key.",
			Covers:   "The timestamp and a token, which is the id. Not the event data.",
			Retries:  "6 times over 8 hours: after 5, 10 and 15 min, 1, 2 and 4 hours; never after a 406.",
			Expects:  "200.",
			Note:     "The event data is not signed: treat it as a hint and ask Mailgun's API before acting on it. Only webhooks are taken, not the forms of a route.",
			URL:      "https://documentation.mailgun.com/docs/mailgun/user-manual/events/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "microsoft_graph",
		Title:  "Microsoft Graph",
		Scheme: ClientState{},
		// A notification may say no more than which resource changed: two may be equal.
		Dedupe: Dedupe{Off: true},
		Doc: Doc{
			Secret:    "The clientState with which the subscription is created: a long random text of at most 128 characters.",
			Covers:    nothing,
			Retries:   "For up to 4 hours.",
			Expects:   "A 2xx within 3 s; 202 is recommended. An endpoint that is slow more than one time in ten is throttled.",
			Handshake: "While the subscription is created, a POST with the query parameter validationToken wants its value back as text/plain: answer it with `respond`, as caddyfiles/microsoft-graph.Caddyfile does.",
			Note:      "One request carries several notifications; all must have the clientState. No message counts as a duplicate: two genuine ones may be equal byte for byte, so the application has to take what comes twice.",
			URL:       "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
			Evidence:  Documented,
		},
	},
	{
		Name:  "netlify",
		Title: "Netlify deploy notifications",
		Scheme: JWT{Config: verify.JWTConfig{
			Header:       "X-Webhook-Signature",
			Algorithm:    "HS256",
			Issuer:       "netlify",
			BodyClaim:    "sha256",
			BodyEncoding: "hex",
			ShortSecrets: true, // a text of the user's choice
		}},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "Project configuration → Notifications → HTTP POST request: JWS secret token, a text of your choice.",
			Covers:   "The body, by its hash in a signed token.",
			Retries:  notConfirmed,
			Expects:  "Any 2xx.",
			Note:     "There is no timestamp: a captured request can be replayed after the window of dedupe.",
			URL:      "https://docs.netlify.com/site-deploys/notifications/",
			Evidence: Unconfirmed,
		},
	},
}
