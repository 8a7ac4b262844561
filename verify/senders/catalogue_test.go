// SPDX-License-Identifier: Apache-2.0

package senders_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// The catalogue is a collection of signed requests, most of them published by
// the senders. It is kept beside the repository, not in it.
const catalogue = "../../../shared"

// rowOf is the row of the table for each scheme of the catalogue; of those that
// have several senders, for each of these.
var rowOf = map[string]string{
	"standardwebhooks/standard-webhooks": "standard_webhooks",
	"standardwebhooks/svix":              "svix",
	"standardwebhooks/openai":            "openai",
	"standardwebhooks/anthropic":         "anthropic",
	"standardwebhooks/supabase-auth":     "supabase",
	"standardwebhooks/anon":              "anon",
	"standardwebhooks/scan-documents":    "scan_documents",
	"standardwebhooks/gitlab":            "gitlab_signing",
	"standardwebhooks-rawkey/polar":      "polar",
	"hub-sha256/jira/bitbucket":          "jira",
	"hub-sha256/bitbucket-server":        "bitbucket",

	"adyen-payload": "adyen_platform", "adyen-standard": "adyen", "anesya": "anesya", "calendly": "calendly",
	"circleci": "circleci", "coinbase-commerce": "coinbase", "discord": "discord", "dropbox": "dropbox",
	"elevenlabs": "elevenlabs", "gitea": "gitea", "github-sha256": "github", "gitlab-token": "gitlab",
	"gogs": "gogs", "hubspot-v1": "hubspot_v1", "hubspot-v2": "hubspot_v2", "hubspot-v3": "hubspot",
	"idexa-bearer": "idexa", "line": "line", "linear": "linear", "mailgun": "mailgun", "paddle": "paddle",
	"pagerduty": "pagerduty", "razorpay": "razorpay", "sendgrid": "sendgrid", "shopify": "shopify", "slack": "slack",
	"square": "square", "stripe": "stripe", "trello": "trello", "twilio": "twilio", "typeform": "typeform",
	"workos": "workos", "xero": "xero", "zoom": "zoom",
}

// ofNobody are the schemes of the catalogue that no sender has, or none should
// have any more.
var ofNobody = map[string]senders.Scheme{
	"github-sha1":        ofBody("sha1", "X-Hub-Signature", "sha1=", "hex"),
	"hub-sha512":         ofBody("sha512", "X-Hub-Signature", "sha512=", "hex"),
	"generic-sha512-hex": ofBody("sha512", "X-Convoy-Signature", "", "hex"),
	"generic-sha512-b64": ofBody("sha512", "X-Convoy-Signature", "", "base64"),
	"paddle-5s": senders.HMAC{Config: verify.HMACConfig{
		Signature: verify.Signature{Headers: []string{"Paddle-Signature"}, Key: "h1", Split: ";"},
		Signed:    "{timestamp}:{body}",
		Timestamp: &verify.Timestamp{Key: "ts"},
		Tolerance: 5 * time.Second,
	}},
}

func ofBody(algorithm, header, prefix, encoding string) senders.Scheme {
	return senders.HMAC{Config: verify.HMACConfig{
		Algorithm: algorithm,
		Signature: verify.Signature{Headers: []string{header}, Prefix: prefix, Encoding: encoding},
	}}
}

// notVerified are the vectors that nobody could compute.
var notVerified = map[string]string{
	"dropbox-challenge": "an unsigned handshake",
	"meta-challenge":    "an unsigned handshake",
	"okta-challenge":    "an unsigned handshake",
	"msgraph-challenge": "an unsigned handshake",
	"asana-handshake":   "an unsigned handshake",
	"paypal-partial":    "its certificate could not be had, and there is no scheme for it",
}

func TestEveryVectorOfTheCatalogueComesOutAsItSays(t *testing.T) {
	t.Parallel()
	vectors := readCatalogue(t)
	ran, schemes := 0, map[string]bool{}
	for _, v := range vectors {
		if _, ok := notVerified[v.Name]; ok != (v.Verified != true) {
			t.Errorf("%s: verified is %v in the catalogue, which is not what is said here", v.Name, v.Verified)
		}
		if v.Verified != true {
			continue
		}
		ran++
		schemes[v.Scheme], schemes[v.Scheme+"/"+v.Provider] = true, true
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			v.check(t)
		})
	}
	for scheme := range rowOf {
		if !schemes[scheme] {
			t.Errorf("the catalogue has no vector of %s", scheme)
		}
	}
	if ran != 194 || len(vectors) != ran+len(notVerified) {
		t.Errorf("%d of %d vectors ran, want 194 of 200", ran, len(vectors))
	}
}

func TestOnlySendersWithAPublishedSignatureHaveThatForTheirEvidence(t *testing.T) {
	t.Parallel()
	published := map[string]bool{}
	for _, v := range readCatalogue(t) {
		if v.Kind == "published" && v.Expect == "ok" && v.Verified == true {
			published[v.sender(t).Name] = true
		}
	}
	for _, sender := range senders.All() {
		if (sender.Doc.Evidence == senders.Vector) != published[sender.Name] {
			t.Errorf("the evidence of %s is %s, and the catalogue has a published signature: %t",
				sender.Name, sender.Doc.Evidence, published[sender.Name])
		}
	}
}

type vector struct {
	Name, Provider, Scheme string
	Kind                   string
	Method, URL            string
	Headers                map[string]string
	Body, Secret           string
	Now                    int64
	Expect                 string
	Verified               any          // true, or why not
	ExpectID               string       `json:"expect_id"`
	ExpectJSONID           string       `json:"expect_json_id"`
	ExpectResponse         *vectorReply `json:"expect_response"`
}

type vectorReply struct {
	Status int
	JSON   any
}

// sender is the row, or one with nothing but a scheme.
func (v vector) sender(t *testing.T) senders.Sender {
	t.Helper()
	if scheme, ok := ofNobody[v.Scheme]; ok {
		return senders.Sender{Scheme: scheme}
	}
	name, ok := rowOf[v.Scheme]
	if !ok {
		name = rowOf[v.Scheme+"/"+v.Provider]
	}
	if _, ok := v.Headers["Shopify-Hmac-Sha256"]; ok {
		name = "shopify_events"
	}
	sender, ok := senders.Find(name)
	if !ok {
		t.Fatalf("there is no row for the scheme %s of %s", v.Scheme, v.Provider)
	}
	return sender
}

func (v vector) check(t *testing.T) {
	sender := v.sender(t)
	verifier, err := sender.Scheme.Verifier(senders.Keys{Secrets: []string{v.Secret}})
	if v.Name == "github-emptysecret" {
		if err == nil {
			t.Error("an empty secret is configured like any other")
		}
		return
	}
	if err != nil {
		t.Fatalf("configuring: %v", err)
	}
	r, now := v.request(t), time.Unix(v.Now, 0)
	claims, err := verifier.Verify(r, now)
	if got := map[bool]string{true: "ok", false: "fail"}[err == nil]; got != v.Expect {
		t.Fatalf("got %s (%v), want %s", got, err, v.Expect)
	}
	if err != nil {
		if verify.Reason(err) == "error" {
			t.Errorf("%v wraps no reason", err)
		}
		return
	}
	if checker, ok := verifier.(verify.HeaderChecker); ok {
		if err := checker.CheckHeader(r, now); err != nil {
			t.Errorf("CheckHeader refuses what Verify accepts: %v", err)
		}
	}
	_, want, _ := strings.Cut(v.ExpectJSONID, "=")
	if want == "" {
		want = v.ExpectID
	}
	if got := idOf(r, claims, sender.MessageID); want != "" && got != want {
		t.Errorf("the id is %q, want %q", got, want)
	}
	v.checkReply(t, sender, r)
}

// checkReply compares the answer to a handshake, or the status with which a
// message is acknowledged.
func (v vector) checkReply(t *testing.T, sender senders.Sender, r *verify.Request) {
	t.Helper()
	if v.ExpectResponse == nil {
		return
	}
	if v.ExpectResponse.JSON == nil {
		if sender.Respond != v.ExpectResponse.Status {
			t.Errorf("acknowledged with %d, want %d", sender.Respond, v.ExpectResponse.Status)
		}
		return
	}
	if sender.Handshake == nil {
		t.Fatal("its handshake is not answered")
	}
	answer, ok := sender.Handshake(r, []string{v.Secret})
	if !ok {
		t.Fatal("this handshake is not answered")
	}
	var got any
	if err := json.Unmarshal(answer.Body, &got); err != nil {
		t.Fatal(err)
	}
	if answer.Status != v.ExpectResponse.Status || !reflect.DeepEqual(got, v.ExpectResponse.JSON) {
		t.Errorf("answered %d %s, want %d %v", answer.Status, answer.Body, v.ExpectResponse.Status, v.ExpectResponse.JSON)
	}
}

func (v vector) request(t *testing.T) *verify.Request {
	t.Helper()
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := newRequest(v.Method, u.Scheme, u.Host, u.RequestURI(), []byte(v.Body))
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	return r
}

func readCatalogue(t *testing.T) (vectors []vector) {
	t.Helper()
	if _, err := os.Stat(catalogue); errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s is not here; testdata/senders has a request of each sender", catalogue)
	}
	data, err := os.ReadFile(filepath.Join(catalogue, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}
