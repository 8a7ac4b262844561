// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

const adyenKey = "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056"

func adyenMAC(t testing.TB, signed string) string {
	t.Helper()
	secret, err := hex.DecodeString(adyenKey)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(signed))
	return b64(h.Sum(nil))
}

// adyenItem is a notification with the MAC of a text. Members begins the item.
func adyenItem(t testing.TB, members, signed string) string {
	t.Helper()
	return fmt.Sprintf(`{"NotificationRequestItem":{%s"additionalData":{"x":"y","hmacSignature":%q}}}`, members, adyenMAC(t, signed))
}

func sentByAdyen(items ...string) request {
	body := `{"live":"false","notificationItems":[` + strings.Join(items, ",") + `]}`
	return newRequest(http.MethodPost, "/hooks", []byte(body))
}

func newAdyen(t testing.TB) *verify.Adyen {
	t.Helper()
	other := verify.Secret{Text: strings.ToUpper(hex.EncodeToString([]byte(key)))}
	v, err := verify.NewAdyen(verify.AdyenConfig{Secrets: []verify.Secret{other, {Text: adyenKey}}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	adyenMembers = `"pspReference":"P1","originalReference":"O1","merchantAccountCode":"Shop","merchantReference":"R1",` +
		`"amount":{"value":1130,"currency":"EUR"},"eventCode":"CAPTURE","success":"true",`
	adyenSigned = "P1:O1:Shop:R1:1130:EUR:CAPTURE:true"
)

func TestAdyenSignsEightFieldsOfItsItem(t *testing.T) {
	t.Parallel()
	v := newAdyen(t)
	item := adyenItem(t, adyenMembers, adyenSigned)
	for name, c := range map[string]struct {
		r    request
		want string
	}{
		"one item":               {sentByAdyen(item), "ok"},
		"no item":                {sentByAdyen(), "missing"},
		"no items":               {newRequest("POST", "/", []byte(`{}`)), "missing"},
		"items that are none":    {newRequest("POST", "/", []byte(`{"notificationItems":{}}`)), "malformed"},
		"an array":               {newRequest("POST", "/", []byte(`[]`)), "malformed"},
		"a number":               {newRequest("POST", "/", []byte(`1`)), "malformed"},
		"no JSON":                {newRequest("POST", "/", []byte(`{`)), "malformed"},
		"no body":                {newRequest("POST", "/", nil), "malformed"},
		"an item that is none":   {sentByAdyen(`1`), "malformed"},
		"an empty item":          {sentByAdyen(`{}`), "missing"},
		"an item that is null":   {sentByAdyen(`{"NotificationRequestItem":null}`), "malformed"},
		"an unsigned item":       {sentByAdyen(`{"NotificationRequestItem":{"pspReference":"P1"}}`), "missing"},
		"a forged item":          {sentByAdyen(adyenItem(t, `"pspReference":"P3",`, "P2:::::::")), "mismatch"},
		"null for nothing":       {sentByAdyen(adyenItem(t, `"pspReference":"P2","originalReference":null,"amount":null,`, "P2:::::::")), "ok"},
		"nothing for nothing":    {sentByAdyen(adyenItem(t, `"pspReference":"P2","originalReference":"",`, "P2:::::::")), "ok"},
		"a boolean":              {sentByAdyen(adyenItem(t, `"pspReference":"P2","success":true,`, "P2:::::::true")), "ok"},
		"escapes":                {sentByAdyen(adyenItem(t, `"merchantReference":"caf\u00e9\/\"",`, ":::café/\"::::")), "ok"},
		"an object for a text":   {sentByAdyen(adyenItem(t, `"pspReference":{},`, ":::::::")), "malformed"},
		"an array for a text":    {sentByAdyen(adyenItem(t, `"pspReference":["P2"],`, "P2:::::::")), "malformed"},
		"a text for an object":   {sentByAdyen(adyenItem(t, `"amount":"EUR",`, ":::::::")), "malformed"},
		"a text that is no text": {sentByAdyen(adyenItem(t, `"pspReference":"\ud800",`, "\ufffd:::::::")), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, v, c.r, c.want)
		})
	}
	if covers := v.Traits().Covers; covers == nil || covers("body") || covers("http.request.uri") {
		t.Error("what is covered: want no part of the request as a whole")
	}
}

// JSON parsers do not agree on which of two members counts, and some take names
// in either case.
func TestAttackerAddsMembersToAnItemOfAdyen(t *testing.T) {
	t.Parallel()
	v := newAdyen(t)
	for _, added := range []string{
		`"success":"false",`,
		`"Success":"false",`,
		`"\u0073uccess":"false",`,
		`"ſuccess":"false",`,
		`"amount":{"value":1},`,
		`"Amount":{"value":1},`,
		`"additionalData":{},`,
		`"AdditionalData":{},`,
	} {
		expect(t, v, sentByAdyen(adyenItem(t, adyenMembers+added, adyenSigned)), "malformed")
		expect(t, v, sentByAdyen(adyenItem(t, added+adyenMembers, adyenSigned)), "malformed")
	}
	// It would be the reference to some parsers, and is none as signed.
	expect(t, v, sentByAdyen(adyenItem(t, `"pspReference":"P2","OriginalReference":"O2",`, "P2:::::::")), "malformed")

	item := adyenItem(t, adyenMembers, adyenSigned)
	for _, body := range []string{
		`{"notificationItems":[` + item + `],"notificationItems":[{}]}`,
		`{"notificationItems":[` + item + `],"NotificationItems":[{}]}`,
		`{"notificationItems":[{"NotificationRequestItem":{},` + item[1:] + `]}`,
		`{"notificationItems":[{"notificationRequestItem":{},` + item[1:] + `]}`,
		strings.Replace(`{"notificationItems":[`+item+`]}`, `"x":`, `"hmacsignature":`, 1),
	} {
		expect(t, v, newRequest("POST", "/", []byte(body)), "malformed")
	}
	// What is not signed is for anyone to add.
	expect(t, v, sentByAdyen(adyenItem(t, adyenMembers+`"reason":"a","reason":"b",`, adyenSigned)), "ok")
}

func TestAttackerForgesTheSignatureOfAdyen(t *testing.T) {
	t.Parallel()
	v := newAdyen(t)
	genuine := sentByAdyen(adyenItem(t, adyenMembers, adyenSigned))
	signature := adyenMAC(t, adyenSigned)
	mac, _ := base64.StdEncoding.DecodeString(signature)
	replace := func(with string) request {
		r := genuine.clone()
		r.Body = []byte(strings.Replace(string(r.Body), `"`+signature+`"`, with, 1))
		return r
	}
	for n := range mac {
		want := map[bool]string{true: "missing", false: "malformed"}[n == 0]
		expect(t, v, replace(`"`+b64(mac[:n])+`"`), want)
	}
	for with, want := range map[string]string{
		`"` + signature + `"`:                            "ok",
		`"` + strings.TrimRight(signature, "=") + `"`:    "ok",
		`"` + signature + `\n"`:                          "malformed",
		`"` + hex.EncodeToString(mac) + `"`:              "malformed",
		`"` + signature[:42] + `9="`:                     "malformed",
		`["` + signature + `"]`:                          "malformed",
		`null`:                                           "missing",
		`0`:                                              "malformed",
		`"` + b64(make([]byte, sha256.Size)) + `"`:       "mismatch",
		`"` + adyenMAC(t, "P1:O1:Shop:R1:1130") + `"`:    "mismatch",
		`"` + b64(mac) + `","hmacSignature":"` + `AA=="`: "malformed",
	} {
		expect(t, v, replace(with), want)
	}
	// Every byte of what is signed counts.
	for i, c := range []byte(adyenMembers) {
		if c == '"' || c == ':' || c == ',' || c == '{' || c == '}' {
			continue
		}
		members := adyenMembers[:i] + string(c^1) + adyenMembers[i+1:]
		if _, err := v.Verify(sentByAdyen(adyenItem(t, members, adyenSigned)).Request, time.Unix(now, 0)); err == nil {
			t.Errorf("accepted: %s", members)
		}
	}
}

// A colon in a reference is not escaped, and what is not signed can change.
func TestVariantsOfAnItemFromAdyenAreDuplicates(t *testing.T) {
	t.Parallel()
	v := newAdyen(t)
	genuine := adyenItem(t, `"pspReference":"P1","merchantAccountCode":"Shop","merchantReference":":R1",`, "P1::Shop::R1::::")
	content := expect(t, v, sentByAdyen(genuine), "ok").Content
	for _, variant := range []string{
		`"merchantReference":"R1","merchantAccountCode":"Shop:","pspReference":"P1",`,
		`"pspReference":"P1:","originalReference":"Shop","merchantReference":"R1",`,
		`"pspReference":"P1","merchantAccountCode":"Shop","merchantReference":"\u003aR1","reason":"new",`,
	} {
		if expect(t, v, sentByAdyen(adyenItem(t, variant, "P1::Shop::R1::::")), "ok").Content != content {
			t.Errorf("%s is another message", variant)
		}
	}
	other := adyenItem(t, adyenMembers, adyenSigned)
	if expect(t, v, sentByAdyen(other), "ok").Content == content {
		t.Error("two messages have the same content")
	}
}

// Each item is signed for itself. Two in one request, or one twice, would be new
// content, under which what was captured could be replayed again and again.
func TestAttackerPutsCapturedItemsOfAdyenTogether(t *testing.T) {
	t.Parallel()
	v := newAdyen(t)
	item := adyenItem(t, adyenMembers, adyenSigned)
	other := adyenItem(t, `"pspReference":"P2",`, "P2:::::::")
	expect(t, v, sentByAdyen(item), "ok")
	expect(t, v, sentByAdyen(other), "ok")
	for _, items := range [][]string{
		{item, item},
		{item, other},
		{other, item},
		{item, `{}`},
		{item, `null`},
		{item, `{"NotificationRequestItem":{"pspReference":"P1"}}`},
		strings.Split(strings.Repeat(item+"|", 99)+item, "|"),
	} {
		expect(t, v, sentByAdyen(items...), "malformed")
	}
}

func TestAdyenTakesNoConfigurationThatLetsEveryoneIn(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]verify.Secret{
		nil,
		{{}},
		{{Text: adyenKey}, {Text: " "}},
		{{Text: "00"}},
		{{Text: adyenKey[1:]}},
		{{Text: "a key that is not hex"}},
		{{Text: adyenKey, Encoding: "bcrypt"}},
	} {
		_, err := verify.NewAdyen(verify.AdyenConfig{Secrets: secrets})
		if err == nil {
			t.Errorf("%d secrets are taken", len(secrets))
			continue
		}
		for _, secret := range secrets {
			if len(secret.Text) > 2 && strings.Contains(err.Error(), secret.Text) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
	}
}
