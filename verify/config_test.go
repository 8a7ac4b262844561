// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestHMACConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	header := &verify.Timestamp{Header: "X-Time"}
	for name, c := range map[string]struct {
		change func(*verify.HMACConfig)
		says   string
	}{
		"unknown algorithm":                  {func(c *verify.HMACConfig) { c.Algorithm = "md5" }, `"md5": expected sha1, sha256`},
		"unknown secret encoding":            {func(c *verify.HMACConfig) { c.Secrets[0].Encoding = "utf8" }, "secret 1 has an unknown encoding"},
		"secret not hex":                     {func(c *verify.HMACConfig) { c.Secrets[0].Encoding = "hex" }, "secret 1 is not hex"},
		"secret not base64":                  {func(c *verify.HMACConfig) { c.Secrets[0].Encoding = "base64" }, "secret 1 is not base64"},
		"secret not whsec":                   {func(c *verify.HMACConfig) { c.Secrets[0].Encoding = "whsec" }, "whsec_"},
		"a public key":                       {func(c *verify.HMACConfig) { c.Secrets[0] = verify.Secret{Text: "whpk_AAAA", Encoding: "whsec"} }, "base64"},
		"a line break in a secret":           {func(c *verify.HMACConfig) { c.Secrets[0].Text = "secret\n" }, "white space"},
		"no signature header":                {func(c *verify.HMACConfig) { c.Signature.Headers = nil }, "signature: no header"},
		"an empty header name":               {func(c *verify.HMACConfig) { c.Signature.Headers = []string{""} }, "empty"},
		"no header name":                     {func(c *verify.HMACConfig) { c.Signature.Headers = []string{"X Signature"} }, "not a header name"},
		"a header named twice":               {func(c *verify.HMACConfig) { c.Signature.Headers = []string{"X-A", "x-a"} }, "X-A is named twice"},
		"prefix and key":                     {func(c *verify.HMACConfig) { c.Signature.Key = "v1" }, "exclude"},
		"unknown encoding":                   {func(c *verify.HMACConfig) { c.Signature.Encoding = "base32" }, `"base32": expected hex or base64`},
		"a prefix with separator":            {func(c *verify.HMACConfig) { c.Signature.Split = "=" }, "separator"},
		"a prefix after a space":             {func(c *verify.HMACConfig) { c.Signature.Prefix = " v0=" }, "white space"},
		"a key with =":                       {func(c *verify.HMACConfig) { c.Signature = keyed("v1=") }, "cannot be a key"},
		"a key with the separator":           {func(c *verify.HMACConfig) { c.Signature = keyed("a,b") }, "cannot be a key"},
		"unbalanced {":                       {func(c *verify.HMACConfig) { c.Signed = "{body}{" }, `"{" without "}"`},
		"unbalanced }":                       {func(c *verify.HMACConfig) { c.Signed = "{body}}" }, `"}" without "{"`},
		"nested":                             {func(c *verify.HMACConfig) { c.Signed = "{body}{a{b}}" }, `"{" without "}"`},
		"an empty placeholder":               {func(c *verify.HMACConfig) { c.Signed = "{body}{}" }, "unknown placeholder"},
		"the secret":                         {func(c *verify.HMACConfig) { c.Signed = "{secret}{body}" }, "unknown placeholder {secret}"},
		"a shorthand":                        {func(c *verify.HMACConfig) { c.Signed = "{method}{body}" }, "a full name"},
		"a space in a placeholder":           {func(c *verify.HMACConfig) { c.Signed = "{http.request. method}{body}" }, "unknown placeholder"},
		"Caddy's body":                       {func(c *verify.HMACConfig) { c.Signed = "{http.request.body}{body}" }, "use {body}"},
		"Caddy's body in base64":             {func(c *verify.HMACConfig) { c.Signed = "{http.request.body_base64}{body}" }, "use {body}"},
		"the host as a header":               {func(c *verify.HMACConfig) { c.Signed = "{http.request.header.host}{body}" }, "hostport"},
		"a header that is none":              {func(c *verify.HMACConfig) { c.Signed = "{http.request.header.}{body}" }, "empty"},
		"no body":                            {func(c *verify.HMACConfig) { c.Signed = "{http.request.uri}" }, "anyone could change the body"},
		"no id for {id}":                     {func(c *verify.HMACConfig) { c.Signed = "{id}{body}" }, "{id} without an id"},
		"no time for {timestamp}":            {func(c *verify.HMACConfig) { c.Signed = "{timestamp}{body}" }, "{timestamp} without"},
		"an id not covered":                  {func(c *verify.HMACConfig) { c.ID = &verify.ID{Header: "X-Id"} }, "anyone could change X-Id"},
		"an id without header":               {func(c *verify.HMACConfig) { c.ID = &verify.ID{} }, "id: a header name is empty"},
		"a time not covered":                 {func(c *verify.HMACConfig) { c.Timestamp = header }, "anyone could change the timestamp"},
		"another header covered":             {func(c *verify.HMACConfig) { c.Timestamp, c.Signed = header, "{http.request.header.X-Times}{body}" }, "anyone"},
		"a time from nowhere":                {func(c *verify.HMACConfig) { c.Timestamp = &verify.Timestamp{} }, "exactly one"},
		"a time from two places":             {func(c *verify.HMACConfig) { c.Timestamp = &verify.Timestamp{Header: "X", JSON: "x"} }, "exactly one"},
		"an unknown unit":                    {func(c *verify.HMACConfig) { c.Timestamp = &verify.Timestamp{Header: "X", Unit: "us"} }, `"us": expected s, ms or rfc3339`},
		"a time key without key":             {func(c *verify.HMACConfig) { c.Timestamp = &verify.Timestamp{Key: "t"} }, "without a key for the signature"},
		"a time under the MAC's":             {func(c *verify.HMACConfig) { c.Signature, c.Timestamp = keyed("v1"), &verify.Timestamp{Key: "v1"} }, "that of the signature"},
		"a time under an odd key":            {func(c *verify.HMACConfig) { c.Signature, c.Timestamp = keyed("v1"), &verify.Timestamp{Key: "t="} }, "cannot be a key"},
		"a path that is none":                {func(c *verify.HMACConfig) { c.Timestamp = &verify.Timestamp{JSON: "a..b"} }, "separated by dots"},
		"a signature in two places":          {func(c *verify.HMACConfig) { c.Signature.JSON = "sig" }, "signature: header and json exclude each other"},
		"a path to a signature that is none": {func(c *verify.HMACConfig) { c.Signature = verify.Signature{JSON: "a..b"} }, "separated by dots"},
		"a signature of what holds it":       {func(c *verify.HMACConfig) { inBody(c, "{timestamp}{body}") }, "{body} is in it, which holds the signature"},
		"a signature in the body, of the body by default": {func(c *verify.HMACConfig) { inBody(c, "") }, "{body} is in it"},
		"a signature in the body, of nothing":             {func(c *verify.HMACConfig) { inBody(c, "x"); c.Timestamp = nil }, "one signature would do for every message"},
		"a signature in the body, of the URL":             {func(c *verify.HMACConfig) { inBody(c, "{url}"); c.Timestamp = nil }, "one signature would do for every message"},
		"a signature in the body, not of the time":        {func(c *verify.HMACConfig) { inBody(c, "{id}"); c.ID = &verify.ID{JSON: "i"} }, "anyone could change the timestamp"},
		"a signature in the body, not of the id":          {func(c *verify.HMACConfig) { inBody(c, "{timestamp}"); c.ID = &verify.ID{JSON: "i.d"} }, "anyone could change i.d"},
		"an id from two places":                           {func(c *verify.HMACConfig) { c.ID = &verify.ID{Header: "X-Id", JSON: "id"} }, "id: header and json exclude each other"},
		"a path to an id that is none":                    {func(c *verify.HMACConfig) { c.ID = &verify.ID{JSON: "."} }, "id: JSON path"},
		"a public URL for nothing":                        {func(c *verify.HMACConfig) { c.PublicURL = "https://example.com" }, "public URL without {url} in signed"},
		"a public URL for nothing, not even a URL":        {func(c *verify.HMACConfig) { c.PublicURL = "example" }, "public URL without {url} in signed"},
		"a public URL without scheme":                     {func(c *verify.HMACConfig) { public(c, "hooks.example.com") }, "public URL: expected scheme and host"},
		"a public URL of another scheme":                  {func(c *verify.HMACConfig) { public(c, "ftp://hooks.example.com") }, "public URL: expected"},
		"a public URL without host":                       {func(c *verify.HMACConfig) { public(c, "https://:443/a") }, "public URL: expected"},
		"a public URL with query":                         {func(c *verify.HMACConfig) { public(c, "https://hooks.example.com/a?b") }, "public URL: expected"},
		"a public URL with an empty query":                {func(c *verify.HMACConfig) { public(c, "https://hooks.example.com/a?") }, "public URL: expected"},
		"a public URL with fragment":                      {func(c *verify.HMACConfig) { public(c, "https://hooks.example.com/#") }, "public URL: expected"},
		"a public URL with user":                          {func(c *verify.HMACConfig) { public(c, "https://me@hooks.example.com") }, "public URL: expected"},
		"an id beside the body":                           {func(c *verify.HMACConfig) { withID(c, "{id}{body}") }, "{id} and {body} have no text between them"},
		"the body beside an id":                           {func(c *verify.HMACConfig) { withID(c, "{body}{id}") }, "{id} and {body} have no text between them"},
		"an id beside the URL":                            {func(c *verify.HMACConfig) { withID(c, "{url}{id}.{body}") }, "{id} and {url} have no text between them"},
		"an id beside the method":                         {func(c *verify.HMACConfig) { withID(c, "{body}.{id}{http.request.method}") }, "{id} and {http.request.method} have no text"},
		"an id beside a header":                           {func(c *verify.HMACConfig) { withID(c, "{id}{http.request.header.x-topic}.{body}") }, "{id} and {http.request.header.X-Topic} have no text"},
		"an id, by its header, beside the body":           {func(c *verify.HMACConfig) { withID(c, "{http.request.header.x-id}{body}") }, "{id} and {body} have no text between them"},
		"an id beside itself":                             {func(c *verify.HMACConfig) { withID(c, "{body}.{id}{id}") }, "{id} and {id} have no text between them"},
		"an id, a time and the body":                      {func(c *verify.HMACConfig) { withID(c, "{id}{timestamp}{body}"); c.Timestamp = header }, "{id} and {body} have no text between them"},
		"the URL, a time and an id":                       {func(c *verify.HMACConfig) { withID(c, "{body}.{url}{timestamp}{id}"); c.Timestamp = header }, "{id} and {url} have no text between them"},
		"an id beside another, with what to do":           {func(c *verify.HMACConfig) { withID(c, "{id}{body}") }, "put in the text that the sender signs there; if it signs none, leave id out, write the placeholder of its header field for {id}, and name the id with message_id, with dedupe on id content"},
		"a tolerance of nothing":                          {func(c *verify.HMACConfig) { c.Tolerance = time.Minute }, "without a timestamp"},
		"a tolerance below nothing":                       {func(c *verify.HMACConfig) { c.Timestamp, c.Tolerance = header, -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := github()
			c.change(&config)
			_, err := verify.NewHMAC(config)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, which does not say %s", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Error("the error holds the secret")
			}
		})
	}
}

// inBody puts signature and timestamp into the body.
func inBody(c *verify.HMACConfig, signed string) {
	c.Signature, c.Timestamp = verify.Signature{JSON: "sig"}, &verify.Timestamp{JSON: "t"}
	c.Signed = signed
}

func withID(c *verify.HMACConfig, signed string) {
	c.ID, c.Signed = &verify.ID{Header: "X-Id"}, signed
}

func public(c *verify.HMACConfig, url string) {
	c.Signed, c.PublicURL = "{url}{body}", url
}

func keyed(key string) verify.Signature {
	return verify.Signature{Headers: []string{"X-Signature"}, Key: key}
}

func TestStandardConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	public, private := keyPair("one")
	for name, c := range map[string]struct {
		secret verify.Secret
		says   string
	}{
		"a private key":              {verify.Secret{Text: "whsk_" + b64(private)}, "whpk_"},
		"Supabase's pair of keys":    {verify.Secret{Text: "v1a,whsk_" + b64(private) + ":whpk_" + b64(public)}, "whpk_"},
		"a public key cut off":       {verify.Secret{Text: "whpk_" + b64(public[:31])}, "base64 of 32 bytes"},
		"a public key not in base64": {verify.Secret{Text: "whpk_?"}, "after whpk_"},
		"a private key as a public":  {verify.Secret{Text: "whpk_" + b64(private)}, "base64 of 32 bytes"},
		"a public key as raw base64": {verify.Secret{Text: "whpk_" + b64(public), Encoding: "base64"}, "base64"},
		"Polar's without encoding":   {verify.Secret{Text: "polar_whs_example"}, "base64"},
		"the URL alphabet":           {verify.Secret{Text: "whsec_-_-_"}, "base64"},
		"hex in the wrong place":     {verify.Secret{Text: "whsec_zz", Encoding: "hex"}, "hex"},
		"white space":                {verify.Secret{Text: " whsec_AAAA"}, "white space"},
		"a line break inside":        {verify.Secret{Text: "whsec_c2Vj\nmV0Cg=="}, "base64"},
	} {
		_, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{c.secret}})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, which does not say %s", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), c.secret.Text) {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
	if _, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{whsec(key)}, Tolerance: -1}); err == nil {
		t.Error("a negative tolerance is taken")
	}
}

func TestTokenConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := verify.NewToken(verify.TokenConfig{Tokens: []string{"t"}}); err == nil {
		t.Error("no header name is taken")
	}
	for _, token := range []string{"hunter2\nx", "hunter2\x00", " hunter2", "hunter2\n"} {
		_, err := verify.NewToken(verify.TokenConfig{Header: "X", Tokens: []string{token}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("token %q: %v", token, err)
		}
		if _, err := verify.NewBasic("user", []string{token}); err == nil {
			t.Errorf("password %q is taken", token)
		}
	}
	for _, swapped := range []verify.TokenConfig{
		{Header: "hunter2/hunter2", Tokens: []string{"X-Token"}},
		{Header: "hunter2 ", Tokens: []string{"X-Token"}},
	} {
		if _, err := verify.NewToken(swapped); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("header %q: %v", swapped.Header, err)
		}
	}
	if _, err := verify.NewBearer([]string{"two words"}); err == nil {
		t.Error("a bearer token of two words is taken")
	}
	for _, user := range []string{"", "a:b", "a\n"} {
		if _, err := verify.NewBasic(user, []string{"p"}); err == nil {
			t.Errorf("user %q is taken", user)
		}
	}
}

func TestHeaderNamesMayHoldUnderscoresAndDots(t *testing.T) {
	t.Parallel()
	v, err := verify.NewToken(verify.TokenConfig{Header: "x_webhook.token", Tokens: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRequest("POST", "/", nil)
	r.Header.Set("x_webhook.token", "t")
	expect(t, v, r, "ok")
}

func TestTraitsSayWhatIsCovered(t *testing.T) {
	t.Parallel()
	config := verify.HMACConfig{
		Secrets:   []verify.Secret{{Text: key}},
		Signature: verify.Signature{Headers: []string{"x-signature", "Signature"}},
		Signed:    "{id}.{timestamp}{http.request.header.X-Topic}{http.request.method}{http.request.uri}{body}",
		ID:        &verify.ID{Header: "x-id"},
		Timestamp: &verify.Timestamp{Header: "x-time"},
		Tolerance: time.Minute,
	}
	traits := newHMAC(t, config).Traits()
	for part, want := range map[string]bool{
		"body":                           true,
		"http.request.header.X-Id":       true,
		"http.request.header.x-id":       true,
		"http.request.header.X-TIME":     true,
		"http.request.header.x-topic":    true,
		"http.request.method":            true,
		"http.request.uri":               true,
		"http.request.uri.path":          true,
		"http.request.uri.path.1":        true,
		"http.request.uri.query.id":      true,
		"http.request.header.X-Topic.A":  false,
		"http.request.header.X-Other":    false,
		"http.request.header.Signature":  false,
		"http.request.header.":           false,
		"http.request.header.not a name": false,
		"http.request.uris":              false,
		"http.request.method.x":          false,
		"http.request.host":              false,
		"id":                             false,
		"":                               false,
	} {
		if got := traits.Covers(part); got != want {
			t.Errorf("covers %q: %v, want %v", part, got, want)
		}
	}
	if !traits.ID || !traits.Timestamp || traits.Tolerance != time.Minute {
		t.Errorf("got %+v", traits)
	}
	if got := strings.Join(traits.Headers, " "); got != "X-Signature Signature X-Id X-Time" {
		t.Errorf("reads %s", got)
	}

	traits = newStandard(t, key).Traits()
	if !traits.ID || !traits.Timestamp || traits.Tolerance != 5*time.Minute || len(traits.Headers) != 6 || !traits.Covers("body") {
		t.Errorf("got %+v", traits)
	}
	if traits.Covers("http.request.header.Webhook-Id") {
		t.Error("with svix-* signed, webhook-id is anyone's")
	}

	config = github()
	config.Signed = "{url}{body}"
	config.ID = &verify.ID{JSON: "id"}
	traits = newHMAC(t, config).Traits()
	for part, want := range map[string]bool{
		"body": true, "http.request.uri": true, "http.request.uri.path.1": true, "http.request.uri.query": true,
		"http.request.uris": false, "http.request.method": false, "url": false,
	} {
		if got := traits.Covers(part); got != want {
			t.Errorf("with {url}, covers %q: %v, want %v", part, got, want)
		}
	}
	if !traits.ID || strings.Join(traits.Headers, " ") != "X-Hub-Signature-256" {
		t.Errorf("got %+v", traits)
	}

	inBody(&config, "{timestamp}{id}")
	traits = newHMAC(t, config).Traits()
	if !traits.ID || !traits.Timestamp || traits.Covers("body") || traits.Covers("http.request.uri") || len(traits.Headers) != 0 {
		t.Errorf("with the signature in the body, got %+v", traits)
	}

	config = github()
	traits = newHMAC(t, config).Traits()
	if traits.ID || traits.Timestamp || traits.Tolerance != 0 || !traits.Covers("body") || traits.Covers("http.request.uri") {
		t.Errorf("got %+v", traits)
	}
	if traits := (verify.None{}).Traits(); traits.Covers != nil || traits.ID || len(traits.Headers) != 0 {
		t.Errorf("got %+v", traits)
	}
}
