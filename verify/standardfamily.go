// SPDX-License-Identifier: Apache-2.0

package verify

import "net/http"

// A family is a set of header names that belong together.
type family struct{ id, timestamp, signature string }

var families = [...]family{
	{"Svix-Id", "Svix-Timestamp", "Svix-Signature"},
	{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
}

// familyValues are what a header has of a family.
type familyValues struct{ id, timestamp, signature []string }

func (f *family) values(h http.Header) familyValues {
	return familyValues{h[f.id], h[f.timestamp], h[f.signature]}
}

// checkOnce refuses a field that is there more than once.
func (v *familyValues) checkOnce(f *family) (err error) {
	switch {
	case len(v.id) > 1:
		_, err = one(v.id, f.id)
	case len(v.timestamp) > 1:
		_, err = one(v.timestamp, f.timestamp)
	case len(v.signature) > 1:
		_, err = one(v.signature, f.signature)
	}
	return err
}
