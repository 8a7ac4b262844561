// SPDX-License-Identifier: Apache-2.0

// Package caddymodule is the webhook inbox inside Caddy. It is the only package
// of the project that knows Caddy.
//
// A request comes in at [Handler], which reads, verifies and publishes it, and
// answers once it is on disk. The [App] owns the open queue. For each endpoint a
// dispatcher takes messages out of the queue and runs them through the delivery
// route, an ordinary chain of Caddy handlers:
//
//	sender ─▶ Handler ─▶ verify.Verifier ─▶ queue.Publish ─▶ 202
//	             │                              │
//	             │ finds its inbox in           ▼
//	            App ──── attaches to ───▶ inbox ─▶ queue.Dispatcher ─▶ deliver ─▶ application
//
// Configurations come and go; the inbox stays. It is shared through a pool by
// all configurations that name the same queue, so that a reload neither closes
// the queue nor interrupts a delivery.
//
// The modules are
//
//	webhook_inbox                    App
//	http.handlers.webhook_inbox      Handler
//	http.handlers.webhook_inbox_token TokenIssuer
//	webhook_inbox.queues.badger      BadgerEngine
//	webhook_inbox.verifiers.svix     and standard_webhooks, token, bearer, basic, hmac, public_key, jwt, none;
//	                                 and one for each sender that package verify/senders knows
//	http.matchers.webhook_inbox_json MatchJSON
//	admin.api.webhook_inbox          Admin
//
// What `passthrough` matches takes the same route, at once and past the queue, and
// its sender gets the application's answer.
//
// A further scheme is a module webhook_inbox.verifiers.<name> that is a
// verify.Verifier, a further engine a module webhook_inbox.queues.<name> that is
// an [Engine]; to be used from a Caddyfile they are caddyfile.Unmarshalers too.
//
// In a delivery route these placeholders are set, beside those of the request:
//
//	{http.webhook_inbox.id}           the id of the message
//	{http.webhook_inbox.endpoint}     the name of the endpoint
//	{http.webhook_inbox.attempt}      the number of the attempt, from 1
//	{http.webhook_inbox.received_at}  when it was received, in RFC 3339
//	{http.webhook_inbox.scheme}       the scheme that accepted it
//	{http.webhook_inbox.json.<path>}  a value in its JSON body, empty if it is not there
package caddymodule
