// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func init() {
	caddy.RegisterModule(MatchJSON{})
}

// MatchJSON matches requests by values in their JSON bodies. The keys are paths
// to values, such as `type` or `data.object.0.id`, all of which must match; each
// has the values of which any will do.
//
//	{"webhook_inbox_json": {"type": ["url_verification"]}}
//
// A value is compared as text: a string as it is, a number as it is written, and
// true or false. The values may hold placeholders. With no values, or `*` alone, it
// is enough that there is such a value and that it is not empty. An object, an
// array and null match nothing.
//
// A body that is not JSON matches nothing, and neither does one of which JSON
// parsers would read different values, because a name on the path is there twice.
//
// It is made for `passthrough` and the routes of `deliver`, which have the body at
// hand. In other places it reads the body, of up to 1 MiB and for as long as the
// read timeouts of the server allow, and leaves it to the handlers as it was. A
// larger body matches nothing. There, the request is not verified yet.
//
// In the routes of `deliver`, the placeholder `{http.webhook_inbox.json.<path>}`
// is such a value, or empty.
type MatchJSON map[string][]string

// CaddyModule returns the Caddy module information.
func (MatchJSON) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.webhook_inbox_json",
		New: func() caddy.Module { return new(MatchJSON) },
	}
}

// Provision checks the paths.
func (m MatchJSON) Provision(caddy.Context) error {
	if len(m) == 0 {
		return fmt.Errorf("the path to a JSON value is missing")
	}
	for path := range m {
		if _, err := verify.ParseJSONPath(path); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalCaddyfile reads
//
//	webhook_inbox_json <path> [<value…>]
//	webhook_inbox_json {
//		<path> [<value…>]
//	}
//
// and may be repeated with other paths.
func (m *MatchJSON) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if *m == nil {
		*m = make(MatchJSON)
	}
	for d.Next() { // webhook_inbox_json, in each of its lines
		before := len(*m)
		if d.NextArg() {
			if err := m.unmarshalPath(d); err != nil {
				return err
			}
		}
		for d.NextBlock(0) {
			if err := m.unmarshalPath(d); err != nil {
				return err
			}
		}
		if len(*m) == before {
			return d.Err("the path is missing: webhook_inbox_json <path> [<value…>]")
		}
	}
	return nil
}

func (m *MatchJSON) unmarshalPath(d *caddyfile.Dispenser) error {
	path := d.Val()
	if _, err := verify.ParseJSONPath(path); err != nil {
		return d.WrapErr(err)
	}
	if _, ok := (*m)[path]; ok {
		return d.Errf("%s is there twice; one line takes all the values of which any will do", path)
	}
	values := d.RemainingArgs()
	if len(values) == 0 {
		values = []string{"*"}
	}
	(*m)[path] = values
	return nil
}

// MatchWithError reports whether the body of r has the values.
func (m MatchJSON) MatchWithError(r *http.Request) (bool, error) {
	body := peekBody(r)
	if len(body) == 0 {
		return false, nil
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		repl = caddy.NewReplacer()
	}
	for path, values := range m {
		text := lookupJSON(body, path)
		switch {
		case text == "":
			return false, nil
		case len(values) == 0, len(values) == 1 && values[0] == "*":
		case !slices.ContainsFunc(values, func(v string) bool { return repl.ReplaceAll(v, "") == text }):
			return false, nil
		}
	}
	return true, nil
}

// lookupJSON returns the value at a path, empty if there is not exactly one.
func lookupJSON(document []byte, path string) string {
	p, err := verify.ParseJSONPath(path)
	if err != nil {
		return ""
	}
	text, err := p.Lookup(document)
	if err != nil {
		return ""
	}
	return text
}

// peekLimit is the largest body that [peekBody] reads.
const peekLimit = 1 << 20

// peekBody returns the body of r, which can be read as before, or nil if it is
// larger than peekLimit or breaks off.
func peekBody(r *http.Request) []byte {
	if whole, ok := r.Body.(*wholeBody); ok {
		return whole.unread()
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > peekLimit {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, peekLimit+1))
	if err == nil && len(data) <= peekLimit {
		r.Body = newWholeBody(data, r.Body)
		return data
	}
	// A body that broke off does so again.
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), r.Body), r.Body}
	return nil
}

// wholeBody is a body that is in memory, where it can be seen without being read.
type wholeBody struct {
	bytes.Reader
	io.Closer
	data []byte
}

// newWholeBody returns the body data. Closing it closes c.
func newWholeBody(data []byte, c io.Closer) *wholeBody {
	b := &wholeBody{Closer: c, data: data}
	b.Reset(data)
	return b
}

func (b *wholeBody) unread() []byte { return b.data[len(b.data)-b.Len():] }

var (
	_ caddy.Provisioner                 = (*MatchJSON)(nil)
	_ caddyfile.Unmarshaler             = (*MatchJSON)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchJSON)(nil)
)
