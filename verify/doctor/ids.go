// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// ofTheRequest are fields that name a request, a connection or a caller, and no
// message: something on the way may have set them.
var ofTheRequest = []string{"X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Trace-Id", "X-Amzn-Trace-Id", "X-Api-Key"}

// idsFor returns where the request has what may be the id of its message, for a
// scheme that has none: what the table says of the sender, as far as it is there, or
// else by their names.
func (d diagnosis) idsFor(f Finding) []ID {
	traits := f.traits
	if traits.ID {
		return nil
	}
	covers := func(part string) bool { return traits.Covers != nil && traits.Covers(part) }
	var list []ID
	if f.Name != "" {
		for _, id := range d.row(f.Name).MessageID {
			if !d.has(id) {
				continue
			}
			signed := id.JSON != "" && covers("body") || id.Header != "" && covers("http.request.header."+id.Header)
			list = append(list, ID{id, signed})
		}
		return list
	}
	for _, n := range ids(d.r) {
		if slices.Contains(ofTheRequest, n.header) {
			continue
		}
		// A header field that is signed without an end can be changed.
		signed := n.json != "" && covers("body")
		list = append(list, ID{senders.ID{Header: n.header, JSON: n.json}, signed})
	}
	slices.SortStableFunc(list, func(a, b ID) int {
		switch {
		case a.Signed == b.Signed:
			return 0
		case a.Signed:
			return -1
		default:
			return 1
		}
	})
	return list
}

// has reports whether the request has something at a place.
func (d diagnosis) has(id senders.ID) bool {
	switch {
	case id.Header != "":
		return d.r.Header.Get(id.Header) != ""
	case id.JSON != "":
		path, err := verify.ParseJSONPath(id.JSON)
		if err != nil {
			return false
		}
		text, err := path.Lookup(d.r.Body)
		return err == nil && text != ""
	default:
		return true
	}
}
