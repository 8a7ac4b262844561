// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// How a sender of the table signs, in a few words for its columns.

// describeScheme says with what a sender proves what.
func describeScheme(scheme senders.Scheme) string {
	switch s := scheme.(type) {
	case senders.Standard:
		return "Standard Webhooks"
	case senders.HMAC:
		return "HMAC-" + strings.ToUpper(cmp.Or(s.Config.Algorithm, "sha256")) + " of " + shortTemplate(s.Config.Signed)
	case senders.PublicKey:
		return s.Config.Algorithm + " of " + shortTemplate(s.Config.Signed)
	case senders.Token, senders.Bearer:
		return "token"
	case senders.Basic:
		return "user and password"
	case senders.ClientState:
		return "token in the body"
	case senders.Twilio:
		return "HMAC-SHA1 of URL and form"
	case senders.Adyen:
		return "HMAC-SHA256 of 8 fields"
	case senders.HubSpot:
		if s.Version == 1 {
			return "SHA256 of secret{body}"
		}
		return "SHA256 of secret{method}{url}{body}"
	case senders.JWT:
		if s.Config.BodyClaim != "" {
			return "JSON Web Token (" + s.Config.Algorithm + ") with a hash of {body}"
		}
		return "JSON Web Token (" + s.Config.Algorithm + ")"
	default:
		return "a scheme of its own"
	}
}

// shortTemplate shortens the names of the placeholders, as a Caddyfile can.
func shortTemplate(template string) string {
	return strings.NewReplacer("http.request.header.", "header.", "http.request.uri.path", "path", "http.request.", "").
		Replace(cmp.Or(template, "{body}"))
}

// describePlace says where what proves a request stands.
func describePlace(scheme senders.Scheme) string {
	switch fields := doctor.Headers(scheme); {
	case len(fields) > 3:
		return fmt.Sprintf("%s and %d more", fields[0], len(fields)-1)
	case len(fields) > 0:
		return strings.Join(fields, ", ")
	default:
		return "in the body"
	}
}

// describeTolerance says how old a request may be.
func describeTolerance(scheme senders.Scheme) string {
	if tolerance := scheme.Needs().Tolerance; tolerance != 0 {
		return shortDuration(tolerance)
	}
	return "none"
}

// describeID says where the id of a message is.
func describeID(row senders.Sender) string {
	var places []string
	for _, id := range row.MessageID {
		places = append(places, strings.TrimPrefix(messageIDLine(id), "message_id "))
	}
	if len(places) > 0 {
		return strings.Join(places, " + ")
	}
	var id *verify.ID
	switch s := row.Scheme.(type) {
	case senders.Standard:
		return "webhook-id, svix-id"
	case senders.HMAC:
		id = s.Config.ID
	case senders.PublicKey:
		id = s.Config.ID
	}
	if id != nil {
		return strings.Join(idLine(id)[1:], " ")
	}
	return "none"
}

// describeDedupe says by what duplicates are recognized.
func describeDedupe(row senders.Sender) string {
	d := row.Dedupe
	on := strings.Join(d.On, ", ")
	switch {
	case d.Off:
		return "off"
	case on == "" && describeID(row) == "none":
		on = "content"
	case on == "":
		on = "id"
	}
	if len(d.With) > 0 {
		on += " with " + strings.Join(d.With, ", ")
	}
	if d.Window != 0 {
		on += fmt.Sprintf(" (%s)", shortDuration(d.Window))
	}
	return on
}
