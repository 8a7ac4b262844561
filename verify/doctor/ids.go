// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// idsFor returns where the request has what may be the id of its message, for a
// scheme that has none: what the table says of the sender, or else by their names.
func (d diagnosis) idsFor(f Finding) []ID {
	traits := f.traits
	if traits.ID {
		return nil
	}
	covers := func(part string) bool { return traits.Covers != nil && traits.Covers(part) }
	var list []ID
	if f.Name != "" {
		for _, id := range d.row(f.Name).MessageID {
			signed := id.JSON != "" && covers("body") || id.Header != "" && covers("http.request.header."+id.Header)
			list = append(list, ID{id, signed})
		}
		return list
	}
	for _, n := range ids(d.r) {
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
