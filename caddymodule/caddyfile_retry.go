// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalRetry reads when to try again, and when to give up.
func (h *Handler) unmarshalRetry(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Err("retry takes a block")
	}
	h.Retry = new(Retry)
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is there twice", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "backoff":
			err = h.Retry.unmarshalBackoff(d)
		case "give_up_after":
			h.Retry.GiveUpAfter = new(caddy.Duration)
			err = parseDurationOrZero(d, h.Retry.GiveUpAfter)
		case "max_attempts":
			err = parseInt(d, 0, &h.Retry.MaxAttempts)
		case "give_up_on":
			err = h.Retry.unmarshalGiveUpOn(d)
		default:
			err = d.Errf("unrecognized option of retry: %s; expected backoff, give_up_after, max_attempts or give_up_on", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Retry) unmarshalBackoff(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Err("expected: backoff <first> [<longest>]")
	}
	for i, to := range []*caddy.Duration{&r.First, &r.Longest}[:len(args)] {
		delay, err := caddy.ParseDuration(args[i])
		if err != nil || delay <= 0 {
			return d.Errf("backoff %s: expected a duration such as 1s", args[i])
		}
		*to = caddy.Duration(delay)
	}
	return nil
}

func (r *Retry) unmarshalGiveUpOn(d *caddyfile.Dispenser) error {
	const usage = "expected statuses such as 410 or 4xx, or off"
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("give_up_on: %s", usage)
	}
	r.GiveUpOn = &[]int{}
	if len(args) == 1 && args[0] == "off" {
		return nil
	}
	for _, arg := range args {
		status, err := strconv.Atoi(strings.TrimSuffix(arg, "xx"))
		if class := strings.HasSuffix(arg, "xx"); err != nil || class && (status < 3 || status > 5) || !class && (status < 300 || status > 599) {
			return d.Errf("give_up_on %s: %s", arg, usage)
		}
		*r.GiveUpOn = append(*r.GiveUpOn, status)
	}
	return nil
}
