// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Every sender can be named in a Caddyfile with nothing but its secret, and
// without it the error shows how.
func TestEverySenderIsAScheme(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	for _, row := range senders.All() {
		t.Run(row.Name, func(t *testing.T) {
			site := ":8080 {\n" + newKnownSender(t, row).site("app:8080") + "}\n"
			config, _, err := adapt(site)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(config); err != nil {
				t.Error(err)
			}
			_, _, err = adapt(":8080 {\nwebhook_inbox demo {\nverify " + row.Name + "\ndeliver app:8080\n}\n}\n")
			checkRefused(t, err, "verify "+row.Name+" {env.", "is missing")
		})
	}
	nothingOpened(t, dir)
}

// What a sender signs is accepted with the status that it wants, and is a
// duplicate when it comes again, if its duplicates are to be recognized. With a
// byte of the header or of a signed body changed, or signed with another secret,
// it is refused.
func TestWhatEverySenderSigns(t *testing.T) {
	rows := senders.All()
	app := newApplication(t)
	s := newServer(t)
	known := make([]*knownSender, len(rows))
	var site strings.Builder
	for i, row := range rows {
		known[i] = newKnownSender(t, row)
		fmt.Fprintf(&site, "handle /%s/* {\n%s}\n", row.Name, known[i].site(app.addr))
	}
	s.load(site.String())
	for _, from := range known {
		t.Run(from.row.Name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			status := http.StatusAccepted
			if from.row.Respond != 0 {
				status = from.row.Respond
			}
			duplicates := func() float64 {
				return s.metric(fmt.Sprintf(`caddy_webhook_inbox_received_total{endpoint=%q,outcome="duplicate"}`, from.row.Name))
			}

			r := from.sign(t, s.addr, "1")
			s.expect(status, r.Method, r.URI, r.Header, string(r.Body))
			if d := app.next(); d.URI != r.URI || d.Body != string(r.Body) || d.Header.Get("Webhook-Inbox-Scheme") != from.row.Name {
				t.Errorf("delivered %+v, want what was sent: %s %s", d, r.URI, r.Body)
			}
			s.expect(status, r.Method, r.URI, r.Header, string(r.Body))
			if from.row.Dedupe.Off {
				app.next()
				if n := duplicates(); n != 0 {
					t.Errorf("with deduplication off %v messages are duplicates", n)
				}
			} else if n := duplicates(); n != 1 {
				t.Errorf("of the same message twice %v are duplicates, want 1", n)
			}

			for name := range from.fields {
				forged := r.Header.Clone()
				forged.Set(name, changed(forged.Get(name)))
				s.expect(http.StatusUnauthorized, r.Method, r.URI, forged, string(r.Body))
			}
			if from.covers("body") {
				s.expect(http.StatusUnauthorized, r.Method, r.URI, r.Header, strings.Replace(string(r.Body), "hello", "hellp", 1))
			}
			if from.covers("http.request.uri") {
				s.expect(http.StatusUnauthorized, r.Method, strings.Replace(r.URI, "/1", "/2", 1), r.Header, string(r.Body))
			}
			stranger := newKnownSender(t, from.row).sign(t, s.addr, "2")
			s.expect(http.StatusUnauthorized, stranger.Method, stranger.URI, stranger.Header, string(stranger.Body))

			last := from.sign(t, s.addr, "3")
			s.expect(status, last.Method, last.URI, last.Header, string(last.Body))
			if d := app.next(); d.Body != string(last.Body) {
				t.Errorf("delivered %s, want the next message", d.Body)
			}
			s.settled(from.row.Name)
			app.none()
		})
	}
}

// changed returns the text with one character changed, in its second half, where
// it is no prefix of a signature.
func changed(text string) string {
	for i := len(text) * 3 / 4; i < len(text); i++ {
		switch c := text[i]; {
		case c >= 'a' && c < 'f', c >= 'A' && c < 'F', c >= '0' && c < '9':
			return text[:i] + string(c+1) + text[i+1:]
		case c == 'f', c == 'F', c == '9':
			return text[:i] + string(c-1) + text[i+1:]
		}
	}
	return text + "0"
}

// knownSender is a sender with a secret that nobody else has.
type knownSender struct {
	row    senders.Sender
	keys   senders.Keys
	fields http.Header                // that signing sets
	own    func(signed []byte) []byte // with the private key, if it has one
}

func newKnownSender(t *testing.T, row senders.Sender) *knownSender {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	s := &knownSender{row: row, keys: senders.Keys{Secrets: []string{hex.EncodeToString(secret)}}}
	switch scheme := row.Scheme.(type) {
	case senders.Standard:
		s.keys.Secrets[0] = "whsec_" + base64.StdEncoding.EncodeToString(secret)
	case senders.PublicKey:
		s.makeKey(t, scheme.Config.Algorithm)
	}
	if row.Scheme.Needs().User {
		s.keys.User = "hooks"
	}
	return s
}

func (s *knownSender) makeKey(t *testing.T, algorithm string) {
	t.Helper()
	if algorithm == "ed25519" {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		s.keys.Secrets[0] = hex.EncodeToString(public)
		s.own = func(signed []byte) []byte { return ed25519.Sign(private, signed) }
		return
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.keys.Secrets[0] = base64.StdEncoding.EncodeToString(der)
	s.own = func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
		if err != nil {
			t.Error(err)
		}
		return signature
	}
}

// site is an endpoint for the sender, of its name, with nothing but what has to be said.
func (s *knownSender) site(app string) string {
	args := slices.DeleteFunc([]string{s.row.Name, s.keys.User, s.keys.Secrets[0]}, func(arg string) bool { return arg == "" })
	return fmt.Sprintf("webhook_inbox %s {\n\tverify %s\n\tdeliver %s\n}\n", s.row.Name, strings.Join(args, " "), app)
}

func (s *knownSender) covers(part string) bool {
	v, err := s.row.Scheme.Verifier(s.keys)
	if err != nil {
		return false
	}
	covers := v.Traits().Covers
	return covers != nil && covers(part)
}

// sign returns a message with that id as the sender would send it.
func (s *knownSender) sign(t *testing.T, host, id string) *verify.Request {
	t.Helper()
	r := &verify.Request{
		Method: "POST",
		URI:    "/" + s.row.Name + "/" + id,
		Header: header("Content-Type", "application/json"),
		Body:   s.body(t, id),
		Lookup: func(name string) (string, bool) {
			value, ok := map[string]string{
				"http.request.method": "POST", "http.request.scheme": "http", "http.request.hostport": host,
			}[name]
			return value, ok
		},
	}
	for _, part := range s.row.MessageID {
		if part.Header != "" {
			r.Header.Set(part.Header, id)
		}
	}
	before := r.Header.Clone()
	err := s.row.Scheme.Sign(s.keys, r, id, time.Now())
	if errors.Is(err, senders.ErrCannotSign) && s.own != nil {
		err = s.signWithKey(r, id)
	}
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	s.fields = r.Header.Clone()
	maps.DeleteFunc(s.fields, func(name string, _ []string) bool { return before[name] != nil })
	return r
}

// signWithKey does what only the sender can: it signs with the private key.
func (s *knownSender) signWithKey(r *verify.Request, id string) error {
	config := s.row.Scheme.(senders.PublicKey).Config
	if config.Timestamp == nil || config.Timestamp.Header == "" || config.ID != nil {
		return errors.New("this test does not know how this sender signs")
	}
	timestamp := fmt.Sprint(time.Now().Unix())
	signature := s.own([]byte(strings.NewReplacer("{timestamp}", timestamp, "{body}", string(r.Body)).Replace(config.Signed)))
	text := hex.EncodeToString(signature)
	if config.Signature.Encoding == "base64" {
		text = base64.StdEncoding.EncodeToString(signature)
	}
	r.Header.Set(config.Timestamp.Header, timestamp)
	r.Header.Set(config.Signature.Headers[0], text)
	return nil
}

// body is one that every sender could send: it has the id in all places in which
// the sender has one, and what those expect that sign in the body.
func (s *knownSender) body(t *testing.T, id string) []byte {
	t.Helper()
	document := map[string]any{
		"text":              "hello " + id,
		"value":             []any{map[string]any{"subscriptionId": id}},
		"notificationItems": []any{map[string]any{"NotificationRequestItem": map[string]any{"pspReference": id}}},
	}
	for _, part := range s.row.MessageID {
		if part.JSON == "" {
			continue
		}
		names := strings.Split(part.JSON, ".")
		object := document
		for _, name := range names[:len(names)-1] {
			inner := make(map[string]any)
			object[name] = inner
			object = inner
		}
		object[names[len(names)-1]] = id
	}
	body, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
