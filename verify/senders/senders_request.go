// SPDX-License-Identifier: Apache-2.0

package senders

import "github.com/caddy-webhook-inbox/inbox/verify"

// Senders that sign the URL they were given, or the method too, with an HMAC.
// Behind another proxy they need public_url.
var requestSenders = []Sender{
	{
		Name:  "square",
		Title: "Square",
		Scheme: HMAC{Config: verify.HMACConfig{
			Signature: verify.Signature{Headers: []string{"X-Square-Hmacsha256-Signature"}, Encoding: "base64"},
			Signed:    "{url}{body}",
		}},
		MessageID: inJSON("event_id"),
		Doc: Doc{
			Secret:   "Developer Console → the application → Webhooks → Subscriptions → the subscription: Signature key.",
			Covers:   bodyAndURL,
			Retries:  "For up to 24 hours, with growing delays.",
			Expects:  "Any 2xx, as soon as possible.",
			Note:     "Each subscription has its own key: configure all that send to the URL. " + urlNeedsPath,
			URL:      "https://developer.squareup.com/docs/webhooks/step3validate",
			Evidence: Vector,
		},
	},
	{
		Name:  "trello",
		Title: "Trello",
		Scheme: HMAC{Config: verify.HMACConfig{
			Algorithm: "sha1",
			Signature: verify.Signature{Headers: []string{"X-Trello-Webhook"}, Encoding: "base64"},
			Signed:    "{body}{url}",
		}},
		MessageID: inJSON("action.id"),
		Respond:   200,
		Doc: Doc{
			Secret:    "API Key page of the Power-Up: the secret (OAuth secret) below the API key.",
			Covers:    bodyAndURL,
			Retries:   "Reportedly 3 times: after 30, 60 and 120 s.",
			Expects:   "200.",
			Handshake: "While the webhook is created, an unsigned HEAD request has to be answered 200: do so with `respond`, before the inbox, for the method HEAD.",
			Note:      "The URL is the callbackURL of the webhook, letter by letter. " + urlNeedsPath,
			URL:       "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/",
			Evidence:  Documented,
		},
	},
	{
		Name:  "hubspot",
		Title: "HubSpot (v3 signature)",
		Scheme: HMAC{Config: verify.HMACConfig{
			Signature: verify.Signature{Headers: []string{"X-HubSpot-Signature-v3"}, Encoding: "base64"},
			Signed:    "{http.request.method}{url}{body}{timestamp}",
			Timestamp: &verify.Timestamp{Header: "X-HubSpot-Request-Timestamp", Unit: "ms"},
		}},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   hubspotSecret,
			Covers:   "The method, the URL that the sender was given, the body and the timestamp.",
			Retries:  hubspotRetries,
			Expects:  hubspotExpects,
			Note:     hubspotNote + " Choose a URL without percent-encoded characters: HubSpot decodes some before it signs.",
			URL:      "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
			Evidence: Vector,
		},
	},
}

// A request has a path, even if the URL has none.
const urlNeedsPath = "Give the URL a path: one without is signed without the slash, and never matches."

// What HubSpot's versions have in common.
const (
	hubspotSecret  = "Auth page of the app: Client secret."
	hubspotRetries = "Up to 10 times, reportedly over 24 hours; never after a 400, 401, 403, 404 or 405."
	hubspotExpects = "Any 2xx, reportedly within 5 s."
	hubspotNote    = "One request carries several events, and says of each which attempt it is (attemptNumber), so that a retry is another content: the application has to tell it by the eventId. HubSpot takes a 401 for final, so a wrong secret is dear."
)
