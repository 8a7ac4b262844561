// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Some libraries sign too.
var signing = []struct {
	name, sender, secret, id string
	sign                     func(secret string, body []byte, now time.Time) (http.Header, error)
}{
	{
		name: "standard-webhooks", sender: "standard_webhooks", secret: whsec, id: "msg_1",
		sign: func(secret string, body []byte, now time.Time) (http.Header, error) {
			wh, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				return nil, err
			}
			signature, err := wh.Sign("msg_1", now, body)
			return family("Webhook", "msg_1", now, signature), err
		},
	},
	{
		name: "standard-webhooks, a raw secret", sender: "polar", secret: "polar_whs_example", id: "msg_1",
		sign: func(secret string, body []byte, now time.Time) (http.Header, error) {
			wh, err := standardwebhooks.NewWebhookRaw([]byte(secret))
			if err != nil {
				return nil, err
			}
			signature, err := wh.Sign("msg_1", now, body)
			return family("Webhook", "msg_1", now, signature), err
		},
	},
	{
		name: "svix", sender: "svix", secret: whsec, id: "msg_1",
		sign: func(secret string, body []byte, now time.Time) (http.Header, error) {
			wh, err := svix.NewWebhook(secret)
			if err != nil {
				return nil, err
			}
			signature, err := wh.Sign("msg_1", now, body)
			return family("Svix", "msg_1", now, signature), err
		},
	},
	{
		name: "stripe-go", sender: "stripe", secret: "whsec_not_base64",
		sign: func(secret string, body []byte, now time.Time) (http.Header, error) {
			signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: secret, Timestamp: now})
			return http.Header{"Stripe-Signature": {signed.Header}}, nil
		},
	},
}

func family(name, id string, now time.Time, signature string) http.Header {
	h := http.Header{}
	h.Set(name+"-Id", id)
	h.Set(name+"-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set(name+"-Signature", signature)
	return h
}

func TestWhatALibrarySignsIsAcceptedAndNothingElse(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	for _, l := range signing {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			row, ok := senders.Find(l.sender)
			if !ok {
				t.Fatalf("there is no sender %s", l.sender)
			}
			verifier, err := row.Scheme.Verifier(senders.Keys{Secrets: []string{l.secret}})
			if err != nil {
				t.Fatal(err)
			}
			body := []byte(`{"id": "evt_1", "object": "event", "text": "café"}`)
			header, err := l.sign(l.secret, body, now)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := verifier.Verify(&verify.Request{Method: http.MethodPost, URI: "/", Header: header, Body: body}, now)
			if err != nil {
				t.Fatal(err)
			}
			if claims.ID != l.id || !claims.Timestamp.Equal(now) {
				t.Errorf("claims %q at %v, want %q at %v", claims.ID, claims.Timestamp, l.id, now)
			}
			body[0] ^= 1
			_, err = verifier.Verify(&verify.Request{Method: http.MethodPost, URI: "/", Header: header, Body: body}, now)
			if !errors.Is(err, verify.ErrMismatch) {
				t.Errorf("with another body: got %v, want a mismatch", err)
			}
		})
	}
}

// What is delivered to an application with `sign standard_webhooks` is verified
// there by one of these.
func TestEachLibraryOfStandardWebhooksAcceptsWhatTheInboxSigns(t *testing.T) {
	const before = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	signer, err := verify.NewStandardSigner([]verify.Secret{{Text: whsec}, {Text: before}})
	if err != nil {
		t.Fatal(err)
	}
	forEachLibrary(t, func(t *testing.T, l library) {
		if _, ok := l.row(t).Scheme.(senders.Standard); !ok {
			return
		}
		r := &verify.Request{Header: http.Header{}, Body: []byte(l.body)}
		signer.Sign(r.Header, "0193e0f0-7c1e-7a7b-9f5e-6d5a3c2b1a00", r.Body, time.Now())
		if n := len(strings.Fields(r.Header.Get("Webhook-Signature"))); n != 2 {
			t.Errorf("%d signatures, want one of each secret", n)
		}
		for _, secret := range []string{whsec, before} {
			if !l.accepts(secret, r) {
				t.Errorf("refused: %v", r.Header)
			}
		}
		if l.accepts("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", r) {
			t.Error("accepted with a secret that did not sign")
		}
	})
}

// A delivery that is tried again days later is signed anew.
func TestEachLibraryOfStandardWebhooksAcceptsALaterAttempt(t *testing.T) {
	t.Parallel()
	signer, err := verify.NewStandardSigner([]verify.Secret{{Text: whsec}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		for _, l := range libraries {
			if _, ok := l.row(t).Scheme.(senders.Standard); !ok {
				continue
			}
			r := &verify.Request{Header: http.Header{}, Body: []byte(l.body)}
			signer.Sign(r.Header, "msg_1", r.Body, time.Now())
			time.Sleep(72 * time.Hour)
			if l.accepts(l.secret, r) {
				t.Errorf("%s accepts an attempt of three days ago", l.name)
			}
			signer.Sign(r.Header, "msg_1", r.Body, time.Now())
			if !l.accepts(l.secret, r) {
				t.Errorf("%s refuses a new attempt", l.name)
			}
		}
	})
}
