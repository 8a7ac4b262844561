// SPDX-License-Identifier: Apache-2.0

package senders

// Senders of an HMAC of the body alone, in base64.
var bodyBase64Senders = []Sender{
	{
		Name:      "shopify",
		Title:     "Shopify",
		Scheme:    base64OfBody("", "X-Shopify-Hmac-Sha256"),
		MessageID: inHeader("X-Shopify-Webhook-Id"),
		// Genuine bodies can be equal, such as those of product_listings/remove.
		Dedupe: onIDAndContent("X-Shopify-Topic", "X-Shopify-Triggered-At"),
		Doc: Doc{
			Secret:   "The client secret of the app. For webhooks made in the admin: Settings → Notifications → Webhooks, below the list.",
			Covers:   theBody,
			Retries:  "8 times over 4 hours; the id and the body stay the same. A subscription of the Admin API that keeps failing is removed.",
			Expects:  "A status of the 200 range, within 5 s. A redirect is a failure.",
			Note:     shopifyNote + " For Shopify's Events, whose headers begin without X-, see shopify_events.",
			URL:      "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
			Evidence: Documented,
		},
	},
	{
		Name:      "shopify_events",
		Title:     "Shopify Events (developer preview)",
		Scheme:    base64OfBody("", "Shopify-Hmac-Sha256"),
		MessageID: inHeader("Shopify-Webhook-Id"),
		Dedupe:    onIDAndContent("Shopify-Topic", "Shopify-Triggered-At"),
		Doc: Doc{
			Secret:   "The client secret of the app.",
			Covers:   theBody,
			Retries:  notConfirmed,
			Expects:  notConfirmed,
			Note:     "A developer preview, which may change: webhooks without Events are those of shopify. " + shopifyNote,
			URL:      "https://shopify.dev/docs/apps/build/events/verify-deliveries",
			Evidence: Documented,
		},
	},
	{
		Name:   "line",
		Title:  "LINE Messaging API",
		Scheme: base64OfBody("", "X-Line-Signature"),
		Dedupe: onContent(),
		Doc: Doc{
			Secret:    "LINE Developers Console → the channel → Basic settings: Channel secret.",
			Covers:    theBody,
			Retries:   "None, unless webhook redelivery is turned on in the console.",
			Expects:   "Any 2xx within 2 s.",
			Handshake: "The Verify button of the console sends a signed request without events: the application gets it.",
			Note:      "One request carries several events. A redelivered event is marked as such in the body, which is then another one: the application has to tell it by its webhookEventId.",
			URL:       "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
			Evidence:  Vector,
		},
	},
	{
		Name:      "typeform",
		Title:     "Typeform",
		Scheme:    base64OfBody("sha256=", "Typeform-Signature"),
		MessageID: inJSON("event_id"),
		Doc: Doc{
			Secret:   "A random text that you set as the secret of the webhook: Connect → Webhooks → Edit, or the Webhooks API.",
			Covers:   theBody,
			Retries:  notConfirmed,
			Expects:  "Any 2xx.",
			URL:      "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
			Evidence: Documented,
		},
	},
	{
		Name:    "quickbooks",
		Title:   "QuickBooks Online (Intuit)",
		Scheme:  base64OfBody("", "Intuit-Signature"),
		Dedupe:  onContent(),
		Respond: 200,
		Doc: Doc{
			Secret:   "Webhooks page of the app in the developer portal: Verifier token. It is not the client secret.",
			Covers:   theBody,
			Retries:  "Several times after a 5xx or a timeout, reportedly not after a 4xx.",
			Expects:  "200, reportedly within 3 s.",
			URL:      "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks/managing-webhooks-notifications",
			Evidence: Documented,
		},
	},
	{
		Name:    "xero",
		Title:   "Xero",
		Scheme:  base64OfBody("", "X-Xero-Signature"),
		Dedupe:  onContent(),
		Respond: 200,
		Doc: Doc{
			Secret:    "Webhooks page of the app: Webhooks key.",
			Covers:    theBody,
			Retries:   "For 24 hours; then the webhook is disabled.",
			Expects:   "200 within 5 s, without a body and without cookies.",
			Handshake: "\"Intent to receive\" sends requests with right and with wrong signatures, and wants exactly 200 and 401, which is what the inbox answers.",
			URL:       "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/",
			Evidence:  Documented,
		},
	},
	{
		Name:   "woocommerce",
		Title:  "WooCommerce",
		Scheme: base64OfBody("", "X-WC-Webhook-Signature"),
		// The delivery id is a hash of the webhook's id and the second: all that is
		// delivered within one second has the same.
		MessageID: []ID{{Header: "X-WC-Webhook-Delivery-ID"}, {Header: "X-WC-Webhook-Topic"}, {JSON: "id"}},
		Dedupe:    onID(),
		Doc: Doc{
			Secret:    "WooCommerce → Settings → Advanced → Webhooks: Secret, a text of your choice.",
			Covers:    theBody,
			Retries:   "None. A webhook that fails several times in a row is disabled.",
			Expects:   "A 2xx.",
			Handshake: "Saving the webhook sends an unsigned ping, a form with webhook_id, which is refused with 401: the webhook is saved all the same.",
			Note: "WooCommerce does not try again, so keep the inbox up. The delivery id and the topic are not signed, so that a captured request is another message under another id. " +
				"A message without an id in the body, such as that of an action, is recognized by its content.",
			URL:      "https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/",
			Evidence: Documented,
		},
	},
	{
		Name:  "docusign",
		Title: "Docusign Connect",
		// There is one header for each HMAC key of the account.
		Scheme: base64OfBody("", "X-DocuSign-Signature-1", "X-DocuSign-Signature-2", "X-DocuSign-Signature-3",
			"X-DocuSign-Signature-4", "X-DocuSign-Signature-5"),
		Dedupe:  onContent(),
		Respond: 200,
		Doc: Doc{
			Secret:   "Settings → Connect → Connect Keys: an HMAC key, shown once.",
			Covers:   theBody,
			Retries:  "If the configuration requires acknowledgment: after the next success and then daily, up to 10 times.",
			Expects:  "200.",
			Note:     "Turn on \"Include HMAC Signature\" in the Connect configuration. Of an account's keys any of the first five may be configured here. If the messages include the documents, raise max_body: how large they get is not documented.",
			URL:      "https://developers.docusign.com/platform/webhooks/connect/hmac/",
			Evidence: Documented,
		},
	},
	{
		Name:  "adyen_platform",
		Title: "Adyen for Platforms, management and other webhooks with the signature in a header",
		Scheme: HMAC{
			Config:   base64OfBody("", "HmacSignature").Config,
			Encoding: "hex",
			Form:     adyenKey,
		},
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "Customer Area → Developers → Webhooks → the webhook: HMAC key, hex digits.",
			Covers:   theBody,
			Retries:  "3 times at once, then for up to 30 days, with delays from 2 min to 8 hours.",
			Expects:  "Any 2xx within 10 s; 202 is recommended.",
			Note:     "A new HMAC key takes a while to reach all of Adyen: keep the old one beside it.",
			URL:      "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/",
			Evidence: Vector,
		},
	},
}

// What both of Shopify's ways have in common.
const shopifyNote = "The id, the topic, the time and the shop are not signed, so that a captured request with another id and time is another message: the application has to tell it by what is in the body."
