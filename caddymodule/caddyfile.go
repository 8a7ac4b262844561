// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective(appName, parseDirective)
	// Before the handlers that answer: an inbox beside a catch-all respond or
	// reverse_proxy must get its requests.
	httpcaddyfile.RegisterDirectiveOrder(appName, httpcaddyfile.Before, "respond")
}

// parseDirective reads
//
//	webhook_inbox [<matcher>] <endpoint> {
//		verify     <scheme> <arguments…> { … }
//		message_id header <name> | json <path> | query <name> | path <segment>
//		dedupe     <window> [on id|content|id content [with <header…>]] | off
//
//		max_body     <size>
//		read_timeout <duration>
//		max_size     <size>|<percentage>
//		respond      <status>
//
//		deliver <upstream…>
//		deliver {
//			<directives of an HTTP route>
//		}
//		passthrough     <matcher>
//		sign            standard_webhooks <secret…>
//		attempt_timeout <duration>
//		concurrency     <number>
//		retry {
//			backoff       <first> [<longest>]
//			give_up_after <duration>
//			max_attempts  <number>
//			give_up_on    <status…> | off
//		}
//		retain      <duration>
//		retain_dead <duration>
//	}
//
// verify, message_id and passthrough may be repeated.
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next() // webhook_inbox
	at := fmt.Sprintf("%s:%d", h.File(), h.Line())
	args := h.RemainingArgs()
	switch {
	case len(args) == 0:
		return nil, h.Err("endpoint name missing after the matcher: webhook_inbox [<matcher>] <endpoint>")
	case len(args) > 1:
		return nil, h.Errf("unexpected %s: webhook_inbox takes a matcher and an endpoint name", args[1])
	case !endpointName.MatchString(args[0]):
		return nil, h.Errf("endpoint name %q: it must be 1 to 64 of the characters a-z, 0-9, _ and -", args[0])
	}
	handler := &Handler{Endpoint: args[0]}
	if outer, ok := h.BlockState[appName].(string); ok {
		return nil, h.Errf("webhook_inbox is inside deliver of endpoint %s: a delivery goes to the application, not to another inbox", outer)
	}

	seen := make(map[string]bool)
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		name := h.Val()
		if seen[name] && name != "verify" && name != "message_id" && name != "passthrough" {
			return nil, h.Errf("%s is there twice", name)
		}
		seen[name] = true
		if err := handler.unmarshalOption(h); err != nil {
			return nil, err
		}
	}
	switch {
	case !seen["verify"]:
		return nil, h.Errf("endpoint %s: verify is missing: name the scheme of the sender, or write `verify none` to let everybody in", handler.Endpoint)
	case !seen["deliver"]:
		return nil, h.Errf("endpoint %s: deliver is missing: say where its messages go", handler.Endpoint)
	}
	return handler, checkSameEverywhere(h, handler, at)
}

// checkSameEverywhere refuses an endpoint that was read before with another
// configuration. Only here is it known where in the files each of them is.
func checkSameEverywhere(h httpcaddyfile.Helper, handler *Handler, at string) error {
	type place struct {
		fingerprint fingerprint
		at          string
	}
	f, err := newFingerprint(handler)
	if err != nil {
		return h.WrapErr(err)
	}
	key := appName + "/" + handler.Endpoint
	first, ok := h.State[key].(place)
	if !ok {
		h.State[key] = place{f, at}
		return nil
	}
	if fields := f.differences(first.fingerprint); len(fields) > 0 {
		return h.Errf("endpoint %s is configured at %s and at %s, and differently in %s: one name is one endpoint",
			handler.Endpoint, first.at, at, strings.Join(fields, ", "))
	}
	return nil
}

func (h *Handler) unmarshalOption(helper httpcaddyfile.Helper) (err error) {
	d := helper.Dispenser
	switch option := d.Val(); option {
	case "verify":
		return h.unmarshalVerify(d)
	case "message_id":
		return h.unmarshalMessageID(d)
	case "dedupe":
		return h.unmarshalDedupe(d)
	case "max_body":
		h.MaxBody, err = parseSize(d)
	case "read_timeout":
		err = parseDuration(d, &h.ReadTimeout)
	case "max_size":
		return h.unmarshalMaxSize(d)
	case "respond":
		return h.unmarshalRespond(d)
	case "deliver":
		return h.unmarshalDeliver(helper)
	case "passthrough":
		return h.unmarshalPassthrough(helper)
	case "sign":
		return h.unmarshalSign(d)
	case "attempt_timeout":
		err = parseDuration(d, &h.AttemptTimeout)
	case "concurrency":
		err = parseInt(d, 1, &h.Concurrency)
	case "retry":
		return h.unmarshalRetry(d)
	case "retain":
		h.Retain = new(caddy.Duration)
		err = parseDurationOrZero(d, h.Retain)
	case "retain_dead":
		err = parseDuration(d, &h.RetainDead)
	default:
		return d.Errf("unrecognized option of webhook_inbox: %s; expected verify, message_id, dedupe, max_body, read_timeout, max_size, respond, deliver, passthrough, sign, attempt_timeout, concurrency, retry, retain or retain_dead", option)
	}
	return err
}

func (h *Handler) unmarshalVerify(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("the scheme is missing: verify <scheme> …")
	}
	scheme := d.Val()
	if err := checkScheme(scheme); err != nil {
		return d.WrapErr(err)
	}
	v, err := caddyfile.UnmarshalModule(d, verifierNamespace+"."+scheme)
	if err != nil {
		return err
	}
	h.VerifyRaw = append(h.VerifyRaw, caddyconfig.JSONModuleObject(v, "scheme", scheme, nil))
	return nil
}

func moduleNames(namespace string) []string {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	return names
}

func (h *Handler) unmarshalMessageID(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("expected: message_id header <name> | json <path> | query <name> | path <segment>")
	}
	var part MessageIDPart
	switch args[0] {
	case "header":
		part.Header = args[1]
	case "json":
		part.JSON = args[1]
	case "query":
		part.Query = args[1]
	case "path":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return d.Errf("message_id path %s: expected the number of a segment, from 0, or from -1 for the last", args[1])
		}
		part.Path = &n
	default:
		return d.Errf("unrecognized place of a message_id: %s; expected header, json, query or path", args[0])
	}
	if err := part.validate(); err != nil {
		return d.Errf("message_id: %v", err)
	}
	h.MessageID = append(h.MessageID, part)
	return nil
}

func (h *Handler) unmarshalDedupe(d *caddyfile.Dispenser) error {
	const usage = "expected: dedupe <window> [on id|content|id content [with <header…>]] or dedupe off"
	args := d.RemainingArgs()
	h.Dedupe = new(Dedupe)
	switch {
	case len(args) == 0:
		return d.Err(usage)
	case args[0] == "off" && len(args) > 1:
		return d.Errf("dedupe off takes nothing else; %s", usage)
	case args[0] == "off":
		h.Dedupe.Off = true
		return nil
	case args[0] != "on":
		window, err := caddy.ParseDuration(args[0])
		if err != nil || window <= 0 {
			return d.Errf("dedupe window %s is no duration such as 96h; %s", args[0], usage)
		}
		h.Dedupe.Window = caddy.Duration(window)
		args = args[1:]
	}
	if len(args) == 0 {
		return nil
	}
	if args[0] != "on" || len(args) == 1 {
		return d.Err(usage)
	}
	on := &h.Dedupe.On
	for _, word := range args[1:] {
		switch {
		case on == &h.Dedupe.With:
			h.Dedupe.With = append(h.Dedupe.With, word)
		case word == "with":
			on = &h.Dedupe.With
		case word == "id", word == "content":
			if slices.Contains(h.Dedupe.On, word) {
				return d.Errf("%s is there twice; %s", word, usage)
			}
			h.Dedupe.On = append(h.Dedupe.On, word)
		default:
			return d.Errf("unrecognized word %s; %s", word, usage)
		}
	}
	if len(h.Dedupe.On) == 0 || on == &h.Dedupe.With && len(h.Dedupe.With) == 0 {
		return d.Err(usage)
	}
	return nil
}

func (h *Handler) unmarshalMaxSize(d *caddyfile.Dispenser) (err error) {
	if !d.NextArg() {
		return d.ArgErr()
	}
	percentage, ok := strings.CutSuffix(d.Val(), "%")
	if !ok {
		d.Prev()
		h.MaxSize, err = parseSize(d)
		return err
	}
	h.MaxShare, err = strconv.Atoi(percentage)
	if err != nil || h.MaxShare < 1 || h.MaxShare > 100 {
		return d.Errf("max_size %s: expected a size such as 1GiB, or a percentage of the queue from 1%% to 100%%", d.Val())
	}
	return noMoreArgs(d)
}

func (h *Handler) unmarshalRespond(d *caddyfile.Dispenser) error {
	if err := parseInt(d, 200, &h.Respond); err != nil {
		return err
	}
	if h.Respond > 299 {
		return d.Errf("respond %d: expected a status from 200 to 299, with which the sender is done", h.Respond)
	}
	return nil
}
