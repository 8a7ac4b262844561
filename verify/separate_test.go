// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The signature of one family is of no use to the other, in which a captured
// request is told to be new.
func TestAttackerPutsTheSignatureIntoTheOtherFamily(t *testing.T) {
	t.Parallel()
	public, private := keyPair("separate")
	v, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{whsec(key), {Text: "whpk_" + b64(public)}}})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{}")
	wrong := map[string]string{"v1,": "v1," + b64(make([]byte, 32)), "v1a,": "v1a," + b64(make([]byte, 64))}
	right := map[string]string{
		"v1,":  v1(key, "msg_2", strconv.Itoa(now), body),
		"v1a,": "v1a," + b64(ed25519.Sign(private, []byte("msg_2."+strconv.Itoa(now)+".{}"))),
	}
	for version := range right {
		for one, other := range map[string]string{"svix-": "webhook-", "webhook-": "svix-"} {
			r := newRequest("POST", "/hooks", body)
			for _, family := range []string{one, other} {
				r.Header.Set(family+"timestamp", strconv.Itoa(now))
			}
			r.Header.Set(one+"id", "msg_1")
			r.Header.Set(one+"signature", right[version])
			r.Header.Set(other+"id", "msg_2")
			r.Header.Set(other+"signature", wrong[version])
			expect(t, v, r, "mismatch")
			r.Header.Set(other+"signature", right[version])
			if claims := expect(t, v, r, "ok"); claims.ID != "msg_2" {
				t.Errorf("the id is %q, which is not the signed one", claims.ID)
			}
		}
	}
}

// The same for headers that are alternatives, each with a timestamp beside its
// signature.
func TestAttackerPutsTheSignatureIntoTheOtherHeader(t *testing.T) {
	t.Parallel()
	config := github()
	config.Signature = verify.Signature{Headers: []string{"X-A", "X-B"}, Key: "v1"}
	config.Timestamp = &verify.Timestamp{Key: "t"}
	config.Signed = "{timestamp}.{body}"
	v := newHMAC(t, config)
	right := "v1=" + hex.EncodeToString(mac(key, strconv.Itoa(now)+".{}"))
	wrong := "v1=" + hex.EncodeToString(make([]byte, 32))
	for one, other := range map[string]string{"X-A": "X-B", "X-B": "X-A"} {
		r := newRequest("POST", "/hooks", []byte("{}"))
		r.Header.Set(one, "t=1600000000,"+right)
		r.Header.Set(other, "t="+strconv.Itoa(now)+","+wrong)
		expect(t, v, r, "mismatch")
		r.Header.Set(other, "t="+strconv.Itoa(now)+","+right)
		expect(t, v, r, "ok")
	}
}
