// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The largest body of a handshake and the largest text that is sent back. They
// are far beyond what senders send.
const (
	maxHandshake = 16 << 10
	maxChallenge = 4 << 10
)

// slackChallenge sends the challenge of Slack's url_verification back as text.
func slackChallenge(r *verify.Request, _ []string) (Answer, bool) {
	b, ok := readHandshake(r)
	if !ok || b.text("type") != "url_verification" {
		return Answer{}, false
	}
	challenge := b.text("challenge")
	if challenge == "" || len(challenge) > maxChallenge {
		return Answer{}, false
	}
	return Answer{http.StatusOK, "text/plain; charset=utf-8", []byte(challenge)}, true
}

// zoomValidation sends the plainToken of Zoom's endpoint.url_validation back with
// its MAC. One with a colon in it gets none: it could be what Zoom signs of a
// message, v0:{timestamp}:{body}. Of several secrets it takes the first, which therefore has to be the
// one that Zoom shows now.
func zoomValidation(r *verify.Request, secrets []string) (Answer, bool) {
	b, ok := readHandshake(r)
	if !ok || len(secrets) == 0 || b.text("event") != "endpoint.url_validation" {
		return Answer{}, false
	}
	token := b.text("payload.plainToken")
	if token == "" || len(token) > maxChallenge || strings.Contains(token, ":") {
		return Answer{}, false
	}
	mac := hmac.New(sha256.New, []byte(secrets[0]))
	mac.Write([]byte(token))
	body, err := json.Marshal(struct {
		PlainToken     string `json:"plainToken"`
		EncryptedToken string `json:"encryptedToken"`
	}{token, hex.EncodeToString(mac.Sum(nil))})
	return Answer{http.StatusOK, "application/json", body}, err == nil
}

// discordPing acknowledges both of Discord's PINGs. That of webhook events is of
// type 0. That of interactions is of type 1, as every webhook event is: it has
// an id and a token, which these lack, and no event.
func discordPing(r *verify.Request, _ []string) (Answer, bool) {
	b, ok := readHandshake(r)
	if !ok || b.has("event") || b.has("data") || b.number("version") != "1" {
		return Answer{}, false
	}
	interaction := b.text("id") != "" && b.text("token") != ""
	switch t := b.number("type"); {
	case t == "0" && !interaction:
		// It wants a content type, even where there is no content.
		return Answer{http.StatusNoContent, "application/json", nil}, true
	case t == "1" && interaction:
		return Answer{http.StatusOK, "application/json", []byte(`{"type":1}`)}, true
	default:
		return Answer{}, false
	}
}

// handshakeBody is the body of what may be a handshake: a small JSON object.
type handshakeBody struct {
	document []byte
	members  map[string]json.RawMessage
}

func readHandshake(r *verify.Request) (b handshakeBody, ok bool) {
	if r.Method != http.MethodPost || len(r.Body) > maxHandshake || json.Unmarshal(r.Body, &b.members) != nil {
		return handshakeBody{}, false
	}
	b.document = r.Body
	return b, true
}

// has reports whether there is such a member, whatever it is.
func (b handshakeBody) has(name string) bool { return b.members[name] != nil }

// text returns the text at a path, empty if there is not exactly one.
func (b handshakeBody) text(path string) string {
	p, err := verify.ParseJSONPath(path)
	if err != nil {
		return ""
	}
	text, err := p.Lookup(b.document)
	if err != nil {
		return ""
	}
	return text
}

// number returns a member that is a number, as it is written, and else nothing.
func (b handshakeBody) number(name string) string {
	if text := b.text(name); text == string(b.members[name]) {
		return text
	}
	return "" // a string, in quotes
}
