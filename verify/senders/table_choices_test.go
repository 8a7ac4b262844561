// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestEveryRowIsDocumented(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		if s.Title == "" {
			t.Error("it has no title")
		}
		for field, text := range map[string]string{
			"Secret": s.Doc.Secret, "Covers": s.Doc.Covers, "Retries": s.Doc.Retries, "Expects": s.Doc.Expects,
		} {
			if text == "" {
				t.Errorf("%s is not documented", field)
			}
		}
		for field, text := range map[string]string{
			"Secret": s.Doc.Secret, "Covers": s.Doc.Covers, "Retries": s.Doc.Retries, "Expects": s.Doc.Expects,
			"Handshake": s.Doc.Handshake, "Note": s.Doc.Note,
		} {
			if text == "" {
				continue
			}
			if !strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text || strings.ContainsAny(text, "\n\t|") {
				t.Errorf("%s is no sentence of one line: %q", field, text)
			}
		}
		if u, err := url.Parse(s.Doc.URL); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("the documentation is at %q", s.Doc.URL)
		}
		if s.Handshake != nil && s.Doc.Handshake == "" {
			t.Error("its handshake is not documented")
		}
	})
}

// unsignedIDs are the senders of which an id that is not signed decides alone,
// because their genuine bodies may be equal. It stops no replay.
var unsignedIDs = []string{"sentry", "woocommerce"}

func TestEveryRowSaysHowItsDuplicatesAreRecognized(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		verifier, err := s.Scheme.Verifier(plausible(t, s))
		if err != nil {
			t.Fatal(err)
		}
		traits, d := verifier.Traits(), s.Dedupe
		for _, on := range d.On {
			if on != "id" && on != "content" {
				t.Errorf("on %q: expected id or content", on)
			}
		}
		hasID := traits.ID || len(s.MessageID) > 0
		onID, onContent := len(d.On) == 0 || slices.Contains(d.On, "id"), slices.Contains(d.On, "content")
		switch {
		case d.Off:
			if d.Window != 0 || d.On != nil || d.With != nil || s.MessageID != nil {
				t.Error("off takes nothing else")
			}
			return
		case onID && !hasID:
			t.Error("by the id, but there is none")
		case len(d.With) > 0 && !onContent:
			t.Error("header fields belong to the content, which does not count")
		}
		if d.Window != 0 && d.Window < 2*traits.Tolerance {
			t.Errorf("the window %v is shorter than twice the tolerance", d.Window)
		}
		// An id that is not signed does not stop a replay, unless nothing is signed.
		unsigned := slices.ContainsFunc(s.MessageID, func(id ID) bool {
			return id.Header != "" && traits.Covers != nil && !traits.Covers("http.request.header."+id.Header)
		})
		if alone := unsigned && !onContent; alone != slices.Contains(unsignedIDs, s.Name) {
			t.Errorf("an id that is not signed decides alone: %t, which is not what is said here", alone)
		}
		if traits.ID && len(s.MessageID) > 0 {
			t.Error("it has an id of its own, and another one")
		}
	})
}

func TestEveryPlaceOfAnIDCanBeRead(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		for _, id := range s.MessageID {
			places := 0
			if id.Header != "" {
				places++
				checkHeaderName(t, id.Header)
			}
			if id.JSON != "" {
				places++
				if _, err := verify.ParseJSONPath(id.JSON); err != nil {
					t.Error(err)
				}
			}
			if id.Path != nil {
				places++
			}
			if places != 1 {
				t.Errorf("%+v: expected exactly one place", id)
			}
		}
		for _, name := range s.Dedupe.With {
			checkHeaderName(t, name)
		}
	})
}

func checkHeaderName(t *testing.T, name string) {
	t.Helper()
	if !regexp.MustCompile(`^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$`).MatchString(name) || http.CanonicalHeaderKey(name) == "" {
		t.Errorf("%q is no name of a header field", name)
	}
}

func TestAnswersAreOnesThatSendersTake(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		if s.Respond != 0 && (s.Respond < 200 || s.Respond > 299) {
			t.Errorf("it responds %d", s.Respond)
		}
		// What asks for 200 alone gets it.
		if strings.HasPrefix(s.Doc.Expects, "200") && !strings.Contains(s.Doc.Expects, "202") && s.Respond != 200 {
			t.Errorf("it expects %q and gets %d", s.Doc.Expects, s.Respond)
		}
		if strings.HasPrefix(s.Doc.Expects, "204") && s.Respond != 204 {
			t.Errorf("it expects %q and gets %d", s.Doc.Expects, s.Respond)
		}
		if s.MaxBody != 0 && s.MaxBody <= 8<<20 {
			t.Errorf("the largest body of %d bytes is no more than the default", s.MaxBody)
		}
	})
}

func TestChoicesThatWouldLoseMessagesAreNotMade(t *testing.T) {
	t.Parallel()
	// Two genuine notifications of Dropbox may be equal.
	if s, _ := Find("dropbox"); !s.Dedupe.Off {
		t.Error("equal notifications of dropbox would count as duplicates")
	}
	// So may two of Microsoft Graph.
	if s, _ := Find("microsoft_graph"); !s.Dedupe.Off {
		t.Error("equal notifications of microsoft_graph would count as duplicates")
	}
	// The delivery id is that of all deliveries in one second.
	if s, _ := Find("woocommerce"); !slices.Equal(s.MessageID, []ID{{Header: "X-WC-Webhook-Delivery-ID"}, {Header: "X-WC-Webhook-Topic"}, {JSON: "id"}}) ||
		!slices.Equal(s.Dedupe.On, []string{"id"}) {
		t.Error("two deliveries of woocommerce in one second would be duplicates")
	}
	// Genuine bodies of these may be equal.
	if s, _ := Find("sentry"); !slices.Equal(s.Dedupe.On, []string{"id"}) {
		t.Error("equal messages of sentry would count as duplicates")
	}
	for name, prefix := range map[string]string{"shopify": "X-", "shopify_events": ""} {
		s, _ := Find(name)
		if !slices.Equal(s.MessageID, []ID{{Header: prefix + "Shopify-Webhook-Id"}}) ||
			!slices.Equal(s.Dedupe.With, []string{prefix + "Shopify-Topic", prefix + "Shopify-Triggered-At"}) {
			t.Errorf("equal messages of %s at another time would count as duplicates", name)
		}
	}
	// The id may be that of the webhook, which all its messages have.
	if s, _ := Find("anesya"); len(s.MessageID) > 0 || !slices.Equal(s.Dedupe.On, []string{"content"}) {
		t.Error("X-Webhook-Id of anesya would decide")
	}
	// A document can be processed again.
	if s, _ := Find("idexa"); s.Dedupe.Window != 10*time.Minute || !slices.Equal(s.Dedupe.On, []string{"content"}) {
		t.Error("a document of idexa that is processed again would be a duplicate for days")
	}
	// One request carries several events: the id of one of them must not decide.
	for _, name := range []string{"line", "sendgrid", "hubspot", "microsoft_graph", "quickbooks", "adyen"} {
		if s, _ := Find(name); len(s.MessageID) > 0 {
			t.Errorf("the id of one event of %s would decide over the others", name)
		}
	}
	// Nobody else answers exactly these.
	for name, status := range map[string]int{"xero": 200, "discord": 204, "okta": 200, "lemonsqueezy": 200, "mailgun": 200, "zoom": 200} {
		if s, _ := Find(name); s.Respond != status {
			t.Errorf("%s takes only %d, and gets %d", name, status, s.Respond)
		}
	}
}

// What is larger than an inbox takes would be refused for good.
func TestSendersOfLargeBodiesMaySendThem(t *testing.T) {
	t.Parallel()
	want := map[string]int64{
		"github": 25 << 20,
		// Attachments of up to 35 MB, in base64, with what is around them.
		"postmark": 64 << 20,
	}
	got := map[string]int64{}
	for _, s := range All() {
		if s.MaxBody != 0 {
			got[s.Name] = s.MaxBody
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A retry that bears the time of the first attempt would be refused as too old.
func TestEveryRowWithATimestampSaysWhetherARetryIsSignedAnew(t *testing.T) {
	t.Parallel()
	elsewhere := map[string]string{
		"mailgun": "its tolerance is longer than it tries",
		"hubspot": "it takes the refusal of an old one for final",
	}
	forEach(t, func(t *testing.T, s Sender) {
		_, standard := s.Scheme.(Standard) // the timestamp is that of the attempt
		if s.Scheme.Needs().Tolerance == 0 || standard || elsewhere[s.Name] != "" {
			return
		}
		if anew := strings.Contains(s.Doc.Retries, "signed anew"); anew == strings.HasSuffix(s.Doc.Note, maybeOld) {
			t.Error("it says neither that a retry is signed anew nor what to do if it is not, or both")
		}
	})
}

func TestHandshakesAreThoseOfTheirSenders(t *testing.T) {
	t.Parallel()
	var with []string
	for _, s := range All() {
		if s.Handshake != nil {
			with = append(with, s.Name)
		}
	}
	if want := []string{"discord", "slack", "zoom"}; !slices.Equal(with, want) {
		t.Errorf("built-in handshakes of %v, want %v", with, want)
	}
}
