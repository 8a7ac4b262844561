// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The options of public_key all reach the scheme: with any of them left out what
// is signed here would not be accepted, or what is not would be.
func TestPublicKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, fmt.Sprintf(`verify public_key {
	key %s
	key %s base64
	algorithm ed25519
	signature header X-Signature encoding base64
	signed {id}.{timestamp}.{url}.{body}
	timestamp header X-Timestamp unit ms
	tolerance 1h
	id header X-Id
	public_url https://hooks.example.com
}`, hex.EncodeToString(other), base64.StdEncoding.EncodeToString(public))))
	sign := func(id string, at time.Time, uri, body string) http.Header {
		timestamp := fmt.Sprint(at.UnixMilli())
		signature := ed25519.Sign(private, []byte(id+"."+timestamp+".https://hooks.example.com"+uri+"."+body))
		return header("X-Id", id, "X-Timestamp", timestamp, "X-Signature", base64.StdEncoding.EncodeToString(signature))
	}
	now := time.Now()
	expectDeliveries(t, s, app, []sent{
		{uri: "/a?b", header: sign("1", now, "/a?b", "x"), body: "x"},
		{uri: "/a?b", header: sign("1", now.Add(-59*time.Minute), "/a?b", "x"), body: "x", duplicate: true},
		{uri: "/a?b", header: sign("2", now, "/a?b", "x"), body: "x"},
	})
	s.expect(401, "POST", "/a?b", sign("3", now.Add(-61*time.Minute), "/a?b", "x"), "x")
	s.expect(401, "POST", "/a?b", sign("3", now, "/a?b", "y"), "x")
	s.expect(401, "POST", "/a?c", sign("3", now, "/a?b", "x"), "x")
	forged := sign("3", now, "/a?b", "x")
	forged.Set("X-Id", "4")
	s.expect(401, "POST", "/a?b", forged, "x")
	s.expect(401, "POST", "/a?b", nil, "x")
}

// A signature, a timestamp and an id can be in the body. Then only these are
// covered, and the id tells duplicates.
func TestHMACInTheBody(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, `verify hmac {
	secret "`+hookSecret+`"
	signature json signature.signature
	signed {timestamp}{id}
	timestamp json signature.timestamp
	id json signature.token
}`))
	body := func(id string, at time.Time, event string) string {
		mac := hmac.New(sha256.New, []byte(hookSecret))
		fmt.Fprintf(mac, "%d%s", at.Unix(), id)
		return fmt.Sprintf(`{"signature":{"timestamp":"%d","token":"%s","signature":"%x"},"event":"%s"}`, at.Unix(), id, mac.Sum(nil), event)
	}
	now := time.Now()
	expectDeliveries(t, s, app, []sent{
		{uri: "/", body: body("1", now, "x")},
		{uri: "/", body: body("1", now, "y"), duplicate: true},
		{uri: "/", body: body("2", now, "x")},
	})
	s.expect(401, "POST", "/", nil, body("3", now.Add(-6*time.Minute), "x"))
	s.expect(401, "POST", "/", nil, `{"signature":{"timestamp":"1","token":"3","signature":"00"}}`)
	s.expect(401, "POST", "/", nil, "")
}
