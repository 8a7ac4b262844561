// SPDX-License-Identifier: Apache-2.0

package senders

import "time"

// What both of GitLab's ways have in common.
const gitlabExpects = "Any 2xx, within 10 s on GitLab.com. After 4 failures in a row the webhook is disabled for a while, after 40 for good."

// Senders that sign nothing and send a token or a password.
var tokenSenders = []Sender{
	{
		Name:      "gitlab",
		Title:     "GitLab, with a secret token",
		Scheme:    Token{Header: "X-Gitlab-Token"},
		MessageID: inHeader("Idempotency-Key"),
		Dedupe:    Dedupe{On: []string{"id"}},
		Doc: Doc{
			Secret:   "Settings → Webhooks of the project or group: Secret token, a text of your choice.",
			Covers:   nothing,
			Retries:  notConfirmed,
			Expects:  gitlabExpects,
			Note:     "Since 19.0 GitLab prefers a signing token: see gitlab_signing. Before Idempotency-Key, messages are recognized by their content.",
			URL:      "https://docs.gitlab.com/user/project/integrations/webhooks/",
			Evidence: Documented,
		},
	},
	{
		Name:    "postmark",
		Title:   "Postmark",
		Scheme:  Basic{},
		Dedupe:  onContent(),
		MaxBody: 64 << 20, // attachments of 35 MB in base64, and the text
		Respond: 200,
		Doc: Doc{
			Secret:   "A user and a password of your choice, in the URL of the webhook: https://<user>:<password>@hooks.example.com/….",
			Covers:   nothing,
			Retries:  "10 times over 10.5 hours for inbound messages, fewer for the rest; never after a 403.",
			Expects:  "200.",
			URL:      "https://postmarkapp.com/developer/webhooks/webhooks-overview",
			Evidence: Documented,
		},
	},
	{
		Name:      "okta",
		Title:     "Okta event hooks",
		Scheme:    Token{Header: "Authorization"},
		MessageID: inJSON("eventId"),
		Dedupe:    Dedupe{On: []string{"id"}},
		Respond:   200,
		Doc: Doc{
			Secret:    "Workflow → Event Hooks: Authentication secret, a text of your choice, with the Authentication field Authorization.",
			Covers:    nothing,
			Retries:   "Once, and not after a 4xx.",
			Expects:   "200 or 204 within 3 s.",
			Handshake: "Tests the URL with a GET that has the header x-okta-verification-challenge, and wants it back as JSON: answer it with `respond`, as caddyfiles/okta.Caddyfile does.",
			URL:       "https://developer.okta.com/docs/concepts/event-hooks/",
			Evidence:  Documented,
		},
	},
	{
		Name:   "anesya",
		Title:  "Anesya",
		Scheme: Token{Header: "X-Webhook-Token"},
		// X-Webhook-Id may be the id of the webhook rather than of a message.
		Dedupe: onContent(),
		Doc: Doc{
			Secret:   "The token that is shown with the webhook.",
			Covers:   nothing,
			Retries:  "None. A message can be replayed by hand in the dashboard.",
			Expects:  "Any 2xx.",
			Note:     "X-Webhook-Id may be the id of the webhook, so it does not decide what is a duplicate. The body does: it holds a time and the id of the document.",
			URL:      "https://docs.anesya.app/tutorials/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "idexa",
		Title:  "IDEXA OCR",
		Scheme: Bearer{},
		// The id of the document, which may be processed again.
		MessageID: []ID{{Path: new(-1)}},
		Dedupe:    Dedupe{Window: 10 * time.Minute, On: []string{"content"}},
		Doc: Doc{
			Secret:   "A long random text, which the authorization of the webhook holds after \"Bearer \".",
			Covers:   nothing,
			Retries:  notDocumented,
			Expects:  notDocumented,
			Note:     "Give it a URL that ends in /:id, the id of the document. When that is processed again the same request may come again, so a repeat is a duplicate for 10 min only. If IDEXA fetches its token (authorizationUrl), use `verify bearer` with issued_by.",
			URL:      "https://documentation.idexa.pixforce.ai",
			Evidence: Documented,
		},
	},
}
