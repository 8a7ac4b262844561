// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// An id with nothing to end it is a header field like others, and its content has
// to count.
func TestSearchFindsASignedIDWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for _, signed := range []string{
		"{http.request.header.X-Acme-Id}{body}",
		"{body}{http.request.header.X-Acme-Id}",
		"{timestamp}{http.request.header.X-Acme-Id}{body}",
		"{http.request.header.X-Acme-Id}{timestamp}{body}",
	} {
		config := header()
		config.Signed = signed
		if strings.Contains(signed, "{timestamp}") {
			config.Timestamp = &verify.Timestamp{Header: "X-Acme-Time"}
		}
		r := set(send("[1]"), "X-Acme-Id", "msg_1")
		signHMAC(t, config, textSecret, "", r)
		f := one(t, search(r, []string{textSecret}))
		if want := (senders.HMAC{Config: config}); !reflect.DeepEqual(f.Scheme, want) {
			t.Errorf("found\n%+v, want\n%+v", f.Scheme, want)
		}
		if want := []doctor.ID{{ID: senders.ID{Header: "X-Acme-Id"}}}; !reflect.DeepEqual(f.IDs, want) {
			t.Errorf("the id is in %+v, want %+v", f.IDs, want)
		}
	}
}
