// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// outsideSite answers by a matcher that is not in an inbox, and has a handler
// that reads the body after it.
func outsideSite(matcher, app string) string {
	return fmt.Sprintf(`
	@match {
		%s
	}
	route {
		vars secret sesame
		header @match X-Match yes
		reverse_proxy %s
	}
`, matcher, app)
}

func TestMatcherFindsValuesOfJSON(t *testing.T) {
	app := newApplication(t)
	for _, c := range []struct{ name, matcher, body, other string }{
		{"a value", `webhook_inbox_json type a`, `{"type":"a"}`, `{"type":"b"}`},
		{"any of several", `webhook_inbox_json type a b`, `{"type":"b"}`, `{"type":"c"}`},
		{"a path", `webhook_inbox_json event.items.1.id x`, `{"event":{"items":[{},{"id":"x"}]}}`, `{"event":{"items":[{"id":"x"},{}]}}`},
		{"a number by its text", `webhook_inbox_json type 1`, `{"type": 1 }`, `{"type":1.0}`},
		{"a number in quotes", `webhook_inbox_json type 1`, `{"type":"1"}`, `{"type":"01"}`},
		{"a boolean", `webhook_inbox_json test true`, `{"test":true}`, `{"test":false}`},
		{"an escaped string", `webhook_inbox_json type url_verification`, `{"t\u0079pe":"url\u005fverification"}`, `{"type":"url\\u005fverification"}`},
		{"whatever is there", `webhook_inbox_json challenge`, `{"challenge":"x"}`, `{"other":"x"}`},
		{"whatever is there, by an asterisk", `webhook_inbox_json challenge *`, `{"challenge":0}`, `{"challenge":""}`},
		{"null is not there", `webhook_inbox_json challenge`, `{"challenge":false}`, `{"challenge":null}`},
		{"an object is no value", `webhook_inbox_json challenge`, `{"challenge":"{}"}`, `{"challenge":{}}`},
		{"all paths of a block", "webhook_inbox_json {\n type a b\n id\n }", `{"type":"a","id":"1"}`, `{"type":"a"}`},
		{"all paths of several lines", "webhook_inbox_json type a\n webhook_inbox_json id 1", `{"type":"a","id":"1"}`, `{"type":"a","id":"2"}`},
		{"a placeholder", `webhook_inbox_json secret {vars.secret}`, `{"secret":"sesame"}`, `{"secret":"{vars.secret}"}`},
		{"a placeholder for nothing", `webhook_inbox_json secret {vars.none} x`, `{"secret":"x"}`, `{"secret":""}`},
		{"no document", `webhook_inbox_json type a`, `{"type":"a"}`, `type=a`},
		{"half a document", `webhook_inbox_json type a`, ` {"type":"a"} `, `{"type":"a"`},
		{"more than a document", `webhook_inbox_json type a`, `{"type":"a"}`, `{"type":"a"}{"type":"a"}`},
		{"a name given twice", `webhook_inbox_json type a`, `{"type":"a","Type":"b"}`, `{"type":"a","type":"a"}`},
		{"nothing", `webhook_inbox_json type a`, `{"type":"a"}`, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, app := serve(t, outsideSite(c.matcher, app.addr)), app.within(t)
			for body, want := range map[string]string{c.body: "yes", c.other: ""} {
				resp := s.expect(204, "POST", "/", nil, body)
				if got := resp.Header.Get("X-Match"); got != want {
					t.Errorf("%s: matched is %q, want %q", body, got, want)
				}
				if d := app.next(); d.Body != body {
					t.Errorf("%q came after the matcher, want %q", d.Body, body)
				}
			}
		})
	}
}

// Whatever the matcher read of a body, handlers after it get it whole, and so
// does another matcher.
func TestMatcherLeavesTheBodyAsItWas(t *testing.T) {
	app := newApplication(t)
	s := serve(t, outsideSite("webhook_inbox_json type a\n expression {http.request.body}.size()>0\n not webhook_inbox_json type b", app.addr))
	fits := `{"type":"a","padding":"` + strings.Repeat("x", 1<<20-26) + `"}`
	if len(fits) > 1<<20 {
		t.Fatalf("the body has %d bytes", len(fits))
	}
	for name, c := range map[string]struct{ body, want string }{
		"of 1 MiB":      {fits + strings.Repeat(" ", 1<<20-len(fits)), "yes"},
		"one byte more": {fits + strings.Repeat(" ", 1<<20-len(fits)+1), ""},
		"of 5 MiB":      {fits + strings.Repeat(" ", 4<<20), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			resp := s.expect(204, "POST", "/", nil, c.body)
			if got := resp.Header.Get("X-Match"); got != c.want {
				t.Errorf("matched is %q, want %q", got, c.want)
			}
			if d := app.next(); d.Body != c.body {
				t.Errorf("%d bytes came after the matcher, want %d", len(d.Body), len(c.body))
			}
			resp = s.raw(t, 204, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(c.body), c.body))
			if got := resp.Header.Get("X-Match"); got != c.want {
				t.Errorf("chunked: matched is %q, want %q", got, c.want)
			}
			if d := app.next(); d.Body != c.body {
				t.Errorf("chunked: %d bytes came after the matcher, want %d", len(d.Body), len(c.body))
			}
		})
	}
}

// An inbox behind the matcher stores the body, and refuses one that breaks off
// as it would without the matcher.
func TestMatcherBeforeAnInbox(t *testing.T) {
	app := newApplication(t)
	s := serve(t, `
	@challenge webhook_inbox_json type url_verification
	handle @challenge {
		respond "before"
	}
	handle {
		webhook_inbox demo {
			`+githubVerify+`
			read_timeout 100ms
			deliver `+app.addr+`
		}
	}
`)
	if resp, body := s.ask("POST", "/", nil, challenge); resp.StatusCode != 200 || body != "before" {
		t.Errorf("answered %d %q", resp.StatusCode, body)
	}
	s.expect(202, "POST", "/", githubHeader("1", `{"a":1}`), `{"a":1}`)
	if d := app.next(); d.Body != `{"a":1}` {
		t.Errorf("delivered %q", d.Body)
	}
	s.expect(401, "POST", "/", githubHeader("2", `{"a":1}`), `{"a":2}`)
	s.raw(t, 400, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Hub-Signature-256: "+
		githubHeader("2", "x").Get("X-Hub-Signature-256")+"\r\n\r\nno chunk\r\n")
	s.settled("demo")
	app.none()
}

// The routes of deliver can tell messages apart by their bodies, and answer with
// what is in them.
func TestMatcherAndPlaceholdersInDelivery(t *testing.T) {
	billing, rest := newApplication(t), newApplication(t)
	s := serve(t, `
	@challenge webhook_inbox_json type url_verification
	webhook_inbox demo {
		`+githubVerify+`
		passthrough @challenge
		deliver {
			respond @challenge {http.webhook_inbox.json.challenge} 203
			@billing webhook_inbox_json data.kind invoice refund
			reverse_proxy @billing `+billing.addr+` {
				header_up X-Number {http.webhook_inbox.json.data.lines.0.number}
				header_up X-Missing "<{http.webhook_inbox.json.data.lines.1.number}>"
				header_up X-Literal {http.webhook_inbox.json.data.text}
			}
			reverse_proxy `+rest.addr+`
		}
	}
`)
	resp, body := s.ask("POST", "/", githubHeader("1", challenge), challenge)
	if resp.StatusCode != http.StatusNonAuthoritativeInfo || body != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" {
		t.Errorf("answered %d %q", resp.StatusCode, body)
	}
	s.nothingQueued()

	invoice := `{"data":{"kind":"invoice","text":"{env.PATH}","lines":[{"number":17}]}}`
	s.expect(202, "POST", "/", githubHeader("2", invoice), invoice)
	d := billing.next()
	if d.Body != invoice || d.Header.Get("X-Number") != "17" || d.Header.Get("X-Missing") != "<>" || d.Header.Get("X-Literal") != "{env.PATH}" {
		t.Errorf("delivered %+v", d)
	}
	other := `{"data":{"kind":"customer"}}`
	s.expect(202, "POST", "/", githubHeader("3", other), other)
	if d := rest.next(); d.Body != other {
		t.Errorf("delivered %q", d.Body)
	}
	s.settled("demo")
	billing.none()
	rest.none()
}

func TestMatcherThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ matcher, want string }{
		"without a path":    {`{}`, "the path to a JSON value is missing"},
		"with a wrong path": {`{"a..b": ["x"]}`, `JSON path "a..b"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate([]byte(`{"apps":{"http":{"servers":{"s":{"routes":[{"match":[{"webhook_inbox_json":` + c.matcher + `}]}]}}}}}`))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
