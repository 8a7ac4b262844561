// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	paddle "github.com/PaddleHQ/paddle-go-sdk/v4"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// The libraries of Standard Webhooks do not agree on everything. Here is what
// each of them accepts, and what is accepted under the name of its sender.
func TestDifferencesBetweenLibrariesOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	key := []byte("a key of twenty-five byte")
	full := "whsec_" + base64.StdEncoding.EncodeToString(key)
	for _, d := range []struct {
		what string

		secret    string
		key       []byte
		timestamp string // as sent; # is the time
		signed    string // as signed; as sent unless given
		signature string // @ is the right one, other one of another key

		library string // those that accept it, of swor: the first four libraries, standard-webhooks, svix, openai-go and resend-go
		here    string // those of whose senders it is accepted, likewise
	}{
		{what: "the plain case", library: "swor", here: "swor"},
		{what: "a secret without its padding", secret: strings.TrimRight(full, "="), here: "swor"},
		// OpenAI's library takes such a text for the key itself.
		{what: "a secret without whsec_", secret: strings.TrimPrefix(full, "whsec_"), library: "swr", here: "swor"},
		{what: "a secret shorter than the specification asks for", secret: "whsec_c2hvcnQga2V5", key: []byte("short key"),
			library: "swr", here: "swor"},
		{what: "the right signature first, then a comma and a space", signature: "v1,@, other", library: "sw", here: "swor"},
		{what: "the right signature last, after a comma and a space", signature: "other, v1,@", library: "swor", here: "swor"},
		{what: "a signature without its padding", signature: "v1,unpadded", here: "swor"},
		{what: "a signature of another version", signature: "v2,@", library: "r"},
		{what: "a signature without a version", signature: "@", library: "o"},
		{what: "a zero before the timestamp, signed as it is sent", timestamp: "0#", library: "or", here: "o"},
		{what: "a zero before the timestamp, signed without it", timestamp: "0#", signed: "#", library: "sw"},
		{what: "a plus before the timestamp, signed as it is sent", timestamp: "+#", library: "or"},
		{what: "a plus before the timestamp, signed without it", timestamp: "+#", signed: "#", library: "sw"},
	} {
		t.Run(d.what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				secret, signingKey := cmp.Or(d.secret, full), key
				if d.key != nil {
					signingKey = d.key
				}
				now := fmt.Sprint(time.Now().Unix())
				sent := strings.ReplaceAll(cmp.Or(d.timestamp, "#"), "#", now)
				signed := strings.ReplaceAll(cmp.Or(d.signed, d.timestamp, "#"), "#", now)

				r := &verify.Request{Method: http.MethodPost, URI: "/", Header: http.Header{}, Body: []byte(`{"type":"x"}`)}
				mac := standardMAC(signingKey, "msg_1."+signed+"."+string(r.Body))
				other := "v1," + standardMAC([]byte("another key"), "")
				r.Header.Set("Webhook-Id", "msg_1")
				r.Header.Set("Webhook-Timestamp", sent)
				r.Header.Set("Webhook-Signature", strings.NewReplacer("@", mac, "other", other, "unpadded", strings.TrimRight(mac, "=")).
					Replace(cmp.Or(d.signature, "v1,@")))

				for i, letter := range "swor" {
					l := libraries[i]
					if got, want := l.accepts(secret, r), strings.ContainsRune(d.library, letter); got != want {
						t.Errorf("the library %s accepts it: %t, want %t", l.name, got, want)
					}
					_, err := l.verifier(t, secret).Verify(r, time.Now())
					if want := strings.ContainsRune(d.here, letter); (err == nil) != want {
						t.Errorf("under the name %s it is accepted: %t (%v), want %t", l.sender, err == nil, err, want)
					}
				}
			})
		})
	}
}

// These are stricter here than the library of the sender, on purpose.
func TestDifferencesOfOtherLibraries(t *testing.T) {
	t.Parallel()
	find := func(name string) library {
		for _, l := range libraries {
			if l.name == name {
				return l
			}
		}
		t.Fatalf("there is no library %s", name)
		return library{}
	}
	for _, d := range []struct {
		what, name string
		change     func(r *verify.Request)
		library    bool // accepts it
		here       bool
	}{
		{
			what: "stripe-go takes a timestamp that is ahead of time", name: "stripe-go", library: true,
			change: func(r *verify.Request) {
				ts := fmt.Sprint(time.Now().Add(time.Hour).Unix())
				r.Header.Set("Stripe-Signature", "t="+ts+",v1="+hexMAC("whsec_not_base64", ts+"."+string(r.Body)))
			},
		},
		{
			what: "stripe-go takes no space after a comma", name: "stripe-go", here: true,
			change: func(r *verify.Request) {
				r.Header.Set("Stripe-Signature", strings.Replace(r.Header.Get("Stripe-Signature"), ",", ", ", 1))
			},
		},
		{
			what: "go-github falls back to SHA-1", name: "go-github", library: true,
			change: func(r *verify.Request) {
				mac := hmac.New(sha1.New, []byte(raw))
				mac.Write(r.Body)
				r.Header.Del("X-Hub-Signature-256")
				r.Header.Set("X-Hub-Signature", "sha1="+hex.EncodeToString(mac.Sum(nil)))
			},
		},
		{
			what: "go-pagerduty takes no space after a comma", name: "go-pagerduty", here: true,
			change: func(r *verify.Request) {
				right := r.Header.Get("X-PagerDuty-Signature")
				r.Header.Set("X-PagerDuty-Signature", "v1="+hexMAC("another", "")+", "+right)
			},
		},
		{
			what: "go-pagerduty takes several signatures", name: "go-pagerduty", library: true, here: true,
			change: func(r *verify.Request) {
				right := r.Header.Get("X-PagerDuty-Signature")
				r.Header.Set("X-PagerDuty-Signature", "v1="+hexMAC("another", "")+","+right)
			},
		},
		{
			what: "paddle-go-sdk takes one signature only", name: "paddle-go-sdk", here: true,
			change: func(r *verify.Request) {
				r.Header.Set("Paddle-Signature", r.Header.Get("Paddle-Signature")+";h1="+hexMAC("another", ""))
			},
		},
		{
			what: "twilio-go takes the first of repeated fields, Twilio signs each", name: "twilio-go", here: true,
			change: func(r *verify.Request) {
				r.Body = []byte("To=b&To=a")
				mac := hmac.New(sha1.New, []byte("12345"))
				mac.Write([]byte("https://" + host + r.URI + "ToaTob"))
				r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			},
		},
		{
			what: "two signatures in two header fields are ambiguous here", name: "slack-go", library: true,
			change: func(r *verify.Request) { r.Header.Add("X-Slack-Signature", "v0="+hexMAC("another", "")) },
		},
	} {
		t.Run(d.what, func(t *testing.T) {
			t.Parallel()
			l := find(d.name)
			synctest.Test(t, func(t *testing.T) {
				r := l.request(t, time.Now())
				d.change(r)
				if got := l.accepts(l.secret, r); got != d.library {
					t.Errorf("the library accepts it: %t, want %t", got, d.library)
				}
				if _, err := l.verifier(t, l.secret).Verify(r, time.Now()); (err == nil) != d.here {
					t.Errorf("here it is accepted: %t (%v), want %t", err == nil, err, d.here)
				}
			})
		})
	}
}

func TestAnEmptySecretOpensGoGithubAndNothingHere(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		if l.name == "go-github" {
			r := l.request(t, time.Now())
			r.Header.Del("X-Hub-Signature-256")
			if !l.accepts("", r) {
				t.Errorf("%s refuses an unsigned request without a secret: it has changed", l.name)
			}
		}
		if _, err := l.row(t).Scheme.Verifier(senders.Keys{Secrets: []string{""}}); err == nil {
			t.Errorf("%s: an empty secret is taken here", l.sender)
		}
	}
}

func TestThePaddleLibraryCanBeToldTheToleranceThatIsUsedHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, l := range libraries {
			if l.sender != "paddle" {
				continue
			}
			tolerance := l.verifier(t, l.secret).Traits().Tolerance
			strict := paddle.NewWebhookVerifier(l.secret, paddle.VerifierWithTimestampTolerance(tolerance))
			r := l.request(t, time.Now())
			time.Sleep(tolerance)
			if ok, err := strict.Verify(asHTTP(r)); !ok {
				t.Errorf("after %v: %v", tolerance, err)
			}
			time.Sleep(time.Second)
			if ok, _ := strict.Verify(asHTTP(r)); ok {
				t.Errorf("accepted a second after %v", tolerance)
			}
		}
	})
}

func standardMAC(key []byte, message string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func hexMAC(key, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}
