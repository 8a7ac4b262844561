// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const tokenDirective = "webhook_inbox_token"

func init() {
	httpcaddyfile.RegisterHandlerDirective(tokenDirective, parseTokenDirective)
	// Before webhook_inbox, which comes right before respond: an inbox of a whole
	// site must not take the logins.
	httpcaddyfile.RegisterDirectiveOrder(tokenDirective, httpcaddyfile.After, "error")
}

// parseTokenDirective reads
//
//	webhook_inbox_token [<matcher>] <name> {
//		user      <name> <password>
//		client    <id> <secret>
//		attribute <name>
//		lifetime  <duration>
//		key       <key>
//	}
//
// user and client may be repeated. Without a matcher it takes all requests of the
// site that get as far, and answers those that are no login 400, or 405 if they are
// no POST: webhooks then have to be in a site of their own, or in a handle before.
func parseTokenDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next() // webhook_inbox_token
	args := h.RemainingArgs()
	switch {
	case len(args) == 0:
		return nil, h.Err("the issuer's name is missing after the matcher: webhook_inbox_token [<matcher>] <name>")
	case len(args) > 1:
		return nil, h.Errf("unexpected %s: webhook_inbox_token takes a matcher and a name", args[1])
	case !endpointName.MatchString(args[0]):
		return nil, h.Errf("name %q: it must be 1 to 64 of the characters a-z, 0-9, _ and -", args[0])
	}
	issuer := &TokenIssuer{Name: args[0]}
	seen := make(map[string]bool)
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		option := h.Val()
		if seen[option] && option != "user" && option != "client" {
			return nil, h.Errf("%s is there twice", option)
		}
		seen[option] = true
		if err := issuer.unmarshalOption(h); err != nil {
			return nil, err
		}
	}
	if len(issuer.Users)+len(issuer.Clients) == 0 {
		return nil, h.Errf("webhook_inbox_token %s: nobody may log in: add `user <name> <password>` or `client <id> <secret>`", issuer.Name)
	}
	return issuer, nil
}

func (i *TokenIssuer) unmarshalOption(h httpcaddyfile.Helper) error {
	d := h.Dispenser
	switch option := d.Val(); option {
	case "user":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Err("expected a name and a password: user sender {env.PASSWORD}")
		}
		i.Users = append(i.Users, TokenUser{Name: args[0], Password: args[1]})
		return nil
	case "client":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Err("expected an id and a secret: client sender {env.SECRET}")
		}
		i.Clients = append(i.Clients, TokenClient{ID: args[0], Secret: args[1]})
		return nil
	case "attribute":
		return oneArg(d, &i.Attribute)
	case "lifetime":
		return parseDuration(d, &i.Lifetime)
	case "key":
		return oneArg(d, &i.Key)
	default:
		return d.Errf("unrecognized option of webhook_inbox_token: %s; expected user, client, attribute, lifetime or key", option)
	}
}
