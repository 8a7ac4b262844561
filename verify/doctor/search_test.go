// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Each sender of the table is found by its name, or named beside the one that is.
func TestDiagnoseFindsEverySender(t *testing.T) {
	t.Parallel()
	for _, row := range senders.All() {
		t.Run(row.Name, func(t *testing.T) {
			t.Parallel()
			r, secret := signed(t, row)
			if r == nil {
				return // only the sender can sign; see TestSearchFindsPublicKeys
			}
			report := diagnose(r, []string{"another secret", secret})
			f := one(t, report)
			if f.Name != row.Name && !slices.Contains(f.Like, row.Name) {
				t.Errorf("found %s, and like it %q", f.Name, f.Like)
			}
			if f.Secret != 2 || f.Altered != "" || f.Late != 0 {
				t.Errorf("got %+v", f)
			}
			keeps(t, report, secret, "another secret")
		})
	}
}

// Without the table, every sender of it that signs with an HMAC is found by
// searching, and what is found says as much.
func TestSearchFindsEveryHMACOfTheTable(t *testing.T) {
	t.Parallel()
	n := 0
	for _, row := range senders.All() {
		want, ok := row.Scheme.(senders.HMAC)
		if _, isStandard := row.Scheme.(senders.Standard); !ok && !isStandard {
			continue
		}
		n++
		t.Run(row.Name, func(t *testing.T) {
			t.Parallel()
			r, secret := signed(t, row)
			f := one(t, search(r, []string{secret}))
			got, isHMAC := f.Scheme.(senders.HMAC)
			if !isHMAC {
				t.Fatalf("found %T", f.Scheme)
			}
			if ok && want.Config.Timestamp != nil && strings.Contains(want.Config.Signed, "{timestamp}") && f.Signed != now {
				t.Errorf("it was signed %v, want %v", f.Signed, now)
			}
			v, err := got.Verifier(senders.Keys{Secrets: []string{secret}, PublicURL: f.PublicURL})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(r, now); err != nil {
				t.Error(err)
			}
		})
	}
	if n < 40 {
		t.Errorf("the table has only %d of them", n)
	}
}

// A token is found where it stands.
func TestSearchFindsTokens(t *testing.T) {
	t.Parallel()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("hooks:"+textSecret))
	for name, c := range map[string]struct {
		field, value string
		want         senders.Scheme
	}{
		"own field": {"X-Acme-Token", textSecret, senders.Token{Header: "X-Acme-Token"}},
		"bearer":    {"Authorization", "Bearer " + textSecret, senders.Bearer{}},
		"basic":     {"Authorization", basic, senders.Basic{}},
		"alone":     {"Authorization", textSecret, senders.Token{Header: "Authorization"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := search(set(send("{}"), c.field, c.value), []string{textSecret})
			f := one(t, report)
			if !reflect.DeepEqual(f.Scheme, c.want) {
				t.Errorf("found %#v, want %#v", f.Scheme, c.want)
			}
			if _, isBasic := c.want.(senders.Basic); isBasic && f.User != "hooks" {
				t.Errorf("user %q", f.User)
			}
			keeps(t, report, textSecret)
		})
	}
}

// What a sender signs in a way of its own is found with all of its details.
func TestSearchFindsTheConfiguration(t *testing.T) {
	t.Parallel()
	timestamp := &verify.Timestamp{Header: "X-Acme-Time"}
	hexText := hex.EncodeToString([]byte("the key, as bytes"))
	for name, c := range map[string]struct {
		config           verify.HMACConfig
		secret, encoding string
	}{
		"body":             {header(), textSecret, ""},
		"hex key":          {header(), hexText, "hex"},
		"base64 key":       {header(), base64.StdEncoding.EncodeToString([]byte("a key of bytes\x00\xff")), "base64"},
		"whsec key":        {header(), whsecSecret, "whsec"},
		"whsec as text":    {header(), whsecSecret, ""},
		"sha1":             {verify.HMACConfig{Algorithm: "sha1", Signature: verify.Signature{Headers: []string{"X-S"}, Prefix: "sha1="}}, textSecret, ""},
		"sha384, base64":   {verify.HMACConfig{Algorithm: "sha384", Signature: verify.Signature{Headers: []string{"X-S"}, Encoding: "base64"}}, textSecret, ""},
		"sha512":           {verify.HMACConfig{Algorithm: "sha512", Signature: verify.Signature{Headers: []string{"X-S"}}}, textSecret, ""},
		"word and space":   {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"Authorization"}, Prefix: "HMAC-SHA256 ", Encoding: "base64"}}, textSecret, ""},
		"keys":             {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}, Key: "sig", Split: ";"}, Timestamp: &verify.Timestamp{Key: "ts"}, Signed: "{timestamp}.{body}"}, textSecret, ""},
		"time in a field":  {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-Acme-Signature"}}, Timestamp: timestamp, Signed: "{timestamp}|{body}"}, textSecret, ""},
		"milliseconds":     {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Timestamp: &verify.Timestamp{Header: "X-T", Unit: "ms"}, Signed: "{body}{timestamp}"}, textSecret, ""},
		"RFC 3339":         {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Timestamp: &verify.Timestamp{Header: "X-T", Unit: "rfc3339"}, Signed: "{timestamp}\n{body}"}, textSecret, ""},
		"time and id":      {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Timestamp: timestamp, ID: &verify.ID{Header: "X-Acme-Id"}, Signed: "{timestamp}.{id}.{body}"}, textSecret, ""},
		"URL":              {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Signed: "{url}{body}"}, textSecret, ""},
		"method and path":  {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Timestamp: timestamp, Signed: "{timestamp}{http.request.method}{http.request.uri}{body}"}, textSecret, ""},
		"path, not query":  {verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-S"}}, Signed: "{http.request.uri.path}{body}"}, textSecret, ""},
		"in the body":      {verify.HMACConfig{Signature: verify.Signature{JSON: "auth.signature"}, Timestamp: &verify.Timestamp{JSON: "auth.timestamp"}, ID: &verify.ID{JSON: "auth.nonce"}, Signed: "{timestamp}{id}"}, textSecret, ""},
		"with another key": {header(), "acme_" + textSecret, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := send(`{"auth":{}}`)
			signHMAC(t, c.config, c.secret, c.encoding, r)
			report := search(r, []string{c.secret})
			f := one(t, report)
			want := senders.HMAC{Config: c.config, Encoding: c.encoding}
			if f.PublicURL != "" != strings.Contains(c.config.Signed, "{url}") {
				t.Errorf("public URL %q", f.PublicURL)
			}
			if !reflect.DeepEqual(f.Scheme, want) {
				t.Errorf("found\n%+v, want\n%+v", f.Scheme, want)
			}
			keeps(t, report, c.secret)
		})
	}
}

// A token where everyone may have one is of no sender of the table, unless the
// request says so.
func TestDiagnoseTakesNoTokenForASenders(t *testing.T) {
	t.Parallel()
	r := set(send("{}"), "X-Webhook-Token", textSecret)
	if f := one(t, diagnose(r, []string{textSecret})); f.Name != "" || !slices.Contains(f.Like, "anesya") {
		t.Errorf("got %+v", f)
	}
	set(r, "User-Agent", "Anesya-WebhookBot/1.0")
	if f := one(t, diagnose(r, []string{textSecret})); f.Name != "anesya" {
		t.Errorf("from Anesya: got %+v", f)
	}
}

// A JSON Web Token is found, with the claim that binds it to the body, and whether
// it has expired.
func TestSearchFindsJWTs(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]verify.JWTConfig{
		"bearer":     {Algorithm: "HS256", Issuer: "acme", RequireExpiry: true},
		"own header": {Algorithm: "HS512", Header: "X-Acme-Jwt", BodyClaim: "digest", BodyEncoding: "base64"},
	} {
		r := send(`{"a":1}`)
		if err := (senders.JWT{Config: config}).Sign(senders.Keys{Secrets: []string{textSecret + textSecret}}, r, "", now); err != nil {
			t.Fatal(err)
		}
		report := search(r, []string{textSecret + textSecret})
		f := one(t, report)
		got, ok := f.Scheme.(senders.JWT)
		if !ok || got.Config.Algorithm != config.Algorithm || got.Config.BodyClaim != config.BodyClaim || got.Config.BodyEncoding != config.BodyEncoding || got.Config.Header != config.Header || f.Expired {
			t.Errorf("%s: got %+v", name, f)
		}
		keeps(t, report, textSecret)
		report = diagnoseAt(r, textSecret+textSecret, now.Add(1000*time.Hour))
		if f := one(t, report); f.Expired != config.RequireExpiry {
			t.Errorf("%s, much later: got %+v", name, f)
		}
	}
}

// A signature with a private key is found, given the public key.
func TestSearchFindsPublicKeys(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPrivate, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&ecPrivate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	const text = "1700000000"
	body := `{"type":1}`
	sum := sha256.Sum256([]byte(text + body))
	der, err := ecdsa.SignASN1(rand.Reader, ecPrivate, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	discord := set(send(body), "X-Signature-Timestamp", text)
	set(discord, "User-Agent", "Discord-Interactions/1.0 (+https://discord.com)")
	set(discord, "X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte(text+body))))
	sendgrid := set(send(body), "X-Twilio-Email-Event-Webhook-Timestamp", text)
	set(sendgrid, "X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(der))

	for _, c := range []struct {
		name, key, algorithm string
		r                    *verify.Request
	}{
		{"discord", hex.EncodeToString(public), "ed25519", discord},
		{"sendgrid", base64.StdEncoding.EncodeToString(spki), "ecdsa-p256", sendgrid},
	} {
		if f := one(t, diagnose(c.r, []string{c.key})); f.Name != c.name {
			t.Errorf("found %q, want %s", f.Name, c.name)
		}
		f := one(t, search(c.r, []string{c.key}))
		scheme, ok := f.Scheme.(senders.PublicKey)
		if !ok || scheme.Config.Algorithm != c.algorithm || scheme.Config.Signed != "{timestamp}{body}" || f.Signed.Unix() != 1700000000 {
			t.Errorf("found %+v", f)
		}
	}
}

// Of an old capture it is said when it was signed and by how much that is too old.
func TestDiagnoseSaysHowOldARequestIs(t *testing.T) {
	t.Parallel()
	row, _ := senders.Find("stripe")
	r, secret := signed(t, row)
	for late, age := range map[time.Duration]time.Duration{
		0:              5 * time.Minute,
		time.Second:    5*time.Minute + time.Second,
		72 * time.Hour: 72*time.Hour + 5*time.Minute,
	} {
		for _, direction := range []time.Duration{1, -1} {
			f := one(t, diagnoseAt(r, secret, now.Add(direction*age)))
			if f.Name != "stripe" || f.Signed != now || f.Late != late || f.Expired != (late > 0) || f.Tolerance != 5*time.Minute {
				t.Errorf("%v away from now: got %+v, want %v late", direction*age, f, late)
			}
		}
	}
}

// Where the scheme has no id, the places are named that may have one, and whether
// they are signed.
func TestSearchNamesTheLikelyID(t *testing.T) {
	t.Parallel()
	r := set(send(`{"id":"evt_1","name":"x"}`), "X-Acme-Delivery", "d-1")
	signHMAC(t, header(), textSecret, "", r)
	f := one(t, search(r, []string{textSecret}))
	if len(f.IDs) != 2 || f.IDs[0].JSON != "id" || !f.IDs[0].Signed || f.IDs[1].Header != "X-Acme-Delivery" || f.IDs[1].Signed {
		t.Errorf("got %+v", f.IDs)
	}
	r, secret := signed(t, mustFind(t, "github"))
	f = one(t, diagnose(r, []string{secret}))
	if len(f.IDs) != 1 || f.IDs[0].Header != "X-GitHub-Delivery" || f.IDs[0].Signed {
		t.Errorf("for github: got %+v", f.IDs)
	}
}

// Of senders that sign alike, the one is named of which the request speaks.
func TestDiagnoseTellsSendersApart(t *testing.T) {
	t.Parallel()
	for name, field := range map[string][2]string{
		"github":    {"X-GitHub-Event", "push"},
		"bitbucket": {"User-Agent", "Bitbucket-Webhooks/2.0"},
		"jira":      {"X-Atlassian-Webhook-Flow", "Primary"},
	} {
		r, secret := signed(t, mustFind(t, name))
		set(r, field[0], field[1])
		if f := one(t, diagnose(r, []string{secret})); f.Name != name {
			t.Errorf("found %s, want %s", f.Name, name)
		}
	}
}
