// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// unmarshalDeliver reads upstreams, or a block with a route.
func (h *Handler) unmarshalDeliver(helper httpcaddyfile.Helper) error {
	segment := helper.Dispenser.NewFromNextSegment()
	segment.Next() // deliver
	upstreams := segment.RemainingArgs()
	hasBlock := segment.NextBlock(segment.Nesting())
	segment.Reset()
	segment.Next() // deliver again, so that errors have its line
	switch {
	case len(upstreams) > 0 && hasBlock:
		return segment.Errf("deliver takes upstreams or a block: deliver { reverse_proxy %s { … } }", strings.Join(upstreams, " "))
	case len(upstreams) > 0:
		return h.deliverTo(helper.WithDispenser(caddyfile.NewDispenser(
			append([]caddyfile.Token{renamed(segment.Token(), "reverse_proxy")}, argTokens(segment)...))))
	case !hasBlock:
		return segment.Err("deliver is empty: expected upstreams, or a block with the directives of a route")
	}
	segment.Reset()
	inner := helper.WithDispenser(segment)
	inner.BlockState = map[string]any{appName: h.Endpoint}
	route, err := httpcaddyfile.ParseSegmentAsSubroute(inner)
	if err != nil {
		return err
	}
	subroute, ok := route.(*caddyhttp.Subroute)
	if !ok {
		return helper.Errf("deliver: unexpected %T", route)
	}
	if h.Deliver, err = renameGroups(subroute.Routes); err != nil {
		return helper.Errf("deliver: %v", err)
	}
	return nil
}

func renamed(t caddyfile.Token, name string) caddyfile.Token {
	t.Text = name
	return t
}

func argTokens(d *caddyfile.Dispenser) (tokens []caddyfile.Token) {
	for d.NextArg() {
		tokens = append(tokens, d.Token())
	}
	return tokens
}

// deliverTo is the short form. It goes past the directive reverse_proxy, which
// would take a first argument such as /path for a matcher; its own parser would
// take that for a host.
func (h *Handler) deliverTo(helper httpcaddyfile.Helper) error {
	for helper.Next() {
		if text := helper.Val(); text == "*" || strings.HasPrefix(text, "/") || strings.HasPrefix(text, "@") {
			return helper.Errf("deliver %s: it takes no matcher, only upstreams such as app:8080; a matcher goes into its block", text)
		}
	}
	helper.Reset()
	proxy := new(reverseproxy.Handler)
	if err := proxy.UnmarshalCaddyfile(helper.Dispenser); err != nil {
		return err
	}
	if err := proxy.FinalizeUnmarshalCaddyfile(helper); err != nil {
		return err
	}
	h.Deliver = caddyhttp.RouteList{{
		HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(proxy, "handler", "reverse_proxy", nil)},
	}}
	return nil
}
