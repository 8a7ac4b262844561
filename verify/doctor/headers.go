// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"slices"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Headers returns the names of the header fields that hold what proves a scheme's
// requests, of which any one is there. It is empty for a scheme whose proof is in
// the body.
func Headers(scheme senders.Scheme) []string {
	var names []string
	switch s := scheme.(type) {
	case senders.Standard:
		names = []string{"Webhook-Signature", "Svix-Signature"}
	case senders.HMAC:
		names = s.Config.Signature.Headers
	case senders.PublicKey:
		names = s.Config.Signature.Headers
	case senders.Token:
		names = []string{s.Header}
	case senders.Bearer, senders.Basic:
		names = []string{"Authorization"}
	case senders.Twilio:
		names = []string{"X-Twilio-Signature"}
	case senders.HubSpot:
		names = []string{"X-HubSpot-Signature"}
	case senders.JWT:
		names = []string{cmp.Or(s.Config.Header, "Authorization")}
	}
	return slices.Clone(names)
}
