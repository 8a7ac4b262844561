// SPDX-License-Identifier: Apache-2.0

package senders

// Senders of Standard Webhooks, under the names webhook-* or svix-*. The id is
// signed, and stays the same when they try again.
var standardSenders = []Sender{
	{
		Name:   "standard_webhooks",
		Title:  "Standard Webhooks",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "The sender shows it with the endpoint, as whsec_ and base64; or as whpk_ and base64, if it signs with a private key.",
			Covers:   idAgeBody,
			Retries:  "Up to the sender. The example of the specification goes on for more than three days.",
			Expects:  "Any 2xx, within 15 to 30 s. A redirect is a failure.",
			URL:      "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
			Evidence: Vector,
		},
	},
	{
		Name:   "svix",
		Title:  "Svix, and whoever sends through it",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "In the consumer portal, on the page of the endpoint: Signing Secret, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "7 times over 28 hours by default. An endpoint that fails for five days is disabled.",
			Expects:  "Any 2xx, by default within 30 s. A redirect is a failure.",
			URL:      "https://docs.svix.com/receiving/verifying-payloads/how",
			Evidence: Vector,
		},
	},
	{
		Name:   "openai",
		Title:  "OpenAI",
		Scheme: Standard{LeadingZeros: true},
		Doc: Doc{
			Secret:   "Shown once, when the webhook is created in the settings of the project: whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "Reportedly for up to 72 hours.",
			Expects:  "Any 2xx within a few seconds. A redirect is a failure.",
			URL:      "https://platform.openai.com/docs/guides/webhooks",
			Evidence: Vector,
		},
	},
	{
		Name:   "anthropic",
		Title:  "Anthropic",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "Shown once, when the webhook is created in the Console (Manage → Webhooks): whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  notConfirmed,
			Expects:  "Reportedly any 2xx. A redirect is a failure.",
			URL:      "https://platform.claude.com/docs/en/managed-agents/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "clerk",
		Title:  "Clerk",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "In the dashboard, on the page of the webhook's endpoint: Signing Secret, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "As Svix, through which it sends: 7 times over 28 hours by default.",
			Expects:  "Any 2xx.",
			URL:      "https://clerk.com/docs/webhooks/overview",
			Evidence: Documented,
		},
	},
	{
		Name:   "resend",
		Title:  "Resend",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "On the page of the webhook in the dashboard: signing secret, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "7 times: after 5 s, 5 and 30 min, 2, 5, 10 and 10 hours. Replays can be asked for by hand.",
			Expects:  "Any 2xx.",
			URL:      "https://resend.com/docs/webhooks/retries-and-replays",
			Evidence: Documented,
		},
	},
	{
		Name:  "gitlab_signing",
		Title: "GitLab, with a signing token (19.0 and later)",
		// The secret token, which is another text, may happen to be base64.
		Scheme: Standard{Form: SecretForm{Expected: "the signing token, whsec_…", Prefix: "whsec_"}},
		Doc: Doc{
			Secret:   "Settings → Webhooks of the project or group: the signing token, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  notConfirmed,
			Expects:  gitlabExpects,
			Note:     "The id is that of Idempotency-Key, so an endpoint can take gitlab and gitlab_signing while one replaces the other.",
			URL:      "https://docs.gitlab.com/user/project/integrations/webhooks/",
			Evidence: Documented,
		},
	},
	{
		Name:   "polar",
		Title:  "Polar",
		Scheme: Standard{Encoding: "raw"},
		Doc: Doc{
			Secret:   "The secret of the endpoint in the organization's settings under Webhooks. The text itself is the key, also if it begins with whsec_.",
			Covers:   idAgeBody,
			Retries:  "10 times, with growing delays; then the endpoint is disabled.",
			Expects:  "Any 2xx, within 10 s by its source and 20 s by its documentation.",
			URL:      "https://polar.sh/docs/integrate/webhooks/delivery",
			Evidence: Documented,
		},
	},
	{
		Name:   "supabase",
		Title:  "Supabase Auth hooks",
		Scheme: Standard{},
		Waits:  true,
		Doc: Doc{
			Secret:  "Authentication → Hooks, where the HTTPS hook is created: v1,whsec_ and base64. The part before the comma may stay or go.",
			Covers:  idAgeBody,
			Retries: "Up to 3 times, 2 s apart, after a 429 or 503.",
			Expects: "200, 202 or 204, and for most hooks an answer in the body, reportedly within 5 s.",
			Note: "Supabase waits for what the application answers: the endpoint needs `passthrough *`. " +
				"Each attempt has a new id, so that attempts are not recognized as one message.",
			URL:      "https://supabase.com/docs/guides/auth/auth-hooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "anon",
		Title:  "Anon",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "In the dashboard, on the page of the endpoint: signing secret, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "One more attempt.",
			Expects:  "Any 2xx.",
			URL:      "https://anon.mintlify.app/v2/integration/webhooks",
			Evidence: Documented,
		},
	},
	{
		Name:   "scan_documents",
		Title:  "Scan Documents",
		Scheme: Standard{},
		Doc: Doc{
			Secret:   "In the dashboard, with the webhook: signing secret, as whsec_ and base64.",
			Covers:   idAgeBody,
			Retries:  "For up to 48 hours, with growing delays.",
			Expects:  "Any 2xx within 5 s; 202 is recommended.",
			Note:     "The callback URL of a single task is another thing: its requests are not signed.",
			URL:      "https://scan-documents.com/docs/webhooks",
			Evidence: Documented,
		},
	},
}
