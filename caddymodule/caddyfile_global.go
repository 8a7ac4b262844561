// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/dustin/go-humanize"
)

// parseGlobalOption reads
//
//	{
//		webhook_inbox {
//			queue <engine> <arguments…> { … }
//			max_in_flight <size>
//		}
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // webhook_inbox
	if existing != nil {
		return nil, d.Err("the global option webhook_inbox is there twice")
	}
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	app := new(App)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch option := d.Val(); option {
		case "queue":
			err = app.unmarshalQueue(d)
		case "max_in_flight":
			if app.MaxInFlight != 0 {
				return nil, d.Err("max_in_flight is there twice")
			}
			app.MaxInFlight, err = parseSize(d)
		default:
			err = d.Errf("unrecognized option of webhook_inbox: %s; expected queue or max_in_flight", option)
		}
		if err != nil {
			return nil, err
		}
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

func (a *App) unmarshalQueue(d *caddyfile.Dispenser) error {
	if a.QueueRaw != nil {
		return d.Err("queue is there twice")
	}
	if !d.NextArg() {
		return d.Err("the engine is missing: queue badger")
	}
	engine, namespace := d.Val(), appName+".queues"
	known := moduleNames(namespace)
	if !slices.Contains(known, engine) {
		return d.Errf("unrecognized engine %s; expected one of %s", engine, strings.Join(known, ", "))
	}
	m, err := caddyfile.UnmarshalModule(d, namespace+"."+engine)
	if err != nil {
		return err
	}
	a.QueueRaw = caddyconfig.JSONModuleObject(m, "engine", engine, nil)
	return nil
}

// oneArg reads the one argument of an option.
func oneArg(d *caddyfile.Dispenser, to *string) error {
	if !d.NextArg() || d.Val() == "" {
		return d.ArgErr()
	}
	*to = d.Val()
	return noMoreArgs(d)
}

func noMoreArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// parseDuration reads a duration that is not zero: left out, an option has its
// default, and written out as 0 it would have it too.
func parseDuration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option := d.Val()
	if err := parseDurationOrZero(d, to); err != nil {
		return err
	}
	if *to == 0 {
		return d.Errf("%s must be longer than 0", option)
	}
	return nil
}

func parseDurationOrZero(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	duration, err := caddy.ParseDuration(text)
	if err != nil || duration < 0 {
		return d.Errf("%s %s: expected a duration such as 30s, 5m, 24h or 30d", option, text)
	}
	*to = caddy.Duration(duration)
	return nil
}

func parseSize(d *caddyfile.Dispenser) (int64, error) {
	option, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return 0, err
	}
	size, err := humanize.ParseBytes(text)
	if err != nil || size == 0 || size > math.MaxInt64 {
		return 0, d.Errf("%s %s: expected a size such as 512KiB, 8MiB or 10GiB", option, text)
	}
	return int64(size), nil
}

// parseInt reads a number that is at least the given one.
func parseInt(d *caddyfile.Dispenser, least int, to *int) error {
	option, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return d.Errf("%s %s: expected a number, at least %d", option, text, least)
	}
	*to = n
	return nil
}
